//! Releases: numbered, begun, placed, failed and listed; `switch` makes them live.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::Store;
use super::column::{kind_columns, kind_of};
use super::config::{ConfigValues, open_snapshot, seal_snapshot};
use super::processes::forget_all;
use crate::error::{Error, Result};
use crate::model::{AppId, CommitId, ImageId, ProcessTable, ReleaseKind, ReleaseState, Revision, Stamp, Version};

const COLUMNS: &str = "app, version, kind, newer_kind, state, commit_id, is_recorded, image_id, image_tag, by, description, created_at, live_at, \
                       retired_at, reason, port, process_table";

/// One release; rows are never deleted while their app is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub app: AppId,
    pub version: Version,
    pub kind: ReleaseKind,
    pub state: ReleaseState,
    /// `None`: it was made of an image, not of a source.
    pub revision: Option<Revision>,
    pub image: ImageId,
    pub image_tag: String,
    /// The name of the key that made it.
    pub by: String,
    pub description: String,
    pub created_at: Stamp,
    pub live_at: Option<Stamp>,
    pub retired_at: Option<Stamp>,
    /// Why it failed.
    pub reason: Option<String>,
    /// Where its web processes listen.
    pub port: Option<u16>,
    /// What it can run.
    pub process_table: ProcessTable,
}

// === impl Release ===

impl Release {
    /// Returns the commit of the source, whoever made it.
    #[must_use]
    pub fn commit(&self) -> Option<&CommitId> {
        self.revision.as_ref().map(|revision| &revision.commit)
    }
}

/// A release to begin.
#[derive(Clone, Debug)]
pub struct NewRelease {
    pub kind: ReleaseKind,
    pub revision: Option<Revision>,
    pub image: ImageId,
    pub image_tag: String,
    pub by: String,
    pub description: String,
    pub config: ConfigValues,
    pub port: u16,
    pub process_table: ProcessTable,
}

// === impl Store ===

impl Store {
    /// Gives the next number and keeps the release as starting, with its config; the number is used up whatever follows.
    pub async fn begin_release(&self, app: AppId, new: NewRelease) -> Result<Release> {
        self.write(move |conn, sealer| {
            let version = next_version(conn, &app)?;
            let config = seal_snapshot(sealer, &app, version, &new.config);
            let (kind, newer_kind) = kind_columns(new.kind);
            let is_recorded = new.revision.as_ref().is_some_and(|revision| revision.is_recorded);
            let commit = new.revision.map(|revision| revision.commit);
            conn.execute(
                "INSERT INTO releases
                 (app, version, kind, newer_kind, state, commit_id, is_recorded, image_id, image_tag, by, description, created_at, sealed_config,
                  port, process_table)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                params![
                    app,
                    version,
                    kind,
                    newer_kind,
                    ReleaseState::Starting,
                    commit,
                    is_recorded,
                    new.image,
                    new.image_tag,
                    new.by,
                    new.description,
                    Stamp::now(),
                    config,
                    new.port,
                    table_column(&new.process_table)
                ],
            )?;
            release(conn, &app, version)
        })
        .await
    }

    /// Corrects the port that a starting release was begun with: its processes listen on another one.
    pub async fn set_port(&self, app: AppId, version: Version, port: u16) -> Result<()> {
        self.write(move |conn, _| {
            let state = release(conn, &app, version)?.state;
            if matches!(state, ReleaseState::Retired | ReleaseState::Failed) {
                return Err(is_already(version, state));
            }
            conn.execute("UPDATE releases SET port = ?3 WHERE app = ?1 AND version = ?2", params![app, version, port])?;
            Ok(())
        })
        .await
    }

    /// Marks a starting release, whose containers are gone, as failed; doing it twice is the same.
    pub async fn fail_release(&self, app: AppId, version: Version, reason: String) -> Result<()> {
        self.write(move |conn, _| match release(conn, &app, version)?.state {
            ReleaseState::Failed => Ok(()),
            ReleaseState::Starting => {
                let change = "UPDATE releases SET state = ?3, reason = ?4 WHERE app = ?1 AND version = ?2";
                conn.execute(change, params![app, version, ReleaseState::Failed, reason])?;
                forget_all(conn, &app, version)
            }
            state => Err(is_already(version, state)),
        })
        .await
    }

