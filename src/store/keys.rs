//! Keys that may log in, and the memory of those that were removed.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, scopes};
use crate::error::{Error, Result};
use crate::model::{Fingerprint, KeyName, PublicKey, Role, Scope, Stamp};

const COLUMNS: &str = "fingerprint, name, role, scoped, line, added_at, last_used_at";
/// The apps of scoped keys.
const APPS: scopes::Table = scopes::Table { name: "key_apps", owner: "fingerprint" };

/// One key that may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub fingerprint: Fingerprint,
    pub name: KeyName,
    pub role: Role,
    pub scope: Scope,
    /// The public key without its comment.
    pub line: String,
    pub added_at: Stamp,
    /// To the minute.
    pub last_used_at: Option<Stamp>,
}

/// A key to add.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: KeyName,
    pub key: PublicKey,
    pub role: Role,
    pub scope: Scope,
}

/// What became of a key from a file of admin keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is an admin now, under this name.
    Added(KeyName),
    /// It was there, with whatever role; nothing changed.
    Present,
    /// Somebody removed it, so the file does not bring it back.
    Removed,
}

// === impl Store ===

impl Store {
    /// Adds a key and forgets that it was ever removed; a known key or a taken name is [`Kind::Busy`](crate::error::Kind::Busy).
    pub async fn add_key(&self, new: NewKey) -> Result<Key> {
        self.write(move |conn, _| add(conn, &new)).await
    }

    /// Returns all keys by name.
    pub async fn keys(&self) -> Result<Vec<Key>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY name"))?;
            let rows: Vec<Key> = query.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?;
            rows.into_iter().map(|key| with_scope(conn, key)).collect()
        })
        .await
    }

    /// Finds the key that signed a login.
    pub async fn key_by_fingerprint(&self, fingerprint: Fingerprint) -> Result<Option<Key>> {
        self.read(move |conn, _| find(conn, fingerprint.as_str())).await
    }

    /// Removes the key with this name or fingerprint, remembers it as removed and returns what it was.
    ///
    /// The last admin of everything stays: [`Kind::NotAllowed`](crate::error::Kind::NotAllowed).
    pub async fn remove_key(&self, name_or_fingerprint: String) -> Result<Key> {
        self.write(move |conn, _| remove(conn, &name_or_fingerprint)).await
    }

    /// Tells whether somebody removed this key and nobody added it since.
    pub async fn was_removed(&self, fingerprint: Fingerprint) -> Result<bool> {
        self.read(move |conn, _| is_removed(conn, &fingerprint)).await
    }

    /// Notes that a key logged in, at most once a minute.
    pub async fn touch_key(&self, fingerprint: Fingerprint) -> Result<()> {
        self.write(move |conn, _| scopes::touch(conn, "keys", "fingerprint", &fingerprint)).await
    }

    /// Adds a key from a file of admin keys unless it is there or was removed; its name comes from its comment.
    pub async fn admit_admin_key(&self, key: PublicKey) -> Result<Admission> {
        self.write(move |conn, _| {
            let fingerprint = key.fingerprint();
            if find(conn, fingerprint.as_str())?.is_some() {
                return Ok(Admission::Present);
            }
            if is_removed(conn, &fingerprint)? {
                return Ok(Admission::Removed);
            }
            let name = free_name(conn, key.comment())?;
            add(conn, &NewKey { name: name.clone(), key, role: Role::Admin, scope: Scope::All })?;
            Ok(Admission::Added(name))
        })
        .await
    }
}

