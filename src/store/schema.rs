//! The schema's steps: they only expand, so that the binary of before still starts on the file of after.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::failure::is_lasting;
use crate::error::{Error, Result};
use crate::model::InstanceId;

/// `mini` in ASCII, the file's `application_id`: another program's database is not taken for ours.
const APPLICATION_ID: u32 = 0x6d69_6e69;

const META: &str = "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID";

/// One step up. Schema numbers count from 1 in the order of the steps.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    pub sql: &'static str,
    /// The oldest schema whose binary still understands a file after this step.
    pub min_reader: u32,
}

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("schema_1.sql"), min_reader: 1 },
    Migration { sql: include_str!("schema_2.sql"), min_reader: 1 },
    Migration { sql: include_str!("schema_3.sql"), min_reader: 1 },
    Migration { sql: include_str!("schema_4.sql"), min_reader: 1 },
    Migration { sql: include_str!("schema_5.sql"), min_reader: 1 },
    Migration { sql: include_str!("schema_6.sql"), min_reader: 1 },
    Migration { sql: include_str!("schema_7.sql"), min_reader: 1 },
];

/// Fills the empty database behind `conn`: a new identity, then every step.
pub(super) fn create(conn: &Connection, steps: &[Migration]) -> Result<()> {
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.execute_batch(META)?;
    set_meta(&transaction, "instance", InstanceId::random().as_str())?;
    climb(&transaction, 0, steps)?;
    Ok(transaction.commit()?)
}

/// Brings the database at `path` up to the last of `steps`; copies the file first when there is something to do.
///
/// A file from a newer binary is left as it is when its `min_reader` allows this one.
pub(super) fn migrate(conn: &Connection, path: &Path, steps: &[Migration]) -> Result<()> {
    let own = number_of(steps);
    let found = schema_of(conn, path)?;
    let min_reader = meta::<u32>(conn, "min_reader")?.unwrap_or(u32::MAX);
    if min_reader > own {
        return Err(Error::setup(format!(
            "the database `{}` needs a newer mini (its schema is {found}, this mini knows {own})",
            path.display()
        ))
        .hint("install the newer mini again, or restore the copy it made before it changed the file"));
    }
    if found >= own {
        return Ok(());
    }
    copy_before(conn, path, own)?;
    let climbed = || -> Result<()> {
        let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        climb(&transaction, found, steps)?;
        Ok(transaction.commit()?)
    };
    climbed().map_err(|err| if is_lasting(&err) { stuck(path, own, err) } else { err })
}

fn stuck(path: &Path, schema: u32, cause: Error) -> Error {
    Error::setup(format!("the database `{}` could not be brought to schema {schema}", path.display()))
        .hint("nothing was changed: the mini of before still starts on it")
        .because(cause)
}

fn schema_of(conn: &Connection, path: &Path) -> Result<u32> {
    let application: u32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID || found == 0 {
        return Err(Error::setup(format!("`{}` is not a database of mini", path.display())).hint(super::file::way_back(path)));
    }
    Ok(found)
}

fn climb(conn: &Connection, from: u32, steps: &[Migration]) -> Result<()> {
    for step in steps.iter().skip(from as usize) {
        conn.execute_batch(step.sql)?;
    }
    let min_reader = steps.iter().map(|step| step.min_reader).max().unwrap_or_default();
    set_meta(conn, "schema", number_of(steps))?;
    set_meta(conn, "min_reader", min_reader)?;
    Ok(conn.pragma_update(None, "user_version", number_of(steps))?)
}

fn number_of(steps: &[Migration]) -> u32 {
    u32::try_from(steps.len()).expect("the steps are written by hand")
}

/// Copies the whole database to `mini.db.before-<schema>`, the schema it is about to get.
fn copy_before(conn: &Connection, path: &Path, schema: u32) -> Result<()> {
    let copy = beside(path, &format!(".before-{schema}"));
    let unfinished = beside(path, &format!(".before-{schema}.new"));
    let written = write_copy(conn, &unfinished).and_then(|()| Ok(fs::rename(&unfinished, &copy)?));
    written.map_err(|cause| {
        let _ = fs::remove_file(&unfinished);
        Error::unavailable(format!("the database could not be copied to `{}`", copy.display())).because(cause)
    })
}

