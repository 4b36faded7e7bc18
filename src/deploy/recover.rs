//! Start-up and resync: rows say what should be, the engine what is; this makes them agree.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::PoisonError;

use super::prove::Recipe;
use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::engine::ContainerState;
use crate::error::{Error, Kind, Result};
use crate::git::Git;
use crate::model::{AppId, ContainerId, ReleaseState, Version};
use crate::store::{App, Release};

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
            if let Some(release) = self.live_release(&app.id).await? {
                if let Some(address) = address_of(&release) {
                    self.route(&app, release.version, address);
                }
                // A crash between the switch and the moving of the refs leaves them behind.
                if let Err(err) = self.point_refs(&app, &release).await {
                    tracing::error!(app.name = %app.name, ?err, "the repository could not be brought to what is live");
                }
            }
        }
        if let Err(err) = self.remove_strange_repositories().await {
            tracing::warn!(?err, "repositories of no app are left");
        }
        for deploy in rooms.store.unfinished_deploys().await? {
            // A deploy that was live is as good as done: its draining is finished by `agree`.
            let is_live = deploy.stage >= crate::model::Stage::Live;
            if is_live { rooms.store.finish(deploy.id).await? } else { rooms.store.fail(deploy.id, STOPPED.to_owned()).await? }
        }
        let left = rooms.store.unfinished_releases().await?;
        let left = left.into_iter().map(|release| (release.app, release.version)).collect();
        *self.inner.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
        Ok(())
    }

    /// Makes the engine agree with the rows: ends what the last run left and what no row wants, starts what should run.
    ///
    /// One thing that cannot be mended is told and does not stop the others. Errors: the engine does not answer, or the rows cannot be read.
    pub async fn agree(&self) -> Result<()> {
        self.rooms().engine.check().await?;
        self.end_what_was_left().await?;
        self.sweep_containers().await?;
        self.resync().await
    }

    /// Ends, once, the releases that the last run left starting or draining, and removes what its builds left. This run's own are not touched: they have requests in flight.
    async fn end_what_was_left(&self) -> Result<()> {
        let Some(left) = self.inner.left.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let store = &self.rooms().store;
        for (app, version) in left {
            let (app, release) = match (store.app(app.clone()).await, store.release(app, version).await) {
                (Ok(app), Ok(release)) => (app, release),
                // Destroyed meanwhile.
                (Err(err), _) | (_, Err(err)) if err.kind() == Kind::NotFound => continue,
                (Err(err), _) | (_, Err(err)) => return Err(err),
            };
            match release.state {
                ReleaseState::Starting => {
                    self.discard_release(&app, version).await;
                    store.fail_release(app.id.clone(), version, STOPPED.to_owned()).await?;
                }
                ReleaseState::Draining => self.retire_left_behind(app, version),
                _ => {}
            }
        }
        for app in store.apps().await? {
            if let Err(err) = self.drop_old_images(&app).await {
                tracing::warn!(app.name = %app.name, ?err, "old images could not be removed");
            }
        }
        Ok(())
    }

    /// Removes containers whose release is over or unknown. Such states never come back, so this may run at any time.
    async fn sweep_containers(&self) -> Result<()> {
        let rooms = self.rooms();
        for container in rooms.engine.list().await? {
            if container.is_one_off() {
                self.sweep_one_off(container).await?;
                continue;
            }
            let is_over = match rooms.store.release(container.app.clone(), container.version).await {
                Ok(release) => matches!(release.state, ReleaseState::Retired | ReleaseState::Failed),
                Err(err) if err.kind() == Kind::NotFound => true,
                Err(err) => return Err(err),
            };
            if is_over {
                tracing::info!(container.id = %container.id.short(), "removing a container that no release wants");
                if let Err(err) = rooms.engine.remove(&container.id).await {
                    tracing::warn!(container.id = %container.id.short(), ?err, "it could not be removed; it is tried again");
                }
            }
        }
        Ok(())
    }

    /// Retires what the last run left draining; in the background, since a stubborn app takes its whole grace and others wait to be served.
    fn retire_left_behind(&self, app: App, version: Version) {
        let deployer = self.clone();
        self.in_background(async move {
            let retired = async {
                deployer.retire_release(&app, version).await?;
                deployer.drop_old_images(&app).await
            };
            if let Err(err) = retired.await {
                tracing::error!(app.name = %app.name, release.version = %version, ?err, "an old release could not be retired; the next start does it");
            }
        });
    }

    /// Starts live releases whose container does not run, and makes those anew that have none.
    async fn resync(&self) -> Result<()> {
        for release in self.rooms().store.live_releases().await? {
            let app = self.rooms().store.app(release.app.clone()).await?;
            if self.inner.turns.is_releasing(&app.id) {
                continue;
            }
            if let Err(err) = self.revive(&app, &release).await {
                if err.kind() == Kind::Unavailable {
                    return Err(err);
                }
                tracing::error!(app.name = %app.name, release.version = %release.version, ?err, "a live release does not run");
            }
        }
        Ok(())
    }

    async fn revive(&self, app: &App, release: &Release) -> Result<()> {
        let is_fine = |state: &ContainerState| (state.running || state.restarting) && state.restarts;
        if self.container_of(release).await?.is_some_and(|(_, state)| is_fine(&state)) {
            return Ok(());
        }
        let _turn = self.release_turn(&app.id, &Talk::silent(), &Attempt::new()).await?;
        // Another release may have gone live while this one was looked at: then its container is meant to end.
        if self.live_release(&app.id).await?.is_none_or(|live| live.version != release.version) {
            return Ok(());
        }
        let engine = &self.rooms().engine;
        match self.container_of(release).await? {
            Some((_, state)) if is_fine(&state) => Ok(()),
            // Killed between the switch and this: it would run until it dies, and then not come back.
            Some((container, state)) if state.running => engine.set_restart(container, true).await,
            Some((container, _)) => {
                tracing::info!(app.name = %app.name, release.version = %release.version, "starting a stopped container again");
                engine.start(container).await?;
                engine.set_restart(container, true).await?;
                self.inner.starts.send_modify(|starts| *starts += 1);
                Ok(())
            }
            None if !self.is_image_there(&release.image).await? => {
                self.rebuild_lost(app.clone(), release);
                Ok(())
            }
            None => {
                self.found_image(&app.id);
                self.remake(app, release).await
            }
        }
    }

    async fn container_of<'a>(&self, release: &'a Release) -> Result<Option<(&'a ContainerId, ContainerState)>> {
        let Some(container) = &release.container else { return Ok(None) };
        Ok(self.rooms().engine.inspect(container).await?.map(|state| (container, state)))
    }

    /// Makes the container of a live release anew, as after somebody removed it by hand; under the release turn.
    async fn remake(&self, app: &App, release: &Release) -> Result<()> {
        tracing::info!(app.name = %app.name, release.version = %release.version, "making a lost container again");
        let rooms = self.rooms();
        // One that was made in an earlier try holds the name.
        self.discard_release(app, release.version).await;
        let config = rooms.store.release_config(app.id.clone(), release.version).await?;
        let port = release.port.ok_or_else(|| Error::failed("a live release has no port"))?;
        let deploy = self.begin(app, release.kind, release.commit(), "mini").await?;
        let recipe = Recipe {
            app: app.clone(),
            deploy,
            kind: release.kind,
            revision: release.revision.clone(),
            recorded: None,
            image: release.image.clone(),
            image_tag: release.image_tag.clone(),
            exposed: Vec::new(),
            by: release.by.clone(),
            description: release.description.clone(),
            config,
        };
        let remade = async {
            let (container, address) = self.start(&recipe, release, port).await?;
            self.route(app, release.version, address);
            if let Err(err) = rooms.engine.set_restart(&container, true).await {
                tracing::warn!(app.name = %app.name, ?err, "the restart policy could not be set");
            }
            rooms.store.finish(deploy).await
        };
        self.journaled(deploy, remade).await
    }

    async fn remove_strange_repositories(&self) -> Result<()> {
        let known: HashSet<AppId> = self.rooms().store.apps().await?.into_iter().map(|app| app.id).collect();
        let remove = move |git: &Git| git.list()?.iter().filter(|id| !known.contains(id)).try_for_each(|id| git.remove(id));
        self.git(remove).await
    }
}

fn address_of(release: &Release) -> Option<SocketAddr> {
    Some(SocketAddr::from((release.address?, release.port?)))
}
