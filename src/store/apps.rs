//! Apps: a name that can be given again, an id that cannot.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::column::Address;
use super::edge::edge_column;
use super::storage::storage_column;
use super::{Store, destroyed};
use crate::error::{Error, Result};
use crate::model::{AppId, AppName, Edge, Stamp, Storage, Version};

const COLUMNS: &str = "id, name, created_at, created_by, deploy_branch, subnet, current_version, last_version, is_stopped, memory_bytes, \
                       cpu_millis, overlaps, health_path, health_seconds, edge, auto_certificates, \
                       (SELECT group_concat(name || ':' || path, char(10)) FROM storage WHERE storage.app = apps.id) AS storage";

/// One app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub name: AppName,
    pub created_at: Stamp,
    pub created_by: String,
    /// The branch whose pushes go live; the first one that does becomes it.
    pub deploy_branch: Option<String>,
    /// The app's own network, such as `10.210.0.64/26`.
    pub subnet: Option<String>,
    /// The live release.
    pub current_version: Option<Version>,
    /// The last number given to a release, also to a failed one.
    pub last_version: Option<Version>,
    /// `ps:stop` was said, and nothing has started it since.
    pub is_stopped: bool,
    /// What one container may use, memory and swap together; `None`: no limit.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor that one container may use; `None`: no limit.
    pub cpu_millis: Option<u32>,
    /// Its releases run beside each other for a moment although they share storage.
    pub overlaps: bool,
    /// Its volumes, by name.
    pub storage: Vec<Storage>,
    /// What is asked to see whether a release is ready; `None`: `/`.
    pub health_path: Option<String>,
    /// How long that is asked for; `None`: as the server is set.
    pub health_seconds: Option<u32>,
    /// What the proxy does for it besides forwarding.
    pub edge: Edge,
    /// The server gets certificates for its domains by itself.
    pub auto_certificates: bool,
}

// === impl App ===

impl App {
    /// Tells whether its web processes answer HTTP; those of others are live when they stay up, and no request from outside comes to them.
    #[must_use]
    pub fn answers_requests(&self) -> bool {
        self.health_path.as_deref() != Some("")
    }
}

// === impl Store ===

impl Store {
    /// Creates an app under an id that the caller made, because its repository came first; a taken name is [`Kind::Busy`](crate::error::Kind::Busy).
    pub async fn create_app(&self, id: AppId, name: AppName, by: String) -> Result<App> {
        let create = move |conn: &Connection| {
            if find(conn, &name)?.is_some() {
                return Err(Error::busy(format!("the name `{name}` is taken")).hint("choose another name"));
            }
            conn.execute(
                "INSERT INTO apps (id, name, created_at, created_by) VALUES (?1, ?2, ?3, ?4)",
                params![id, name, Stamp::now(), by],
            )?;
            app(conn, &id)
        };
        self.write(move |conn, _| create(conn)).await
    }

    /// Finds an app by its name.
    pub async fn app_by_name(&self, name: AppName) -> Result<Option<App>> {
        self.read(move |conn, _| find(conn, &name)).await
    }

    /// Returns an app; a gone one is [`Kind::NotFound`](crate::error::Kind::NotFound).
    pub async fn app(&self, id: AppId) -> Result<App> {
        self.read(move |conn, _| app(conn, &id)).await
    }

