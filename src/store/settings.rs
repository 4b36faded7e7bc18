//! What is set of an app besides its config: how many processes, what they may use, whether they run.

use rusqlite::{Connection, params};

use super::Store;
use super::apps::gone;
use super::edge;
use super::storage::{doom, mount, unmount};
use crate::error::Result;
use crate::model::{AppId, EdgeChange, Formation, ProcessType, Storage, StorageName};

/// What a change of processes makes true of their app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppSetting {
    Quantity(ProcessType, u32),
    Stopped(bool),
    /// `None`: no limit.
    MemoryBytes(Option<u64>),
    /// Thousandths of a processor; `None`: no limit.
    CpuMillis(Option<u32>),
    Mounted(Storage),
    Unmounted(StorageName),
    /// The data of this volume is to be deleted.
    Doomed(String),
    /// Releases run beside each other for a moment although they share storage.
    Overlaps(bool),
    /// What is asked to see whether a release is ready; `None`: `/`, the empty text: nothing, it answers no requests.
    HealthPath(Option<String>),
    /// How long that is asked for; `None`: as the server is set.
    HealthSeconds(Option<u32>),
    /// What the proxy does for it besides forwarding.
    Edge(EdgeChange),
    /// The server gets certificates for its domains by itself.
    AutoCertificates(bool),
}

// === impl Store ===

impl Store {
    /// Makes something true of an app that runs nothing which would have to change with it.
    pub async fn set_app(&self, app: AppId, settings: Vec<AppSetting>) -> Result<()> {
        self.write(move |conn, _| set_all(conn, &app, &settings)).await
    }

    /// Returns how many processes of each type somebody asked for.
    pub async fn formation(&self, app: AppId) -> Result<Formation> {
        self.read(move |conn, _| {
            let mut query = conn.prepare_cached("SELECT kind, quantity FROM formation WHERE app = ?1")?;
            Ok(query.query_map([app], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Makes settings true of an app, within a transaction.
pub(super) fn set_all(conn: &Connection, app: &AppId, settings: &[AppSetting]) -> Result<()> {
    for setting in settings {
        let changed = match setting {
            AppSetting::Quantity(kind, quantity) => conn.execute(
                "INSERT INTO formation (app, kind, quantity) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET quantity = excluded.quantity",
                params![app, kind, quantity],
            )?,
            AppSetting::Stopped(is) => conn.execute("UPDATE apps SET is_stopped = ?2 WHERE id = ?1", params![app, is])?,
            AppSetting::MemoryBytes(bytes) => {
                let bytes = bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
                conn.execute("UPDATE apps SET memory_bytes = ?2 WHERE id = ?1", params![app, bytes])?
            }
            AppSetting::CpuMillis(millis) => conn.execute("UPDATE apps SET cpu_millis = ?2 WHERE id = ?1", params![app, millis])?,
            AppSetting::Mounted(storage) => mount(conn, app, storage)?,
            AppSetting::Unmounted(name) => unmount(conn, app, name)?,
            AppSetting::Doomed(volume) => doom(conn, volume)?,
            AppSetting::Overlaps(is) => conn.execute("UPDATE apps SET overlaps = ?2 WHERE id = ?1", params![app, is])?,
            AppSetting::HealthPath(path) => conn.execute("UPDATE apps SET health_path = ?2 WHERE id = ?1", params![app, path])?,
            AppSetting::Edge(change) => edge::change(conn, app, change)?,
            AppSetting::AutoCertificates(is) => conn.execute("UPDATE apps SET auto_certificates = ?2 WHERE id = ?1", params![app, is])?,
            AppSetting::HealthSeconds(time) => conn.execute("UPDATE apps SET health_seconds = ?2 WHERE id = ?1", params![app, time])?,
        };
        if changed == 0 {
            return Err(gone());
        }
    }
    Ok(())
}