fn add(conn: &Connection, new: &NewKey) -> Result<Key> {
    let fingerprint = new.key.fingerprint();
    if let Some(known) = find(conn, fingerprint.as_str())? {
        return Err(Error::busy(format!("this key is already known as `{}`", known.name))
            .hint(format!("remove it first: mini keys:remove {}", known.name)));
    }
    if find(conn, new.name.as_str())?.is_some() {
        return Err(Error::busy(format!("another key is already called `{}`", new.name)).hint("choose another name"));
    }
    conn.execute("DELETE FROM removed_keys WHERE fingerprint = ?1", [&fingerprint])?;
    conn.execute(
        "INSERT INTO keys (fingerprint, name, role, scoped, line, added_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![fingerprint, new.name, new.role, new.scope != Scope::All, new.key.to_line(), Stamp::now()],
    )?;
    APPS.write(conn, &fingerprint, &new.scope)?;
    find(conn, fingerprint.as_str())?.ok_or_else(|| Error::failed("the key was not kept"))
}

fn remove(conn: &Connection, wanted: &str) -> Result<Key> {
    let key = find(conn, wanted)?
        .ok_or_else(|| Error::not_found(format!("there is no key `{}`", wanted.escape_debug())).hint("list them: mini keys"))?;
    if key.role == Role::Admin && key.scope == Scope::All && admins(conn)? == 1 {
        return Err(Error::not_allowed(format!("`{}` is the last admin key", key.name))
            .hint("add another one first: mini keys:add NAME --role admin"));
    }
    conn.execute("DELETE FROM keys WHERE fingerprint = ?1", [&key.fingerprint])?;
    conn.execute("INSERT OR REPLACE INTO removed_keys (fingerprint, removed_at) VALUES (?1, ?2)", params![key.fingerprint, Stamp::now()])?;
    Ok(key)
}

fn admins(conn: &Connection) -> Result<u32> {
    Ok(conn.query_row("SELECT count(*) FROM keys WHERE role = ?1 AND scoped = 0", [Role::Admin], |row| row.get(0))?)
}

fn is_removed(conn: &Connection, fingerprint: &Fingerprint) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM removed_keys WHERE fingerprint = ?1)";
    Ok(conn.query_row(query, [fingerprint], |row| row.get(0))?)
}

