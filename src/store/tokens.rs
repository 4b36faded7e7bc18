//! API keys: an id, a digest and what it may do; the key itself is never kept.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, scopes};
use crate::error::{Error, Result};
use crate::model::{KeyName, Role, Scope, Stamp, Token, TokenId};

const COLUMNS: &str = "id, name, role, scoped, created_at, created_by, expires_at, last_used_at";
/// The apps of scoped API keys.
const APPS: scopes::Table = scopes::Table { name: "token_apps", owner: "token" };

/// One API key that was given out, without what makes it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    pub id: TokenId,
    pub name: KeyName,
    pub role: Role,
    pub scope: Scope,
    pub created_at: Stamp,
    pub created_by: String,
    /// From then on it opens nothing; it stays listed until it is revoked.
    pub expires_at: Option<Stamp>,
    /// To the minute.
    pub last_used_at: Option<Stamp>,
}

/// An API key to keep.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub token: Token,
    pub name: KeyName,
    pub role: Role,
    pub scope: Scope,
    pub expires_at: Option<Stamp>,
    pub by: String,
}

// === impl IssuedToken ===

impl IssuedToken {
    #[must_use]
    pub fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at.ahead().is_zero())
    }
}

// === impl Store ===

impl Store {
    /// Keeps a new API key; a taken name is [`Kind::Busy`](crate::error::Kind::Busy).
    pub async fn add_token(&self, new: NewToken) -> Result<IssuedToken> {
        self.write(move |conn, _| add(conn, &new)).await
    }

    /// Returns all API keys by name, the expired ones too.
    pub async fn tokens(&self) -> Result<Vec<IssuedToken>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens ORDER BY name"))?;
            let rows: Vec<IssuedToken> = query.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?;
            rows.into_iter().map(|token| with_scope(conn, token)).collect()
        })
        .await
    }

    /// Finds what was kept of `token`, whether it has expired or not. The digests are compared in constant time.
    pub async fn issued(&self, token: Token) -> Result<Option<IssuedToken>> {
        self.read(move |conn, _| {
            let query = "SELECT digest FROM tokens WHERE id = ?1";
            let kept: Option<Vec<u8>> = conn.query_row(query, [token.id()], |row| row.get(0)).optional()?;
            match kept {
                Some(kept) if token.has_digest(&kept) => find(conn, token.id().as_str()),
                _ => Ok(None),
            }
        })
        .await
    }

    /// Finds an API key that was proven before by its id.
    pub async fn token_by_id(&self, id: TokenId) -> Result<Option<IssuedToken>> {
        self.read(move |conn, _| find(conn, id.as_str())).await
    }

    /// Removes the API key with this name or id and returns what it was.
    pub async fn remove_token(&self, name_or_id: String) -> Result<IssuedToken> {
        self.write(move |conn, _| {
            let token = find(conn, &name_or_id)?.ok_or_else(|| {
                Error::not_found(format!("there is no API key `{}`", name_or_id.escape_debug())).hint("list them: mini tokens")
            })?;
            conn.execute("DELETE FROM tokens WHERE id = ?1", [&token.id])?;
            Ok(token)
        })
        .await
    }

    /// Notes that an API key was used, at most once a minute.
    pub async fn touch_token(&self, id: TokenId) -> Result<()> {
        self.write(move |conn, _| scopes::touch(conn, "tokens", "id", &id)).await
    }
}

fn add(conn: &Connection, new: &NewToken) -> Result<IssuedToken> {
    // A name that is another one's id would make `tokens:revoke` ambiguous.
    if find(conn, new.name.as_str())?.is_some() {
        return Err(Error::busy(format!("another API key is already called `{}`", new.name))
            .hint(format!("choose another name, or revoke it first: mini tokens:revoke {}", new.name)));
    }
    let id = new.token.id();
    conn.execute(
        "INSERT INTO tokens (id, name, role, scoped, digest, created_at, created_by, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![id, new.name, new.role, new.scope != Scope::All, new.token.digest(), Stamp::now(), new.by, new.expires_at],
    )?;
    APPS.write(conn, &id, &new.scope)?;
    find(conn, id.as_str())?.ok_or_else(|| Error::failed("the API key was not kept"))
}

