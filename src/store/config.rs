//! An app's config: sealed one by one, opened only here.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::Store;
use super::seal::{Label, Sealer};
use crate::error::{Error, Result};
use crate::model::{AppId, ConfigName, Secret, Version};

/// The variables of an app or of a release.
pub type ConfigValues = BTreeMap<ConfigName, Secret>;

// === impl Store ===

impl Store {
    /// Returns the app's config: that of its live release, or what was set before there was one.
    pub async fn config(&self, app: AppId) -> Result<ConfigValues> {
        self.read(move |conn, sealer| {
            let mut query = conn.prepare_cached("SELECT name, sealed FROM config WHERE app = ?1")?;
            let mut rows = query.query([&app])?;
            let mut values = ConfigValues::new();
            while let Some(row) = rows.next()? {
                let (name, sealed): (ConfigName, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let value = text(sealer.open_sealed(Label::Config(&app, &name), &sealed)?)?;
                values.insert(name, Secret::new(value));
            }
            Ok(values)
        })
        .await
    }

    /// Replaces the config of an app that has no live release; one that has gets its config by [`Store::go_live`].
    pub async fn replace_config(&self, app: AppId, values: ConfigValues) -> Result<()> {
        self.write(move |conn, sealer| {
            if let Some(version) = super::apps::app(conn, &app)?.current_version {
                return Err(Error::busy(format!("the app is live as {version}")).hint("try again: the change becomes a release"));
            }
            replace(conn, sealer, &app, &values)
        })
        .await
    }

    /// Saves config for an app's next release, whatever is live; until then it is not what runs.
    pub async fn save_config(&self, app: AppId, values: ConfigValues) -> Result<()> {
        self.write(move |conn, sealer| {
            super::apps::app(conn, &app)?;
            replace(conn, sealer, &app, &values)
        })
        .await
    }
}

/// Replaces all rows of an app's config within a transaction.
pub(super) fn replace(conn: &Connection, sealer: &Sealer, app: &AppId, values: &ConfigValues) -> Result<()> {
    conn.execute("DELETE FROM config WHERE app = ?1", [app])?;
    let mut insert = conn.prepare_cached("INSERT INTO config (app, name, sealed) VALUES (?1, ?2, ?3)")?;
    for (name, value) in values {
        insert.execute(params![app, name, sealer.seal(Label::Config(app, name), value.expose().as_bytes())])?;
    }
    Ok(())
}

/// Seals a release's whole config as one value: names and sizes stay hidden too.
pub(super) fn seal_snapshot(sealer: &Sealer, app: &AppId, version: Version, values: &ConfigValues) -> Vec<u8> {
    let plain: BTreeMap<&str, &str> = values.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let json = serde_json::to_vec(&plain).expect("a map of strings is always JSON");
    sealer.seal(Label::Release(app, version), &json)
}

/// Opens what [`seal_snapshot`] made.
pub(super) fn open_snapshot(sealer: &Sealer, app: &AppId, version: Version, snapshot: &[u8]) -> Result<ConfigValues> {
    let json = sealer.open_sealed(Label::Release(app, version), snapshot)?;
    // The cause is dropped: serde_json quotes what it could not read.
    let values: BTreeMap<ConfigName, String> = serde_json::from_slice(&json).map_err(|_| unknown())?;
    Ok(values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
}

fn text(plain: Vec<u8>) -> Result<String> {
    String::from_utf8(plain).map_err(|_| unknown())
}

fn unknown() -> Error {
    Error::setup("the database holds config that this version of mini does not know")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::trial::*;

    #[tokio::test]
    async fn config_is_kept_and_no_byte_on_disk_tells_it() {
        let (dir, store, app) = with_app().await;
        let values = config(&[("PASSWORD", CANARY), ("EMPTY", "")]);

        store.replace_config(app.id.clone(), values.clone()).await.unwrap();
        live(&store, &app, 'a', &[("PASSWORD", CANARY), ("OTHER", "x")]).await;

        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.iter().any(|path| path.ends_with("mini.db-wal")), "the journal is looked at too: {files:?}");
        for path in files {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{path:?} tells it");
        }
        assert_eq!(store.config(app.id.clone()).await.unwrap()[&"PASSWORD".parse().unwrap()].expose(), CANARY);
        assert!(store.replace_config(app.id, values).await.is_err(), "a live app's config changes by a release");
    }

    #[tokio::test]
    async fn a_value_moved_to_another_row_does_not_open_and_stays_secret() {
        let (dir, store, app) = with_app().await;
        store.replace_config(app.id.clone(), config(&[("A", CANARY), ("B", "x")])).await.unwrap();
        let intruder = rusqlite::Connection::open(dir.path().join("mini.db")).unwrap();

        intruder.execute("UPDATE config SET sealed = (SELECT sealed FROM config WHERE name = 'A') WHERE name = 'B'", []).unwrap();

        let err = store.config(app.id).await.unwrap_err();
        assert!(!format!("{err:?}").contains(CANARY));
    }
}