/// Finds by name or fingerprint: a name holds no `:`, so that the two never meet.
fn find(conn: &Connection, wanted: &str) -> Result<Option<Key>> {
    let query = format!("SELECT {COLUMNS} FROM keys WHERE fingerprint = ?1 OR name = ?1");
    let key = conn.query_row(&query, [wanted], from_row).optional()?;
    key.map(|key| with_scope(conn, key)).transpose()
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        fingerprint: row.get("fingerprint")?,
        name: row.get("name")?,
        role: row.get("role")?,
        scope: scopes::unfilled(row)?,
        line: row.get("line")?,
        added_at: row.get("added_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

/// Fills the apps of a scoped key in.
fn with_scope(conn: &Connection, mut key: Key) -> Result<Key> {
    APPS.fill(conn, &key.fingerprint, &mut key.scope)?;
    Ok(key)
}

fn free_name(conn: &Connection, comment: &str) -> Result<KeyName> {
    let wanted = comment.parse::<KeyName>().map_or_else(|_| "admin".to_owned(), String::from);
    // 64 is the longest name; the number needs its place.
    let stem: String = wanted.chars().take(56).collect();
    let candidates = std::iter::once(wanted).chain((2..).map(|number: u32| format!("{stem}-{number}")));
    for candidate in candidates {
        if find(conn, &candidate)?.is_none() {
            return candidate.parse();
        }
    }
    Err(Error::failed("no name is left for this key"))
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;
    use crate::model::AppId;

    #[tokio::test]
    async fn a_key_is_found_as_it_was_added() {
        let (_dir, store, app) = with_app().await;
        let scope = Scope::Only([app.id].into());

        let added = store.add_key(new_key("ci", 1, Role::View, scope.clone())).await.unwrap();

        assert_eq!((added.role, &added.scope, added.last_used_at), (Role::View, &scope, None));
        assert_eq!(added.line, key(1, "").to_line());
        assert_eq!(store.key_by_fingerprint(added.fingerprint.clone()).await.unwrap(), Some(added.clone()));
        assert_eq!(store.keys().await.unwrap(), [added]);
        assert_eq!(store.key_by_fingerprint(key(2, "").fingerprint()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_known_key_and_a_taken_name_are_refused() {
        let (_dir, store) = fresh();
        store.add_key(new_key("anna", 1, Role::Admin, Scope::All)).await.unwrap();

        let known = store.add_key(new_key("ben", 1, Role::Deploy, Scope::All)).await.unwrap_err();
        let taken = store.add_key(new_key("anna", 2, Role::Deploy, Scope::All)).await.unwrap_err();
        let no_app = store.add_key(new_key("ci", 3, Role::Deploy, Scope::Only([AppId::random()].into()))).await.unwrap_err();

        assert_eq!((known.kind(), known.sentence()), (Kind::Busy, "this key is already known as `anna`"));
        assert_eq!((taken.kind(), taken.sentence()), (Kind::Busy, "another key is already called `anna`"));
        assert_eq!(no_app.kind(), Kind::NotFound);
        assert_eq!(store.keys().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn the_last_admin_of_everything_stays() {
        let (_dir, store, app) = with_app().await;
        let first = store.add_key(new_key("anna", 1, Role::Admin, Scope::All)).await.unwrap();
        store.add_key(new_key("ci", 2, Role::Admin, Scope::Only([app.id].into()))).await.unwrap();

        let refused = store.remove_key("anna".into()).await.unwrap_err();
        store.add_key(new_key("ben", 3, Role::Admin, Scope::All)).await.unwrap();
        let removed = store.remove_key(first.fingerprint.to_string()).await.unwrap();

        assert_eq!(refused.kind(), Kind::NotAllowed);
        assert!(refused.next_step().is_some());
        assert_eq!(removed, first);
        assert_eq!(store.remove_key("anna".into()).await.unwrap_err().kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn a_removed_key_comes_back_only_when_a_person_adds_it() {
        let (_dir, store) = fresh();
        let ben = key(2, "ben@desk");
        store.add_key(new_key("anna", 1, Role::Admin, Scope::All)).await.unwrap();
        assert_eq!(store.admit_admin_key(ben.clone()).await.unwrap(), Admission::Added("ben@desk".parse().unwrap()));
        assert_eq!(store.admit_admin_key(ben.clone()).await.unwrap(), Admission::Present);

        store.remove_key("ben@desk".into()).await.unwrap();

        assert!(store.was_removed(ben.fingerprint()).await.unwrap());
        assert_eq!(store.admit_admin_key(ben.clone()).await.unwrap(), Admission::Removed);
        store.add_key(new_key("ben", 2, Role::Deploy, Scope::All)).await.unwrap();
        assert!(!store.was_removed(ben.fingerprint()).await.unwrap());
    }

    #[tokio::test]
    async fn admitted_keys_get_names_of_their_own() {
        let (_dir, store) = fresh();
        let mut names = Vec::new();

        for (number, comment) in [(1, "anna"), (2, "anna"), (3, "not a name"), (4, "")] {
            let Admission::Added(name) = store.admit_admin_key(key(number, comment)).await.unwrap() else { panic!("not added") };
            names.push(name.to_string());
        }

        assert_eq!(names, ["anna", "anna-2", "admin", "admin-2"]);
    }

    #[tokio::test]
    async fn a_key_is_touched_once_a_minute() {
        let (_dir, store) = fresh();
        let anna = store.add_key(new_key("anna", 1, Role::Admin, Scope::All)).await.unwrap().fingerprint;
        let last_used = async || store.keys().await.unwrap()[0].last_used_at;

        store.touch_key(anna.clone()).await.unwrap();
        let first = last_used().await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        store.touch_key(anna).await.unwrap();

        assert!(first.is_some());
        assert_eq!(last_used().await, first);
    }
}
