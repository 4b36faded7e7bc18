//! The registries that the server has a login for; passwords are sealed like config.

use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use super::seal::Label;
use crate::error::{Error, Result};
use crate::model::{RegistryHost, Secret, Stamp};

/// A login at a registry, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    pub host: RegistryHost,
    pub username: String,
    pub added_at: Stamp,
    /// The name of the key that added it.
    pub added_by: String,
}

// === impl Store ===

impl Store {
    /// Keeps a login; an earlier one at the same registry is replaced.
    pub async fn set_registry(&self, host: RegistryHost, username: String, password: Secret, by: String) -> Result<()> {
        self.write(move |conn, sealer| {
            let sealed = sealer.seal(Label::Registry(&host), password.expose().as_bytes());
            conn.execute(
                "INSERT OR REPLACE INTO registries (host, username, sealed_password, added_at, added_by) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![host, username, sealed, Stamp::now(), by],
            )?;
            Ok(())
        })
        .await
    }

    /// Returns the logins by registry.
    pub async fn registries(&self) -> Result<Vec<Registry>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached("SELECT host, username, added_at, added_by FROM registries ORDER BY host")?;
            Ok(query.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Opens the username and password for a registry; `None` if there is no login.
    pub async fn registry_login(&self, host: RegistryHost) -> Result<Option<(String, Secret)>> {
        self.read(move |conn, sealer| {
            let query = "SELECT username, sealed_password FROM registries WHERE host = ?1";
            let found = conn.query_row(query, [&host], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
            let Some((username, sealed)) = found else { return Ok(None) };
            let plain = sealer.open_sealed(Label::Registry(&host), &sealed)?;
            let password = String::from_utf8(plain).map_err(|_| Error::setup("the database holds a password that is no text"))?;
            Ok(Some((username, Secret::new(password))))
        })
        .await
    }

    /// Forgets a login; without one it is [`Kind::NotFound`](crate::error::Kind::NotFound).
    pub async fn remove_registry(&self, host: RegistryHost) -> Result<()> {
        self.write(move |conn, _| match conn.execute("DELETE FROM registries WHERE host = ?1", [&host])? {
            0 => Err(Error::not_found(format!("there is no login for `{host}`")).hint("see them: ssh mini registry")),
            _ => Ok(()),
        })
        .await
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Registry> {
    Ok(Registry { host: row.get("host")?, username: row.get("username")?, added_at: row.get("added_at")?, added_by: row.get("added_by")? })
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_login_is_kept_sealed_and_forgotten() {
        let (dir, store) = fresh();
        let host: RegistryHost = "registry.example.com:5000".parse().unwrap();
        let set = |password: &str| store.set_registry(host.clone(), "bot".into(), Secret::new(password.into()), "anna".into());

        set("first").await.unwrap();
        set(CANARY).await.unwrap();

        let (username, password) = store.registry_login(host.clone()).await.unwrap().unwrap();
        assert_eq!((username.as_str(), password.expose()), ("bot", CANARY));
        assert_eq!(store.registries().await.unwrap().len(), 1);
        assert!(!holds_canary(dir.path()));
        store.remove_registry(host.clone()).await.unwrap();
        assert!(store.registry_login(host.clone()).await.unwrap().is_none());
        assert_eq!(store.remove_registry(host).await.unwrap_err().kind(), Kind::NotFound);
    }
}
