//! The database at one moment, as a file of its own; and what a database that came out of a backup forgets.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::Store;
use super::file::{check_pages, connect};
use super::schema::{meta, set_meta};
use crate::error::{Error, Result};
use crate::model::{AppId, AppName, InstanceId};

/// A whole and checked copy of the database.
pub struct Snapshot {
    path: PathBuf,
    pub schema: u32,
    /// The apps in it, by name.
    pub apps: Vec<(AppId, AppName)>,
}

// === impl Store ===

impl Store {
    /// Copies the database as it is now into the new file `to` (mode 0600) and checks the copy. Others go on reading and writing.
    pub async fn snapshot(&self, to: PathBuf) -> Result<Snapshot> {
        let path = self.inner.path.clone();
        // On a connection of its own: a large database takes seconds, and deploys would wait for them.
        let task = tokio::task::spawn_blocking(move || Snapshot::take(&path, to));
        task.await.unwrap_or_else(|err| Err(Error::failed("the server stopped in the middle of this").because(err)))
    }

    /// Forgets, after a restore, which containers and addresses releases had: by now they may be somebody else's.
    ///
    /// `as_new` gives the data dir another identity too, so that it leaves alone what the server of before has in the engine.
    pub async fn forget_engine(&self, as_new: bool) -> Result<()> {
        self.write(move |conn, _| {
            conn.execute("UPDATE releases SET container_id = NULL, address = NULL", [])?;
            conn.execute("DELETE FROM processes", [])?;
            if as_new { set_meta(conn, "instance", InstanceId::random().as_str()) } else { Ok(()) }
        })
        .await
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn take(from: &Path, to: PathBuf) -> Result<Snapshot> {
        let failed = || Error::failed("the database could not be copied");
        // VACUUM INTO takes an empty file as it is, mode included.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to).map_err(|err| failed().because(err))?;
        let name = to.to_str().ok_or_else(|| Error::setup("the data dir's path is not UTF-8"))?;
        connect(from)?.execute("VACUUM INTO ?1", params![name])?;
        let copy = open_copy(&to)?;
        check_pages(&copy).map_err(|err| failed().hint("the database is damaged: see the server's log").because(err))?;
        let schema = meta(&copy, "schema")?.ok_or_else(failed)?;
        let apps = apps_in(&copy)?;
        Ok(Snapshot { path: to, schema, apps })
    }

    /// Takes apps out of the copy: those that were destroyed while the rest of them was gathered. Blocks.
    pub fn leave_out(&mut self, gone: &[AppId]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let copy = open_copy(&self.path)?;
        copy.pragma_update(None, "foreign_keys", true)?;
        copy.pragma_update(None, "secure_delete", true)?;
        for app in gone {
            copy.execute("DELETE FROM apps WHERE id = ?1", [app])?;
        }
        self.apps.retain(|(app, _)| !gone.contains(app));
        Ok(())
    }
}

/// Opens the copy as it is: it stays one file.
fn open_copy(path: &Path) -> Result<Connection> {
    Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

fn apps_in(copy: &Connection) -> Result<Vec<(AppId, AppName)>> {
    let mut query = copy.prepare("SELECT id, name FROM apps ORDER BY name")?;
    let apps = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(apps)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::trial::*;
    use super::*;

    /// A data dir of the snapshot and the key.
    fn opened(from: &Path, snapshot: &Snapshot) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(&snapshot.path, dir.path().join("mini.db")).unwrap();
        fs::copy(from.join("master.key"), dir.path().join("master.key")).unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_snapshot_is_one_private_file_that_opens_as_the_database_was() {
        let (dir, store, app) = with_app().await;
        live(&store, &app, 'a', &[("A", "1")]).await;

        let snapshot = store.snapshot(dir.path().join("copy")).await.unwrap();
        store.destroy_app(app.id.clone()).await.unwrap();

        assert_eq!(snapshot.apps, [(app.id.clone(), app.name.clone())]);
        assert_eq!(fs::metadata(&snapshot.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!dir.path().join("copy-wal").exists() && !dir.path().join("copy-journal").exists());
        let (_dir, copy) = opened(dir.path(), &snapshot);
        assert_eq!(copy.config(app.id).await.unwrap(), config(&[("A", "1")]));
        assert_eq!(copy.instance(), store.instance());
    }

    #[tokio::test]
    async fn an_app_that_is_left_out_is_gone_with_all_it_had() {
        let (dir, store, app) = with_app().await;
        let other = store.create_app(AppId::random(), "other".parse().unwrap(), "anna".into()).await.unwrap();
        live(&store, &app, 'a', &[]).await;
        let mut snapshot = store.snapshot(dir.path().join("copy")).await.unwrap();

        snapshot.leave_out(std::slice::from_ref(&app.id)).unwrap();

        let (_dir, copy) = opened(dir.path(), &snapshot);
        assert_eq!(copy.apps().await.unwrap(), [other]);
        assert!(copy.live_releases().await.unwrap().is_empty());
        assert_eq!(store.apps().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_restored_database_knows_no_container_and_takes_a_new_identity_if_told() {
        let (dir, store, app) = with_app().await;
        store.set_subnet(app.id.clone(), "10.9.0.64/26".into()).await.unwrap();
        let version = placed(&store, &app, [10, 9, 0, 66]).await.version;
        let process = store.processes(app.id.clone()).await.unwrap().remove(0);
        store.set_container(process.id, container('c')).await.unwrap();
        let before = store.instance().clone();

        store.forget_engine(false).await.unwrap();
        assert_eq!(store.release(app.id.clone(), version).await.unwrap().port, Some(5000));
        assert!(store.processes(app.id).await.unwrap().is_empty());
        assert_eq!(Store::open(dir.path()).unwrap().instance(), &before);

        store.forget_engine(true).await.unwrap();
        assert_ne!(Store::open(dir.path()).unwrap().instance(), &before);
    }
}