fn write_copy(conn: &Connection, to: &Path) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // VACUUM INTO takes an empty file as it is, mode included, and does not sync what it wrote.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to)?;
    conn.execute("VACUUM INTO ?1", params![to.to_str().ok_or("the path is not UTF-8")?])?;
    Ok(file.sync_all()?)
}

/// Returns `path` with `suffix` behind the whole file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Reads one value of the table `meta`.
pub(super) fn meta<T: FromSql>(conn: &Connection, key: &str) -> Result<Option<T>> {
    Ok(conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

/// Writes one value of the table `meta`.
pub(super) fn set_meta(conn: &Connection, key: &str, value: impl rusqlite::ToSql) -> Result<()> {
    conn.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![key, value],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::super::{Store, file};
    use super::*;
    use crate::error::Kind;

    /// The number of a step that comes after all of ours.
    #[allow(clippy::cast_possible_truncation)]
    const NEXT: u32 = MIGRATIONS.len() as u32 + 1;

    fn and_then(sql: &'static str, min_reader: u32) -> Vec<Migration> {
        MIGRATIONS.iter().copied().chain([Migration { sql, min_reader }]).collect()
    }

    #[tokio::test]
    async fn a_step_that_expands_leaves_the_binary_of_before_able_to_start() {
        let (dir, store, app) = with_app().await;
        drop(store);
        let next = and_then("ALTER TABLE apps ADD COLUMN mood TEXT", 1);

        let conn = file::open(dir.path(), &next).unwrap();
        assert_eq!(meta::<u32>(&conn, "schema").unwrap(), Some(NEXT));
        drop(conn);

        let old = Store::open(dir.path()).unwrap();
        assert_eq!(old.apps().await.unwrap(), std::slice::from_ref(&app));
        old.destroy_app(app.id).await.unwrap();
        assert_eq!(old.inner.connection.lock().unwrap().pragma_query_value(None, "user_version", |row| row.get(0)), Ok(NEXT));
    }

    #[tokio::test]
    async fn a_file_of_the_first_schema_is_brought_up_with_what_is_in_it() {
        let (dir, store) = fresh();
        drop(store);
        fs::remove_file(dir.path().join("mini.db")).unwrap();
        fs::remove_file(dir.path().join("master.key")).unwrap();
        let conn = file::open(dir.path(), &MIGRATIONS[..1]).unwrap();
        conn.execute("INSERT INTO apps (id, name, created_at, created_by) VALUES ('0123456789abcdef', 'old', 1, 'anna')", []).unwrap();
        drop(conn);

        let store = Store::open(dir.path()).unwrap();

        assert_eq!(store.apps().await.unwrap()[0].name.as_str(), "old");
    }

    #[tokio::test]
    async fn a_copy_is_made_before_a_step_and_opens_as_it_was() {
        let (dir, store, app) = with_app().await;
        drop(store);
        let next = and_then("DELETE FROM apps", 1);

        file::open(dir.path(), &next).unwrap();

        let copy = dir.path().join(format!("mini.db.before-{NEXT}"));
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&copy).unwrap()) & 0o777, 0o600);
        let restored = tempfile::tempdir().unwrap();
        fs::copy(&copy, restored.path().join("mini.db")).unwrap();
        fs::copy(dir.path().join("master.key"), restored.path().join("master.key")).unwrap();
        assert_eq!(Store::open(restored.path()).unwrap().apps().await.unwrap(), [app]);
    }

    #[test]
    fn a_schema_that_this_binary_cannot_read_is_refused() {
        let (dir, store) = fresh();
        drop(store);
        let next = and_then("DROP TABLE config", NEXT);
        file::open(dir.path(), &next).unwrap();

        let err = refusal(dir.path(), &dir.path().join("mini.db"));

        assert!(err.sentence().contains("needs a newer mini"), "{err}");
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let (dir, store) = fresh();
        drop(store);
        let broken = and_then("DELETE FROM meta; CREATE NONSENSE", 1);

        let err = file::open(dir.path(), &broken).unwrap_err();

        assert_eq!(err.kind(), Kind::Setup);
        assert!(Store::open(dir.path()).is_ok());
    }
}
