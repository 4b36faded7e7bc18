//! Start-up and resync: rows say what should be, the engine what is; this makes them agree.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::Deployer;
use crate::engine::{ContainerSummary, TRIAL};
use crate::error::{Kind, Result};
use crate::git::Git;
use crate::model::{AppId, ProcessState, ReleaseState, Version};
use crate::store::{App, Process};

/// What the last run of the server left under way.
pub(super) struct Left {
    /// Starting and draining ones.
    releases: Vec<(AppId, Version)>,
    /// Starting and leaving ones of live releases.
    processes: Vec<Process>,
}

const STOPPED: &str = "mini stopped before the switch";

impl Deployer {
    /// Brings rows, routes and repositories to where they should be, after whatever ended the last server. Needs no engine.
    pub async fn restore(&self) -> Result<()> {
        let rooms = self.rooms();
        if let Err(err) = self.git(Git::sweep_quarantines).await {
            tracing::warn!(?err, "what interrupted pushes left is not swept");
        }
        for app in rooms.store.apps().await? {
            rooms.routes.add_app(app.name.clone(), app.id.clone());
            self.reroute(&app.id).await?;
            if let Some(release) = self.live_release(&app.id).await? {
                // A crash between the switch and the moving of the refs leaves them behind.
                if let Err(err) = self.point_refs(&app, &release).await {
                    tracing::error!(app.name = %app.name, ?err, "the repository could not be brought to what is live");
                }
            }
        }
        crate::failpoint!("restore::routed");
        if let Err(err) = self.remove_strange_repositories().await {
            tracing::warn!(?err, "repositories of no app are left");
        }
        let known = rooms.store.apps().await?.into_iter().map(|app| app.id).collect();
        if let Err(err) = rooms.logs.outputs().sweep(known).await {
            tracing::warn!(?err, "what deploys of no app said is left");
        }
        for deploy in rooms.store.unfinished_deploys().await? {
            // A deploy that was live is as good as done: its draining is finished by `agree`.
            let is_live = deploy.stage >= crate::model::Stage::Live;
            if is_live { rooms.store.finish(deploy.id).await? } else { rooms.store.fail(deploy.id, STOPPED.to_owned()).await? }
        }
        crate::failpoint!("restore::journaled");
        let releases = rooms.store.unfinished_releases().await?;
        let releases = releases.into_iter().map(|release| (release.app, release.version)).collect();
        let left = Left { releases, processes: rooms.store.processes_in_motion().await? };
        *self.inner.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        Ok(())
    }

    /// Makes the engine agree with the rows: ends what the last run left and what no row wants, starts what should run.
    ///
    /// One thing that cannot be mended is told and does not stop the others. Errors: the engine does not answer, or the rows cannot be read.
    pub async fn agree(&self) -> Result<()> {
        self.rooms().engine.check().await?;
        self.end_what_was_left().await?;
        self.end_what_drains_forever().await?;
        crate::failpoint!("agree::ended");
        self.sweep_containers().await?;
        self.clear_destroyed().await?;
        self.sweep_networks().await?;
        self.sweep_volumes().await?;
        self.sweep_links().await?;
        crate::failpoint!("agree::swept");
        self.resync().await
    }

    /// Ends, once, the releases that the last run left starting or draining, and removes what its builds left. This run's own are not touched: they have requests in flight.
    async fn end_what_was_left(&self) -> Result<()> {
        let Some(left) = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let store = &self.rooms().store;
        for (app, version) in left.releases {
            let (app, release) = match (store.app(app.clone()).await, store.release(app, version).await) {
                (Ok(app), Ok(release)) => (app, release),
                // Destroyed meanwhile.
                (Err(err), _) | (_, Err(err)) if err.kind() == Kind::NotFound => continue,
                (Err(err), _) | (_, Err(err)) => return Err(err),
            };
            match release.state {
                ReleaseState::Starting => {
                    self.discard_starting(&app, version).await;
                    store.fail_release(app.id.clone(), version, STOPPED.to_owned()).await?;
                }
                ReleaseState::Draining => self.retire_left_behind(app, version),
                _ => {}
            }
        }
        self.end_what_changed(left.processes).await?;
        for app in store.apps().await? {
            if let Err(err) = self.drop_old_images(&app).await {
                tracing::warn!(app.name = %app.name, ?err, "old images could not be removed");
            }
        }
        Ok(())
    }

