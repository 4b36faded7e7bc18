//! Start-up and resync: rows say what should be, the engine what is; this makes them agree.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use super::Deployer;
use super::owed::End;
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
    /// Lets what is live answer requests, as the rows say and whatever is still to be repaired. Errors: the rows cannot be read.
    pub async fn restore_routes(&self) -> Result<()> {
        self.publish_certificates().await?;
        for app in self.rooms().store.apps().await? {
            self.reroute(&app.id).await?;
        }
        Ok(())
    }

    /// Brings rows and repositories to where they should be, after whatever ended the last server.
    ///
    /// Needs no engine and no room on the disk: what cannot be written now is written at a later resync. Errors: the rows cannot be read.
    pub async fn restore(&self) -> Result<()> {
        let rooms = self.rooms();
        if let Err(err) = self.git(Git::sweep_quarantines).await {
            tracing::warn!(?err, "what interrupted pushes left is not swept");
        }
        for app in rooms.store.apps().await? {
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
            self.write_down(if is_live { End::Done(deploy.id) } else { End::Failed(deploy.id, STOPPED.to_owned()) }).await;
        }
        crate::failpoint!("restore::journaled");
        let releases = rooms.store.unfinished_releases().await?;
        let releases = releases.into_iter().map(|release| (release.app, release.version)).collect();
        let processes = rooms.store.processes_in_motion().await?;
        *self.left() = Some(Left { releases, processes });
        Ok(())
    }

    /// Makes the engine agree with the rows: ends what the last run left and what no row wants, starts what should run.
    ///
    /// One thing that cannot be mended is told and does not stop the others. Errors: the engine does not answer, or the rows cannot be read.
    pub async fn agree(&self) -> Result<()> {
        self.rooms().engine.check().await?;
        if self.settle_debts().await | self.end_what_was_left().await? {
            self.drop_images_of_all().await?;
        }
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

    /// Ends the releases that the last run left starting or draining; `true` once, when it has. This run's own are not touched: they have requests in flight.
    async fn end_what_was_left(&self) -> Result<bool> {
        let Some(mut left) = self.left().take() else { return Ok(false) };
        if let Err(err) = self.end(&mut left).await {
            // What was not come to is for the next time.
            *self.left() = Some(left);
            return Err(err);
        }
        Ok(true)
    }

    /// Removes the images of what has found its end: while that is under way, they are needed.
    async fn drop_images_of_all(&self) -> Result<()> {
        for app in self.rooms().store.apps().await? {
            if let Err(err) = self.drop_old_images(&app).await {
                tracing::warn!(app.name = %app.name, ?err, "old images could not be removed");
            }
        }
        Ok(())
    }

    /// Takes out of `left` what it has ended.
    async fn end(&self, left: &mut Left) -> Result<()> {
        while let Some((app, version)) = left.releases.first() {
            self.end_release(app, *version).await?;
            left.releases.remove(0);
        }
        while let Some(process) = left.processes.first() {
            self.end_changed(process).await?;
            left.processes.remove(0);
        }
        Ok(())
    }

    async fn end_release(&self, app: &AppId, version: Version) -> Result<()> {
        let store = &self.rooms().store;
        let (app, release) = match (store.app(app.clone()).await, store.release(app.clone(), version).await) {
            (Ok(app), Ok(release)) => (app, release),
            // Destroyed meanwhile.
            (Err(err), _) | (_, Err(err)) if err.kind() == Kind::NotFound => return Ok(()),
            (Err(err), _) | (_, Err(err)) => return Err(err),
        };
        match release.state {
            ReleaseState::Starting => {
                self.discard_starting(&app, version).await;
                self.write_down(End::NeverLive(app.id, version, STOPPED.to_owned())).await;
            }
            ReleaseState::Draining => self.retire_left_behind(app, version),
            _ => {}
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

    /// Ends a process of a live release that the last run was about to start or to end.
    async fn end_changed(&self, process: &Process) -> Result<()> {
        let app = match self.present(&process.app).await {
            Err(err) if err.kind() == Kind::NotFound => return Ok(()),
            app => app?,
        };
        if app.current_version != Some(process.version) {
            return Ok(());
        }
        // What it was to replace comes back next, and may share its storage: it is gone before.
        if process.state == ProcessState::Starting {
            self.discard_starting(&app, process.version).await;
        } else {
            let (deployer, process) = (self.clone(), process.clone());
            self.in_background(async move { deployer.end_processes(&app, &[process]).await });
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
                tracing::error!(app.name = %app.name, release.version = %version, ?err, "an old release could not be retired; the next resync does it");
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

    fn left(&self) -> MutexGuard<'_, Option<Left>> {
        self.inner.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remove_strange_repositories(&self) -> Result<()> {
        let known: HashSet<AppId> = self.rooms().store.apps().await?.into_iter().map(|app| app.id).collect();
        let remove = move |git: &Git| git.list()?.iter().filter(|id| !known.contains(id)).try_for_each(|id| git.remove(id));
        self.git(remove).await
    }
}