    /// Returns all apps by name.
    pub async fn apps(&self) -> Result<Vec<App>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM apps ORDER BY name"))?;
            let apps = query.query_map([], from_row)?.collect::<rusqlite::Result<_>>()?;
            Ok(apps)
        })
        .await
    }

    /// Removes an app with its config, releases, journal and place in keys' scopes; the name is free again.
    pub async fn destroy_app(&self, id: AppId) -> Result<()> {
        self.change_app(id, |conn, id| {
            let gone = conn.execute("DELETE FROM apps WHERE id = ?1", [id])?;
            if gone > 0 { destroyed::remember(conn, id) } else { Ok(0) }
        })
        .await
    }

    /// Sets the branch whose pushes go live.
    pub async fn set_deploy_branch(&self, id: AppId, branch: String) -> Result<()> {
        self.change_app(id, move |conn, id| conn.execute("UPDATE apps SET deploy_branch = ?2 WHERE id = ?1", params![id, branch])).await
    }

    /// Notes the app's network, such as `10.210.0.64/26`.
    pub async fn set_subnet(&self, id: AppId, subnet: String) -> Result<()> {
        base_of(&subnet)?;
        self.change_app(id, move |conn, id| conn.execute("UPDATE apps SET subnet = ?2 WHERE id = ?1", params![id, subnet])).await
    }

    /// Takes the next address of the app's network as an offset from its base, round-robin within `usable`.
    ///
    /// Skips what a process of a starting, live or draining release holds; going round makes a stale route miss instead of hitting a
    /// newer container. All taken is [`Kind::Unavailable`](crate::error::Kind::Unavailable).
    pub async fn take_address(&self, id: AppId, usable: Range<u32>) -> Result<u32> {
        self.write(move |conn, _| take_address(conn, &id, &usable)).await
    }

    async fn change_app(
        &self,
        id: AppId,
        change: impl FnOnce(&Connection, &AppId) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<()> {
        self.write(move |conn, _| if change(conn, &id)? == 0 { Err(gone()) } else { Ok(()) }).await
    }
}

/// Returns the error for an app that was destroyed meanwhile.
pub(super) fn gone() -> Error {
    Error::not_found("the app does not exist any more")
}

/// Reads one app within a transaction.
pub(super) fn app(conn: &Connection, id: &AppId) -> Result<App> {
    let row = conn.query_row(&format!("SELECT {COLUMNS} FROM apps WHERE id = ?1"), [id], from_row).optional()?;
    row.ok_or_else(gone)
}

