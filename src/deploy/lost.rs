//! Live releases whose image is not in the engine, as after a restore on a new machine: built again, one app after the other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

use super::{Change, Deployer};
use crate::error::{Error, Kind, Result};
use crate::model::{AppId, ImageId, Version};
use crate::store::{App, Release};

/// The live releases that have no image.
#[derive(Default)]
pub(super) struct Lost {
    apps: Mutex<HashMap<AppId, Version>>,
    /// One is built at a time: after a restore there may be many, and pushes want to be built too.
    turn: AsyncMutex<()>,
}

// === impl Lost ===

impl Lost {
    fn apps(&self) -> MutexGuard<'_, HashMap<AppId, Version>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deployer {
    /// Tells whether a live release cannot run because its image is gone.
    #[must_use]
    pub fn has_lost_image(&self, release: &Release) -> bool {
        self.inner.lost.apps().get(&release.app) == Some(&release.version)
    }

    pub(super) async fn is_image_there(&self, image: &ImageId) -> Result<bool> {
        match self.rooms().engine.image(image.as_str()).await {
            Ok(_) => Ok(true),
            Err(err) if err.kind() == Kind::NotFound => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Notes that a live release's image is there again.
    pub(super) fn found_image(&self, app: &AppId) {
        self.inner.lost.apps().remove(app);
    }

    /// Has a live release without an image built again from its commit: once in the run of a server, what fails then waits for a person.
    pub(super) fn rebuild_lost(&self, app: App, release: &Release) {
        let version = release.version;
        if self.inner.lost.apps().insert(app.id.clone(), version) == Some(version) {
            return;
        }
        let deployer = self.clone();
        self.in_background(async move {
            let _turn = deployer.inner.lost.turn.lock().await;
            let Err(err) = Box::pin(deployer.try_rebuild(&app, version)).await else { return };
            match err.kind() {
                // Destroyed meanwhile.
                Kind::NotFound if deployer.present(&app.id).await.is_err() => {}
                // Somebody pushes, or the server stops: the next resync looks again.
                Kind::Busy => deployer.found_image(&app.id),
                _ => deployer.tell_lost(&app, version, &err).await,
            }
        });
    }

    async fn try_rebuild(&self, app: &App, version: Version) -> Result<()> {
        // Somebody was faster, or is about to be: a rebuild would cancel their push.
        if self.live_release(&app.id).await?.is_none_or(|live| live.version != version) {
            return Ok(());
        }
        if self.inner.turns.is_pushing(&app.id) {
            return Err(Error::busy("somebody pushes to it"));
        }
        tracing::info!(app.name = %app.name, release.version = %version, "building an app whose image is gone again");
        self.note(&app.id, "release", &format!("the image of {version} is gone: it is built again from its commit")).await;
        let talk = super::Talk::silent();
        self.change(&app.id, Change::Rebuild { no_cache: false }, "mini", &talk, &CancellationToken::new()).await.map(drop)
    }

    async fn tell_lost(&self, app: &App, version: Version, err: &Error) {
        tracing::error!(app.name = %app.name, release.version = %version, ?err, "an app whose image is gone could not be built again");
        let text = format!("{version} is down: its image is gone, and building it again failed: {err}. Try: mini rebuild {}", app.name);
        self.note(&app.id, "release", &text).await;
    }
}
