//! The switch: one transaction makes a release live and the one before it drain.

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::config::{self, open_snapshot};
use super::deploys;
use super::processes;
use super::releases::{is_already, release};
use super::seal::Sealer;
use crate::error::Result;
use crate::model::{AppId, DeployId, ReleaseState, Stage, Stamp, Version};

/// What goes into the switch beside the release itself.
#[derive(Clone, Debug, Default)]
pub struct GoLive {
    /// The journal's row, which becomes [`Stage::Live`].
    pub deploy: Option<DeployId>,
    /// The branch that was pushed: the app's deploy branch from now on, when it had none.
    pub branch: Option<String>,
}

// === impl Store ===

impl Store {
    /// Makes a starting release live and its config the app's; returns the release that drains from now on.
    pub async fn go_live(&self, app: AppId, version: Version, with: GoLive) -> Result<Option<Version>> {
        self.write(move |conn, sealer| {
            let state = release(conn, &app, version)?.state;
            if state != ReleaseState::Starting {
                return Err(is_already(version, state));
            }
            let previous = drain_live(conn, &app)?;
            processes::serve_all(conn, &app, version)?;
            let live = "UPDATE releases SET state = ?3, live_at = ?4 WHERE app = ?1 AND version = ?2";
            conn.execute(live, params![app, version, ReleaseState::Live, Stamp::now()])?;
            let current = "UPDATE apps SET current_version = ?2, deploy_branch = coalesce(deploy_branch, ?3) WHERE id = ?1";
            conn.execute(current, params![app, version, with.branch])?;
            restore_config(conn, sealer, &app, version)?;
            if let Some(deploy) = with.deploy {
                deploys::advance(conn, deploy, Stage::Live)?;
            }
            Ok(previous)
        })
        .await
    }

    /// Marks a draining release as retired, after its container is gone; doing it twice is the same.
    pub async fn retire(&self, app: AppId, version: Version) -> Result<()> {
        self.write(move |conn, _| match release(conn, &app, version)?.state {
            ReleaseState::Retired => Ok(()),
            ReleaseState::Draining => {
                let change = "UPDATE releases SET state = ?3, retired_at = ?4 WHERE app = ?1 AND version = ?2";
                conn.execute(change, params![app, version, ReleaseState::Retired, Stamp::now()])?;
                processes::forget_all(conn, &app, version)
            }
            state => Err(is_already(version, state)),
        })
        .await
    }
}

fn drain_live(conn: &Connection, app: &AppId) -> Result<Option<Version>> {
    let change = "UPDATE releases SET state = ?2 WHERE app = ?1 AND state = ?3 RETURNING version";
    Ok(conn.query_row(change, params![app, ReleaseState::Draining, ReleaseState::Live], |row| row.get(0)).optional()?)
}

fn restore_config(conn: &Connection, sealer: &Sealer, app: &AppId, version: Version) -> Result<()> {
    let query = "SELECT sealed_config FROM releases WHERE app = ?1 AND version = ?2";
    let snapshot: Vec<u8> = conn.query_row(query, params![app, version], |row| row.get(0))?;
    config::replace(conn, sealer, app, &open_snapshot(sealer, app, version, &snapshot)?)
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn the_switch_changes_everything_at_once() {
        let (_dir, store, app) = with_app().await;
        let first = live(&store, &app, 'a', &[("A", "1"), ("GONE", "x")]).await;
        let deploy = store.begin_deploy(new_deploy(&app)).await.unwrap();
        let second = store.begin_release(app.id.clone(), new_release('b', &[("A", "2")])).await.unwrap().version;

        let with = GoLive { deploy: Some(deploy), branch: Some("main".into()) };
        let previous = store.go_live(app.id.clone(), second, with).await.unwrap();

        assert_eq!(previous, Some(first));
        assert_eq!(store.release(app.id.clone(), first).await.unwrap().state, ReleaseState::Draining);
        assert_eq!(store.live_releases().await.unwrap()[0].version, second);
        assert_eq!(store.config(app.id.clone()).await.unwrap(), config(&[("A", "2")]));
        assert_eq!(store.deploy(deploy).await.unwrap().stage, Stage::Live);
        let app = store.app(app.id).await.unwrap();
        assert_eq!((app.current_version, app.deploy_branch.as_deref()), (Some(second), Some("main")));
    }

    #[tokio::test]
    async fn a_switch_that_cannot_end_changes_nothing() {
        let (_dir, store, app) = with_app().await;
        let first = live(&store, &app, 'a', &[("A", "1")]).await;
        let deploy = store.begin_deploy(new_deploy(&app)).await.unwrap();
        store.fail(deploy, "cancelled".into()).await.unwrap();
        let second = store.begin_release(app.id.clone(), new_release('b', &[("A", "2")])).await.unwrap().version;

        let with = GoLive { deploy: Some(deploy), branch: Some("main".into()) };
        store.go_live(app.id.clone(), second, with).await.unwrap_err();

        assert_eq!(store.live_releases().await.unwrap()[0].version, first);
        assert_eq!(store.config(app.id.clone()).await.unwrap(), config(&[("A", "1")]));
        assert_eq!(store.app(app.id).await.unwrap().deploy_branch, None);
    }

    #[tokio::test]
    async fn a_release_goes_live_once_and_drains_before_it_retires() {
        let (_dir, store, app) = with_app().await;
        let first = live(&store, &app, 'a', &[]).await;

        assert_eq!(store.retire(app.id.clone(), first).await.unwrap_err().kind(), Kind::Busy);
        assert_eq!(store.go_live(app.id.clone(), first, GoLive::default()).await.unwrap_err().kind(), Kind::Busy);
        live(&store, &app, 'b', &[]).await;
        assert_eq!(store.unfinished_releases().await.unwrap()[0].version, first);
        store.retire(app.id.clone(), first).await.unwrap();
        store.retire(app.id.clone(), first).await.unwrap();

        let retired = store.release(app.id, first).await.unwrap();
        assert_eq!(retired.state, ReleaseState::Retired);
        assert!(retired.retired_at.is_some());
    }

    #[tokio::test]
    async fn the_deploy_branch_is_the_first_one_that_went_live() {
        let (_dir, store, app) = with_app().await;

        for branch in [None, Some("main"), Some("master")] {
            let version = store.begin_release(app.id.clone(), new_release('a', &[])).await.unwrap().version;
            let with = GoLive { deploy: None, branch: branch.map(str::to_owned) };
            store.go_live(app.id.clone(), version, with).await.unwrap();
        }

        assert_eq!(store.app(app.id).await.unwrap().deploy_branch.as_deref(), Some("main"));
    }
}
