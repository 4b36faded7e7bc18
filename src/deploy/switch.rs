//! The switch: durable first, then one pointer in memory, then the old release is sent to drain.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::explain::seconds;
use super::prove::{Proven, WEB};
use super::{Deployer, Talk};
use crate::command::Released;
use crate::error::{Error, Result};
use crate::model::{AppId, ReleaseKind, Stage, Version};
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
    pub(super) async fn switch(&self, mut proven: Proven, branch: Option<&str>, begun: Instant, talk: &Talk) -> Result<Released> {
        let previous = match self.commit(&mut proven, branch).await {
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
        let pointed = match recipe.kind {
            ReleaseKind::Upload | ReleaseKind::Image | ReleaseKind::Rollback => self.point_refs(app, &release).await,
            // The branch stays where it is, or git itself moves it, which compares where it stood.
            ReleaseKind::Push | ReleaseKind::Rebuild | ReleaseKind::Config => self.point_deployed(&release).await,
        };
        if let Err(err) = pointed {
            tracing::error!(app.name = %app.name, ?err, "the repository could not follow what is live; the next start repairs it");
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
        let url = rooms.settings.app_url(&app.name, rooms.http_port);
        talk.detail(&url);
        talk.stage(Stage::Live);
        self.note(&app.id, "release", &format!("{version} is live: {} by {}", recipe.description, recipe.by)).await;
        tracing::info!(app.name = %app.name, release.version = %version, by = %recipe.by, "released");
        self.retire_in_background(app.clone(), previous, recipe.deploy);
        Ok(Released { app: recipe.app.name, version, url, container })
    }

    /// Makes the switch durable, if what was proven still runs: git and a slow client may have taken their time.
    async fn commit(&self, proven: &mut Proven, branch: Option<&str>) -> Result<Option<Version>> {
        let rooms = self.rooms();
        let (app, version) = (&proven.recipe.app, proven.release.version);
        if !rooms.engine.inspect(&proven.container).await?.is_some_and(|state| state.running) {
            return Err(Error::failed(format!("{WEB} died before the switch")).hint(format!("ssh mini logs {}", app.name)));
        }
        rooms.store.advance(proven.recipe.deploy, Stage::Stored).await?;
        if let Some(recorded) = proven.recipe.recorded.take() {
            self.git(move |_| recorded.store()).await?;
        }
        self.keep_commit(&proven.release).await?;
        let live = GoLive { deploy: Some(proven.recipe.deploy), branch: branch.map(str::to_owned) };
        rooms.store.go_live(app.id.clone(), version, live).await
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