    /// Ends releases whose end the engine's absence broke off in this run.
    async fn end_what_drains_forever(&self) -> Result<()> {
        for release in self.rooms().store.unfinished_releases().await? {
            if release.state == ReleaseState::Draining && !self.is_retiring(&release.app, release.version) {
                let Ok(app) = self.present(&release.app).await else { continue };
                self.retire_left_behind(app, release.version);
            }
        }
        Ok(())
    }

    /// Ends the processes of live releases that the last run was about to start or to end.
    async fn end_what_changed(&self, processes: Vec<Process>) -> Result<()> {
        for process in processes {
            let Ok(app) = self.present(&process.app).await else { continue };
            if app.current_version != Some(process.version) {
                continue;
            }
            // What it was to replace comes back next, and may share its storage: it is gone before.
            if process.state == ProcessState::Starting {
                self.discard_starting(&app, process.version).await;
            } else {
                let deployer = self.clone();
                self.in_background(async move { deployer.end_processes(&app, &[process]).await });
            }
        }
        Ok(())
    }

    /// Removes containers whose release is over or unknown, and those of live releases that no row knows. Such states never come back, so this may run at any time.
    async fn sweep_containers(&self) -> Result<()> {
        let rooms = self.rooms();
        for container in rooms.engine.list().await? {
            if container.is_one_off() {
                self.sweep_one_off(container).await?;
                continue;
            }
            if container.process == TRIAL && self.is_trying() {
                continue;
            }
            if self.is_unwanted(&container).await? {
                tracing::info!(container.id = %container.id.short(), "removing a container that no release wants");
                if let Err(err) = rooms.engine.remove(&container.id).await {
                    tracing::warn!(container.id = %container.id.short(), ?err, "it could not be removed; it is tried again");
                }
            }
        }
        Ok(())
    }

    async fn is_unwanted(&self, container: &ContainerSummary) -> Result<bool> {
        let store = &self.rooms().store;
        match store.release(container.app.clone(), container.version).await {
            Ok(release) if matches!(release.state, ReleaseState::Retired | ReleaseState::Failed) => Ok(true),
            // Asked in this order: whoever starts a process has written its container into its row before giving the turn back.
            Ok(release) if release.state == ReleaseState::Live && !self.inner.turns.is_releasing(&container.app) => {
                Ok(store.process_with(container.id.clone()).await?.is_none() && !self.inner.turns.is_releasing(&container.app))
            }
            Ok(_) => Ok(false),
            Err(err) if err.kind() == Kind::NotFound => Ok(true),
            Err(err) => Err(err),
        }
    }

    /// Retires what the last run left draining; in the background, since a stubborn app takes its whole grace and others wait to be served.
    fn retire_left_behind(&self, app: App, version: Version) {
        let deployer = self.clone();
        self.in_background(async move {
            let Some(_retiring) = deployer.begin_retiring(&app.id, version) else { return };
            let retired = async {
                deployer.retire_release(&app, version).await?;
                deployer.drop_old_images(&app).await
            };
            if let Err(err) = retired.await {
                tracing::error!(app.name = %app.name, release.version = %version, ?err, "an old release could not be retired; the next start does it");
            }
        });
    }

    /// Makes every live release run what it should.
    async fn resync(&self) -> Result<()> {
        for app in self.rooms().store.apps().await? {
            // What the rows say is routed, whatever a panic or a lost event has left.
            let agreed = async {
                Box::pin(self.converge(&app.id)).await?;
                self.reroute(&app.id).await
            };
            match agreed.await {
                // One container that hangs is not the engine.
                Err(err) if err.kind() == Kind::Unavailable && self.rooms().engine.check().await.is_err() => return Err(err),
                // Destroyed meanwhile.
                Err(err) if err.kind() == Kind::NotFound => {}
                Err(err) => tracing::error!(app.name = %app.name, ?err, "a live release does not run what it should"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn remove_strange_repositories(&self) -> Result<()> {
        let known: HashSet<AppId> = self.rooms().store.apps().await?.into_iter().map(|app| app.id).collect();
        let remove = move |git: &Git| git.list()?.iter().filter(|id| !known.contains(id)).try_for_each(|id| git.remove(id));
        self.git(remove).await
    }
}
