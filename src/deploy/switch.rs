//! The switch: durable first, then one pointer in memory, then the old release is sent to drain.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::explain::seconds;
use super::prove::{Proven, WEB};
use super::{Deployer, Talk};
use crate::error::{Error, Result};
use crate::model::{AppId, CommitId, Stage, Version};
use crate::route::{Drained, Release as Route};
use crate::store::{App, GoLive};

/// When each routed release has answered its last request.
#[derive(Default)]
pub(super) struct Drains(Mutex<HashMap<(AppId, Version), Drained>>);

// === impl Drains ===

impl Drains {
    fn insert(&self, app: &AppId, version: Version, drained: Drained) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((app.clone(), version), drained);
    }

    pub(super) fn take(&self, app: &AppId, version: Version) -> Option<Drained> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(app.clone(), version))
    }
}

impl Deployer {
    /// Makes a proven release the one that serves; from its commit on, everything that fails is repaired at start-up.
    ///
    /// `branch` becomes the deploy branch of an app that has none. An error means that the old release still serves.
    pub(super) async fn switch(&self, proven: Proven, branch: Option<&str>, begun: Instant, talk: &Talk) -> Result<Version> {
        let previous = match self.commit(&proven, branch).await {
            Ok(previous) => previous,
            Err(err) => {
                self.abandon(proven, err.sentence()).await;
                return Err(err);
            }
        };
        let rooms = self.rooms();
        let Proven { recipe, release, container, address, beside, traffic, turn } = proven;
        let (app, version) = (&recipe.app, release.version);
        self.route(app, version, address);
        if let Err(err) = rooms.engine.set_restart(&container, true).await {
            tracing::warn!(app.name = %app.name, release.version = %version, ?err, "the restart policy could not be set");
        }
        if let Some(commit) = &recipe.commit
            && let Err(err) = self.set_deployed(&app.id, commit).await
        {
            tracing::error!(app.name = %app.name, ?err, "the ref `deployed` could not be moved");
        }
        drop(turn);

        let now = rooms.routes.traffic(&app.id);
        let served = now.served.saturating_sub(traffic.served);
        match beside {
            Some(_) if served > 0 => {
                talk.step(format!(
                    "Switched to {version}: {served} requests served meanwhile, {} failed",
                    now.failed.saturating_sub(traffic.failed)
                ));
            }
            _ => talk.step(format!("Switched to {version}")),
        }
        talk.result(format!("Released {version} in {}", seconds(begun.elapsed())));
        talk.detail(rooms.settings.app_url(&app.name, rooms.http_port));
        self.note(&app.id, "release", &format!("{version} is live: {} by {}", recipe.description, recipe.by)).await;
        tracing::info!(app.name = %app.name, release.version = %version, by = %recipe.by, "released");
        self.retire_in_background(app.clone(), previous, recipe.deploy);
        Ok(version)
    }

    /// Makes the switch durable, if what was proven still runs: git and a slow client may have taken their time.
    async fn commit(&self, proven: &Proven, branch: Option<&str>) -> Result<Option<Version>> {
        let rooms = self.rooms();
        let (app, version) = (&proven.recipe.app, proven.release.version);
        if !rooms.engine.inspect(&proven.container).await?.is_some_and(|state| state.running) {
            return Err(Error::failed(format!("{WEB} died before the switch")).hint(format!("ssh mini logs {}", app.name)));
        }
        rooms.store.advance(proven.recipe.deploy, Stage::Stored).await?;
        if let Some(commit) = &proven.recipe.commit {
            let (id, commit) = (app.id.clone(), commit.clone());
            self.git(move |git| git.set_release_ref(&id, version, &commit)).await?;
        }
        let live = GoLive { deploy: Some(proven.recipe.deploy), branch: branch.map(str::to_owned) };
        rooms.store.go_live(app.id.clone(), version, live).await
    }

    async fn set_deployed(&self, app: &AppId, commit: &CommitId) -> Result<()> {
        let (app, commit) = (app.clone(), commit.clone());
        self.git(move |git| git.set_deployed(&app, &commit)).await
    }

    /// Lets a release answer from now on.
    pub(super) fn route(&self, app: &App, version: Version, address: SocketAddr) {
        let (route, drained) = Route::new(app.name.clone(), app.id.clone(), version, address);
        self.inner.drains.insert(&app.id, version, drained);
        self.rooms().routes.add_app(app.name.clone(), app.id.clone());
        self.rooms().routes.set_up(&app.id);
        drop(self.rooms().routes.switch(&app.id, route));
    }
}
