//! The end of processes: no new requests, the last answer, SIGTERM, grace, SIGKILL; their last words are kept.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::Deployer;
use super::fault::contained;
use super::owed::End;
use crate::engine::ContainerSummary;
use crate::error::Result;
use crate::logs::{LogLine, Source};
use crate::model::limits::ARCHIVED_LINES;
use crate::model::{AppId, ContainerId, Stage, Version};
use crate::route::Drained;
use crate::store::{App, DeployId, Process};

/// A task of this run ends a release.
pub(super) struct Retiring {
    deployer: Deployer,
    app: AppId,
    version: Version,
}

impl Drop for Retiring {
    fn drop(&mut self) {
        self.deployer.retiring().remove(&(self.app.clone(), self.version));
    }
}

impl Deployer {
    /// Drains and retires the release that was replaced, and starts what the new one runs besides; the deploy is done when that is.
    pub(super) fn retire_in_background(&self, app: App, previous: Option<Version>, deploy: DeployId, retiring: Option<Retiring>) {
        let deployer = self.clone();
        self.inner.background.spawn(async move {
            // Without an engine or room on the disk it is left draining, for the resync; the deploy itself is over.
            if let Err(err) = Box::pin(contained(deployer.retire(&app, previous, deploy))).await {
                tracing::error!(app.name = %app.name, ?err, "an old release could not be retired; the next resync does it");
            }
            drop(retiring);
            crate::failpoint!("retire::noted");
            deployer.write_down(End::Done(deploy)).await;
            crate::failpoint!("done::committed");
            if let Err(err) = deployer.drop_old_images(&app).await {
                tracing::warn!(app.name = %app.name, ?err, "old images could not be removed");
            }
        });
    }

    async fn retire(&self, app: &App, previous: Option<Version>, deploy: DeployId) -> Result<()> {
        if previous.is_some() {
            crate::failpoint!("draining::before");
            // Only told: the release drains whether the journal has room for that or not.
            if let Err(err) = self.rooms().store.advance(deploy, Stage::Draining).await {
                tracing::warn!(app.name = %app.name, %deploy, ?err, "the journal does not say that a release drains");
            }
            crate::failpoint!("draining::committed");
        }
        let drained = async {
            if let Some(version) = previous {
                // The deadline cuts what is left: its connections end with the containers.
                self.wait_drained(app, version, self.rooms().settings.drain_time).await;
            }
        };
        let (settled, ()) = tokio::join!(Box::pin(self.settle_others(&app.id)), drained);
        if let Err(err) = settled {
            tracing::error!(app.name = %app.name, ?err, "processes beside the web ones do not run; the next resync starts them");
        }
        if let Some(version) = previous {
            crate::failpoint!("draining::drained");
            self.retire_release(app, version).await?;
        }
        Ok(())
    }

    /// Stops a release's containers and marks the release retired; what is already gone is fine.
    pub(super) async fn retire_release(&self, app: &App, version: Version) -> Result<()> {
        let grace = self.rooms().settings.stop_grace;
        let containers = self.containers_of(&app.id, version).await?;
        let end =
            |container: ContainerSummary| async move { self.discard(app, &container.id, &container.process_name(), grace).await }.boxed();
        join_all(containers.into_iter().map(end).collect::<Vec<_>>()).await;
        crate::failpoint!("retire::removed");
        self.rooms().store.retire(app.id.clone(), version).await
    }

    /// Notes that a task of this run ends a release, until what this returns is dropped; `None` when another one does.
    pub(super) fn begin_retiring(&self, app: &AppId, version: Version) -> Option<Retiring> {
        let is_new = self.retiring().insert((app.clone(), version));
        is_new.then(|| Retiring { deployer: self.clone(), app: app.clone(), version })
    }

    pub(super) fn is_retiring(&self, app: &AppId, version: Version) -> bool {
        self.retiring().contains(&(app.clone(), version))
    }

    fn retiring(&self) -> MutexGuard<'_, HashSet<(AppId, Version)>> {
        self.inner.retiring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends processes that a change of a live release left behind, after what they had to answer is answered.
    pub(super) fn end_in_background(&self, app: App, leaving: Vec<Process>, drains: Vec<Drained>) {
        if leaving.is_empty() {
            return;
        }
        let deployer = self.clone();
        self.inner.background.spawn(async move {
            deployer.wait_all(drains, deployer.rooms().settings.drain_time).await;
            deployer.end_processes(&app, &leaving).await;
            if let Err(err) = deployer.sweep_volumes().await {
                tracing::warn!(app.name = %app.name, ?err, "volumes that are to be deleted stay until the next resync");
            }
        });
    }

    /// Stops and removes processes and forgets their rows; a container that cannot be removed is one that no row knows, for the resync.
    pub(super) async fn end_processes(&self, app: &App, leaving: &[Process]) {
        let ends: Vec<_> = leaving.iter().map(|process| self.end_process(app, process).boxed()).collect();
        join_all(ends).await;
    }

    async fn end_process(&self, app: &App, process: &Process) {
        if let Some(container) = &process.container {
            self.discard(app, container, &process.name(), self.rooms().settings.stop_grace).await;
        }
        self.write_down(End::Gone(process.id)).await;
    }

    /// Stops a container, keeps what it said in the app's log and removes it.
    pub(super) async fn discard(&self, app: &App, container: &ContainerId, process: &str, grace: Duration) {
        let engine = &self.rooms().engine;
        if let Err(err) = engine.stop(container, grace).await {
            tracing::warn!(app.name = %app.name, process, ?err, "a container could not be stopped");
        }
        crate::failpoint!("retire::stopped");
        match engine.tail(container, ARCHIVED_LINES).await {
            Ok(lines) => {
                let lines = lines.into_iter().map(|line| LogLine::new(line.at, Source::app(process), &line.text)).collect();
                if let Err(err) = self.rooms().logs.archive(app.id.clone(), lines).await {
                    tracing::warn!(app.name = %app.name, process, ?err, "a container's log could not be kept");
                }
            }
            Err(err) => tracing::warn!(app.name = %app.name, process, ?err, "a container's log could not be read"),
        }
        if let Err(err) = engine.remove(container).await {
            tracing::error!(app.name = %app.name, process, ?err, "a container could not be removed; the next start does it");
        }
        self.inner.routing.rose(container);
        self.inner.crashes.forget(container);
    }
}
