//! The end of a release: no new requests, the last answer, SIGTERM, grace, SIGKILL; its last words are kept.

use std::time::Duration;

use super::Deployer;
use super::prove::WEB;
use crate::error::Result;
use crate::logs::{LogLine, Source};
use crate::model::limits::ARCHIVED_LINES;
use crate::model::{ContainerId, Stage, Version};
use crate::store::{App, DeployId};

impl Deployer {
    /// Drains and retires the release that was replaced; the deploy is done when that is.
    pub(super) fn retire_in_background(&self, app: App, previous: Option<Version>, deploy: DeployId) {
        let deployer = self.clone();
        self.inner.background.spawn(async move {
            if let Err(err) = deployer.retire(&app, previous, deploy).await {
                tracing::error!(app.name = %app.name, ?err, "an old release could not be retired; the next start does it");
            }
        });
    }

    async fn retire(&self, app: &App, previous: Option<Version>, deploy: DeployId) -> Result<()> {
        if let Some(version) = previous {
            self.rooms().store.advance(deploy, Stage::Draining).await?;
            if let Some(drained) = self.inner.drains.take(&app.id, version) {
                // The deadline cuts what is left: its connections end with the container.
                let _ = tokio::time::timeout(self.rooms().settings.drain_time, drained.wait()).await;
            }
            self.retire_release(app, version).await?;
        }
        self.rooms().store.finish(deploy).await?;
        self.drop_old_images(app).await
    }

    /// Stops a release's container and marks the release retired; what is already gone is fine.
    pub(super) async fn retire_release(&self, app: &App, version: Version) -> Result<()> {
        let row = self.rooms().store.release(app.id.clone(), version).await?;
        if let Some(container) = row.container {
            self.discard(app, version, &container, self.rooms().settings.stop_grace).await;
        }
        self.rooms().store.retire(app.id.clone(), version).await
    }

    /// Stops a container, keeps what it said in the app's log and removes it.
    pub(super) async fn discard(&self, app: &App, version: Version, container: &ContainerId, grace: Duration) {
        let engine = &self.rooms().engine;
        if let Err(err) = engine.stop(container, grace).await {
            tracing::warn!(app.name = %app.name, release.version = %version, ?err, "a container could not be stopped");
        }
        match engine.tail(container, ARCHIVED_LINES).await {
            Ok(lines) => {
                let lines = lines.into_iter().map(|line| LogLine::new(line.at, Source::app(WEB), &line.text)).collect();
                if let Err(err) = self.rooms().logs.archive(app.id.clone(), lines).await {
                    tracing::warn!(app.name = %app.name, ?err, "a container's log could not be kept");
                }
            }
            Err(err) => tracing::warn!(app.name = %app.name, release.version = %version, ?err, "a container's log could not be read"),
        }
        if let Err(err) = engine.remove(container).await {
            tracing::error!(app.name = %app.name, release.version = %version, ?err, "a container could not be removed; the next start does it");
        }
    }
}