fn find(conn: &Connection, name: &AppName) -> Result<Option<App>> {
    Ok(conn.query_row(&format!("SELECT {COLUMNS} FROM apps WHERE name = ?1"), [name], from_row).optional()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<App> {
    Ok(App {
        id: row.get("id")?,
        name: row.get("name")?,
        created_at: row.get("created_at")?,
        created_by: row.get("created_by")?,
        deploy_branch: row.get("deploy_branch")?,
        subnet: row.get("subnet")?,
        current_version: row.get("current_version")?,
        last_version: row.get("last_version").map(|version: Version| (version.0 > 0).then_some(version))?,
        is_stopped: row.get("is_stopped")?,
        memory_bytes: row.get::<_, Option<i64>>("memory_bytes")?.and_then(|bytes| u64::try_from(bytes).ok()),
        cpu_millis: row.get("cpu_millis")?,
        overlaps: row.get("overlaps")?,
        storage: storage_column(row)?,
        health_path: row.get("health_path")?,
        health_seconds: row.get("health_seconds")?,
        edge: edge_column(row)?,
        auto_certificates: row.get("auto_certificates")?,
    })
}

fn take_address(conn: &Connection, id: &AppId, usable: &Range<u32>) -> Result<u32> {
    let (subnet, next): (Option<String>, u32) = conn
        .query_row("SELECT subnet, next_address FROM apps WHERE id = ?1", [id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(gone)?;
    let base = base_of(&subnet.ok_or_else(|| Error::failed("the app has no network yet"))?)?;
    let held = held_offsets(conn, id, base)?;
    let start = if usable.contains(&next) { next } else { usable.start };
    let free = (start..usable.end).chain(usable.start..start).find(|offset| !held.contains(offset));
    let offset = free.ok_or_else(|| {
        Error::unavailable("no address is free in the app's network").hint("wait until its old releases have drained, then try again")
    })?;
    conn.execute("UPDATE apps SET next_address = ?2 WHERE id = ?1", params![id, offset + 1])?;
    Ok(offset)
}

fn held_offsets(conn: &Connection, id: &AppId, base: Ipv4Addr) -> Result<BTreeSet<u32>> {
    let mut query = conn.prepare_cached("SELECT address FROM processes WHERE app = ?1 AND address IS NOT NULL")?;
    let offset = |row: &Row<'_>| row.get(0).map(|address: Address| u32::from(address.0).wrapping_sub(u32::from(base)));
    Ok(query.query_map([id], offset)?.collect::<rusqlite::Result<_>>()?)
}

fn base_of(subnet: &str) -> Result<Ipv4Addr> {
    let parts = subnet.split_once('/').filter(|(_, length)| length.parse().is_ok_and(|length: u8| length <= 32));
    parts
        .and_then(|(base, _)| base.parse().ok())
        .ok_or_else(|| Error::failed(format!("`{}` is not an IPv4 network", subnet.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;
    use crate::model::{Role, Scope};

    #[tokio::test]
    async fn a_name_is_taken_until_its_app_is_destroyed() {
        let (_dir, store, app) = with_app().await;
        let name: AppName = "blog".parse().unwrap();

        let taken = store.create_app(crate::model::AppId::random(), name.clone(), "ben".into()).await.unwrap_err();
        store.destroy_app(app.id.clone()).await.unwrap();
        let second = store.create_app(crate::model::AppId::random(), name.clone(), "ben".into()).await.unwrap();

        assert_eq!(taken.kind(), Kind::Busy);
        assert_ne!(second.id, app.id);
        assert_eq!(store.apps().await.unwrap(), std::slice::from_ref(&second));
        assert_eq!(store.app_by_name(name).await.unwrap(), Some(second));
        assert_eq!(store.destroy_app(app.id).await.unwrap_err().kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn destroying_an_app_takes_all_it_had_and_never_widens_a_key() {
        let (_dir, store, app) = with_app().await;
        live(&store, &app, 'a', &[("A", "1")]).await;
        store.begin_deploy(new_deploy(&app)).await.unwrap();
        let only = Scope::Only([app.id.clone()].into());
        store.add_key(new_key("ci", 1, Role::Deploy, only)).await.unwrap();

        store.destroy_app(app.id.clone()).await.unwrap();

        assert!(store.releases(app.id.clone()).await.unwrap().is_empty());
        assert!(store.config(app.id.clone()).await.unwrap().is_empty());
        assert!(store.unfinished_deploys().await.unwrap().is_empty());
        assert_eq!(store.keys().await.unwrap()[0].scope, Scope::Only([].into()));
    }

    #[tokio::test]
    async fn settings_are_kept() {
        let (_dir, store, app) = with_app().await;

        store.set_deploy_branch(app.id.clone(), "trunk".into()).await.unwrap();
        store.set_subnet(app.id.clone(), "10.9.0.64/26".into()).await.unwrap();

        let app = store.app(app.id).await.unwrap();
        assert_eq!((app.deploy_branch.as_deref(), app.subnet.as_deref()), (Some("trunk"), Some("10.9.0.64/26")));
        assert!(store.set_subnet(app.id, "10.9.0.64".into()).await.is_err());
    }

    #[tokio::test]
    async fn addresses_go_round_and_skip_what_is_held() {
        let (_dir, store, app) = with_app().await;
        let take = || store.take_address(app.id.clone(), 2..5);
        assert!(take().await.is_err(), "an app without a network has no address");
        store.set_subnet(app.id.clone(), "10.9.0.64/26".into()).await.unwrap();
        placed(&store, &app, [10, 9, 0, 67]).await;

        assert_eq!(take().await.unwrap(), 2);
        assert_eq!(take().await.unwrap(), 4);
        assert_eq!(take().await.unwrap(), 2);
        placed(&store, &app, [10, 9, 0, 66]).await;
        let last = placed(&store, &app, [10, 9, 0, 68]).await;
        assert_eq!(take().await.unwrap_err().kind(), Kind::Unavailable);

        store.fail_release(app.id.clone(), last.version, "it did not start".into()).await.unwrap();
        assert_eq!(take().await.unwrap(), 4);
    }
}