/// Finds by id or name; where one key's name is another's id, the id wins.
fn find(conn: &Connection, wanted: &str) -> Result<Option<IssuedToken>> {
    let query = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1");
    let token = conn.query_row(&query, [wanted], from_row).optional()?;
    token.map(|token| with_scope(conn, token)).transpose()
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<IssuedToken> {
    Ok(IssuedToken {
        id: row.get("id")?,
        name: row.get("name")?,
        role: row.get("role")?,
        scope: scopes::unfilled(row)?,
        created_at: row.get("created_at")?,
        created_by: row.get("created_by")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

fn with_scope(conn: &Connection, mut token: IssuedToken) -> Result<IssuedToken> {
    APPS.fill(conn, &token.id, &mut token.scope)?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;
    use crate::model::AppId;

    fn new(name: &str, scope: Scope) -> NewToken {
        let token = Token::random();
        NewToken { token, name: name.parse().unwrap(), role: Role::Deploy, scope, expires_at: None, by: "anna".into() }
    }

    #[tokio::test]
    async fn a_key_is_found_by_itself_and_by_nothing_like_it() {
        let (dir, store, app) = with_app().await;
        let ci = new("ci", Scope::Only([app.id].into()));
        let lookalike = Token::random();

        let added = store.add_token(ci.clone()).await.unwrap();

        assert_eq!((added.id.clone(), added.scope.clone(), added.last_used_at), (ci.token.id(), ci.scope.clone(), None));
        assert_eq!(store.issued(ci.token.clone()).await.unwrap(), Some(added.clone()));
        assert_eq!(store.token_by_id(ci.token.id()).await.unwrap(), Some(added.clone()));
        assert_eq!(store.tokens().await.unwrap(), [added]);
        assert_eq!(store.issued(lookalike).await.unwrap(), None);
        let file = [std::fs::read(dir.path().join("mini.db")).unwrap(), std::fs::read(dir.path().join("mini.db-wal")).unwrap()].concat();
        let secret = &ci.token.expose().as_bytes()[13..];
        assert!(!file.windows(secret.len()).any(|bytes| bytes == secret), "the key itself stands in the database");
    }

    #[tokio::test]
    async fn the_same_id_with_another_secret_is_no_key() {
        let (_dir, store) = fresh();
        let ci = new("ci", Scope::All);
        store.add_token(ci.clone()).await.unwrap();
        let digest = Token::random().digest();
        let id = ci.token.id();
        store.write(move |conn, _| Ok(conn.execute("UPDATE tokens SET digest = ?2 WHERE id = ?1", params![id, digest])?)).await.unwrap();

        assert_eq!(store.issued(ci.token).await.unwrap(), None);
    }

    #[tokio::test]
    async fn taken_names_unknown_apps_and_unknown_keys_are_refused() {
        let (_dir, store) = fresh();
        let ci = store.add_token(new("ci", Scope::All)).await.unwrap();

        let taken = store.add_token(new("ci", Scope::All)).await.unwrap_err();
        let taken_id = store.add_token(new(ci.id.as_str(), Scope::All)).await.unwrap_err();
        let no_app = store.add_token(new("web", Scope::Only([AppId::random()].into()))).await.unwrap_err();
        let unknown = store.remove_token("web".into()).await.unwrap_err();

        assert_eq!((taken.kind(), taken.sentence()), (Kind::Busy, "another API key is already called `ci`"));
        assert_eq!((taken_id.kind(), no_app.kind()), (Kind::Busy, Kind::NotFound));
        assert_eq!((unknown.kind(), unknown.sentence()), (Kind::NotFound, "there is no API key `web`"));
        assert_eq!(store.tokens().await.unwrap(), [ci]);
    }

    #[tokio::test]
    async fn a_destroyed_app_leaves_a_key_without_apps_and_not_with_all() {
        let (_dir, store, app) = with_app().await;
        let ci = new("ci", Scope::Only([app.id.clone()].into()));
        store.add_token(ci.clone()).await.unwrap();

        store.destroy_app(app.id).await.unwrap();

        assert_eq!(store.issued(ci.token).await.unwrap().unwrap().scope, Scope::Only(BTreeSet::new()));
    }

    #[tokio::test]
    async fn a_removed_key_is_unknown_and_its_use_is_noted_while_it_is_there() {
        let (_dir, store) = fresh();
        let (one, other) = (new("one", Scope::All), new("other", Scope::All));
        for token in [&one, &other] {
            store.add_token(token.clone()).await.unwrap();
            store.touch_token(token.token.id()).await.unwrap();
        }
        assert!(store.issued(one.token.clone()).await.unwrap().unwrap().last_used_at.is_some());

        store.remove_token("one".into()).await.unwrap();
        store.remove_token(other.token.id().to_string()).await.unwrap();

        assert_eq!(store.issued(one.token).await.unwrap(), None);
        assert_eq!(store.tokens().await.unwrap(), []);
    }
}
