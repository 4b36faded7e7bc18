//! Storage: volumes of an app that outlive its containers, and those whose data is to be deleted.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row, params};

use super::Store;
use crate::error::{Error, Result};
use crate::model::{AppId, Storage, StorageName};

// === impl Store ===

impl Store {
    /// Returns the volumes whose data is to be deleted.
    pub async fn doomed_volumes(&self) -> Result<Vec<String>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached("SELECT volume FROM doomed_volumes")?;
            Ok(query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Notes that a doomed volume is gone.
    pub async fn forget_volume(&self, volume: String) -> Result<()> {
        self.write(move |conn, _| {
            conn.execute("DELETE FROM doomed_volumes WHERE volume = ?1", [volume])?;
            Ok(())
        })
        .await
    }
}

/// Notes that a volume's data is to be deleted; doing it twice is the same.
pub(super) fn doom(conn: &Connection, volume: &str) -> rusqlite::Result<usize> {
    conn.execute("INSERT INTO doomed_volumes (volume) VALUES (?1) ON CONFLICT DO UPDATE SET volume = excluded.volume", [volume])
}

/// Gives an app storage. Errors: `Busy` when it has some of that name, or at that path.
pub(super) fn mount(conn: &Connection, app: &AppId, storage: &Storage) -> Result<usize> {
    let same = "SELECT EXISTS (SELECT 1 FROM storage WHERE app = ?1 AND (name = ?2 OR path = ?3))";
    if conn.query_row(same, params![app, storage.name(), storage.path()], |row| row.get(0))? {
        return Err(Error::busy(format!("there is storage of this name, or at {}", storage.path())));
    }
    let insert = "INSERT INTO storage (app, name, path) VALUES (?1, ?2, ?3)";
    Ok(conn.execute(insert, params![app, storage.name(), storage.path()])?)
}

/// Takes an app's storage away; its volume stays.
pub(super) fn unmount(conn: &Connection, app: &AppId, name: &StorageName) -> Result<usize> {
    Ok(conn.execute("DELETE FROM storage WHERE app = ?1 AND name = ?2", params![app, name])?)
}

/// Reads an app's column `storage`: its rows as lines, in any order.
pub(super) fn storage_column(row: &Row<'_>) -> rusqlite::Result<Vec<Storage>> {
    let lines = row.get::<_, Option<String>>("storage")?.unwrap_or_default();
    let parsed = lines.lines().map(|line| line.parse().map_err(|err: Error| FromSqlError::Other(err.into()).into()));
    let mut storage = parsed.collect::<rusqlite::Result<Vec<Storage>>>()?;
    storage.sort_unstable();
    Ok(storage)
}

#[cfg(test)]
mod tests {
    use super::super::AppSetting;
    use super::super::trial::*;
    use crate::error::Kind;

    fn mounted(text: &str) -> Vec<AppSetting> {
        vec![AppSetting::Mounted(text.parse().unwrap())]
    }

    #[tokio::test]
    async fn an_app_has_its_storage_by_name_and_no_two_at_one_path() {
        let (_dir, store, app) = with_app().await;
        assert_eq!(app.storage, vec![]);

        store.set_app(app.id.clone(), mounted("files:/srv/files")).await.unwrap();
        store.set_app(app.id.clone(), mounted("data:/data")).await.unwrap();
        for taken in ["data:/other", "other:/data"] {
            assert_eq!(store.set_app(app.id.clone(), mounted(taken)).await.unwrap_err().kind(), Kind::Busy);
        }

        let listed = |app: super::super::App| app.storage.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(listed(store.app(app.id.clone()).await.unwrap()), ["data:/data", "files:/srv/files"]);
        store.set_app(app.id.clone(), vec![AppSetting::Unmounted("data".parse().unwrap())]).await.unwrap();
        assert_eq!(listed(store.apps().await.unwrap().remove(0)), ["files:/srv/files"]);
        assert!(store.set_app(app.id, vec![AppSetting::Unmounted("data".parse().unwrap())]).await.is_err());
    }

    #[tokio::test]
    async fn what_is_to_be_deleted_is_known_until_it_is_gone() {
        let (_dir, store, app) = with_app().await;

        let doomed = ["one", "two", "one"].map(|volume| AppSetting::Doomed(volume.into()));
        store.set_app(app.id.clone(), doomed.into()).await.unwrap();
        store.destroy_app(app.id).await.unwrap();
        store.forget_volume("one".into()).await.unwrap();

        assert_eq!(store.doomed_volumes().await.unwrap(), ["two"]);
    }
}