    /// Returns an app's releases, newest first.
    pub async fn releases(&self, app: AppId) -> Result<Vec<Release>> {
        self.select("app = ?1 ORDER BY version DESC", [app]).await
    }

    /// Returns one release; an unknown number is [`Kind::NotFound`](crate::error::Kind::NotFound).
    pub async fn release(&self, app: AppId, version: Version) -> Result<Release> {
        self.read(move |conn, _| release(conn, &app, version)).await
    }

    /// Returns the live releases of all apps: what the routes are made of.
    pub async fn live_releases(&self) -> Result<Vec<Release>> {
        self.select("state = 'live' ORDER BY app", []).await
    }

    /// Returns the releases that were starting or draining, oldest first: what start-up has to end.
    pub async fn unfinished_releases(&self) -> Result<Vec<Release>> {
        self.select("state IN ('starting', 'draining') ORDER BY app, version", []).await
    }

    /// Opens the config with which a release was begun.
    pub async fn release_config(&self, app: AppId, version: Version) -> Result<ConfigValues> {
        self.read(move |conn, sealer| {
            let query = "SELECT sealed_config FROM releases WHERE app = ?1 AND version = ?2";
            let sealed: Option<Vec<u8>> = conn.query_row(query, params![app, version], |row| row.get(0)).optional()?;
            open_snapshot(sealer, &app, version, &sealed.ok_or_else(|| unknown(version))?)
        })
        .await
    }

    async fn select<P: Params + Send + 'static>(&self, condition: &'static str, params: P) -> Result<Vec<Release>> {
        self.read(move |conn, _| {
            let mut query = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM releases WHERE {condition}"))?;
            let releases = query.query_map(params, from_row)?.collect::<rusqlite::Result<_>>()?;
            Ok(releases)
        })
        .await
    }
}

/// Reads one release within a transaction.
pub(super) fn release(conn: &Connection, app: &AppId, version: Version) -> Result<Release> {
    let query = format!("SELECT {COLUMNS} FROM releases WHERE app = ?1 AND version = ?2");
    conn.query_row(&query, params![app, version], from_row).optional()?.ok_or_else(|| unknown(version))
}

/// Returns the error for a step that a release in this state cannot take.
pub(super) fn is_already(version: Version, state: ReleaseState) -> Error {
    Error::busy(format!("{version} is {state} already"))
}

fn unknown(version: Version) -> Error {
    Error::not_found(format!("there is no release {version}")).hint("list them: mini releases")
}

fn next_version(conn: &Connection, app: &AppId) -> Result<Version> {
    let next = "UPDATE apps SET last_version = last_version + 1 WHERE id = ?1 RETURNING last_version";
    conn.query_row(next, [app], |row| row.get(0)).optional()?.ok_or_else(super::apps::gone)
}

/// What most releases can run is not written down: the mini of before made them so.
fn table_column(table: &ProcessTable) -> Option<String> {
    (*table != ProcessTable::default()).then(|| serde_json::to_string(table).expect("a process table is plain JSON"))
}

