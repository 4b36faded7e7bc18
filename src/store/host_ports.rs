//! The TCP ports of the machine that apps may reach, by app.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use super::{Store, apps};
use crate::error::Result;
use crate::model::AppId;

// === impl Store ===

impl Store {
    /// Sets which ports of the machine an app may reach, in place of those before.
    pub async fn set_host_ports(&self, app: AppId, ports: BTreeSet<u16>) -> Result<()> {
        self.write(move |conn, _| {
            apps::app(conn, &app)?;
            conn.execute("DELETE FROM host_ports WHERE app = ?1", [&app])?;
            for port in ports {
                conn.execute("INSERT INTO host_ports (app, port) VALUES (?1, ?2)", params![app, port])?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the ports of all apps that may reach one.
    pub async fn host_ports(&self) -> Result<BTreeMap<AppId, BTreeSet<u16>>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached("SELECT app, port FROM host_ports")?;
            let mut ports: BTreeMap<AppId, BTreeSet<u16>> = BTreeMap::new();
            for row in query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
                let (app, port) = row?;
                ports.entry(app).or_default().insert(port);
            }
            Ok(ports)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn an_apps_ports_are_replaced_and_go_with_it() {
        let (_dir, store, app) = with_app().await;

        store.set_host_ports(app.id.clone(), BTreeSet::from([5432, 6379])).await.unwrap();
        store.set_host_ports(app.id.clone(), BTreeSet::from([80, 6379])).await.unwrap();

        assert_eq!(store.host_ports().await.unwrap(), BTreeMap::from([(app.id.clone(), BTreeSet::from([80, 6379]))]));
        store.destroy_app(app.id.clone()).await.unwrap();
        assert!(store.host_ports().await.unwrap().is_empty());
        assert_eq!(store.set_host_ports(app.id, BTreeSet::new()).await.unwrap_err().kind(), Kind::NotFound);
    }
}