fn table_of(row: &Row<'_>) -> rusqlite::Result<ProcessTable> {
    let Some(text) = row.get::<_, Option<String>>("process_table")? else { return Ok(ProcessTable::default()) };
    serde_json::from_str(&text).map_err(|err| rusqlite::types::FromSqlError::Other(err.into()).into())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Release> {
    let (commit, is_recorded): (Option<CommitId>, bool) = (row.get("commit_id")?, row.get("is_recorded")?);
    Ok(Release {
        app: row.get("app")?,
        version: row.get("version")?,
        kind: kind_of(row)?,
        state: row.get("state")?,
        revision: commit.map(|commit| Revision { commit, is_recorded }),
        image: row.get("image_id")?,
        image_tag: row.get("image_tag")?,
        by: row.get("by")?,
        description: row.get("description")?,
        created_at: row.get("created_at")?,
        live_at: row.get("live_at")?,
        retired_at: row.get("retired_at")?,
        reason: row.get("reason")?,
        port: row.get("port")?,
        process_table: table_of(row)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_number_is_never_used_twice() {
        let (_dir, store, app) = with_app().await;
        let begin = || store.begin_release(app.id.clone(), new_release('a', &[]));

        let first = begin().await.unwrap();
        store.fail_release(app.id.clone(), first.version, "it did not start".into()).await.unwrap();
        let second = begin().await.unwrap();

        assert_eq!((first.version, second.version), (Version(1), Version(2)));
        assert_eq!(first.state, ReleaseState::Starting);
        let listed = store.releases(app.id.clone()).await.unwrap();
        assert_eq!(listed.iter().map(|release| release.version.0).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(listed[1].reason.as_deref(), Some("it did not start"));
        assert_eq!(store.app(app.id).await.unwrap().last_version, Some(Version(2)));
    }

    #[tokio::test]
    async fn a_release_carries_its_port_its_process_table_and_its_config() {
        let (_dir, store, app) = with_app().await;
        let table = ProcessTable::new([("worker".parse().unwrap(), Some(vec!["work".into()]))].into(), None);
        let new = NewRelease { process_table: table.clone(), ..new_release('a', &[("A", "ä\n1")]) };
        let version = store.begin_release(app.id.clone(), new).await.unwrap().version;

        store.set_port(app.id.clone(), version, 3000).await.unwrap();

        let release = store.release(app.id.clone(), version).await.unwrap();
        assert_eq!((release.port, release.process_table), (Some(3000), table));
        assert_eq!(release.revision, Some(Revision::pushed(commit())));
        assert_eq!(store.release_config(app.id.clone(), version).await.unwrap(), config(&[("A", "ä\n1")]));
        assert!(store.config(app.id).await.unwrap().is_empty(), "it is not the app's before the switch");
    }

    #[tokio::test]
    async fn a_release_of_an_upload_is_a_push_to_the_mini_of_before() {
        let (dir, store, app) = with_app().await;
        let new = NewRelease { kind: ReleaseKind::Upload, revision: Some(Revision::recorded(commit())), ..new_release('a', &[]) };

        let release = store.begin_release(app.id.clone(), new).await.unwrap();

        assert_eq!((release.kind, release.revision), (ReleaseKind::Upload, Some(Revision::recorded(commit()))));
        let before = Connection::open(dir.path().join("mini.db")).unwrap();
        assert_eq!(before.query_row("SELECT kind FROM releases", [], |row| row.get(0)), Ok("push".to_owned()));
    }

    #[tokio::test]
    async fn a_failed_release_takes_no_further_step() {
        let (_dir, store, app) = with_app().await;
        let version = placed(&store, &app, [10, 9, 0, 66]).await.version;
        let process = store.processes(app.id.clone()).await.unwrap().remove(0);

        store.fail_release(app.id.clone(), version, "first".into()).await.unwrap();
        store.fail_release(app.id.clone(), version, "second".into()).await.unwrap();

        assert_eq!(store.release(app.id.clone(), version).await.unwrap().reason.as_deref(), Some("first"));
        assert_eq!(store.set_container(process.id, container('c')).await.unwrap_err().kind(), Kind::Busy);
        assert_eq!(store.set_port(app.id.clone(), version, 3000).await.unwrap_err().kind(), Kind::Busy);
        assert!(store.retire(app.id.clone(), version).await.is_err());
        assert!(store.unfinished_releases().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        let (_dir, store, app) = with_app().await;

        let no_release = store.release(app.id.clone(), Version(7)).await.unwrap_err();
        let no_config = store.release_config(app.id, Version(7)).await.unwrap_err();
        let no_app = store.begin_release(AppId::random(), new_release('a', &[])).await.unwrap_err();

        for err in [no_release, no_config, no_app] {
            assert_eq!(err.kind(), Kind::NotFound);
        }
    }
}
