//! Start-up and resync: rows say what should be, the engine what is; this makes them agree.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::prove::Recipe;
use super::{Deployer, Talk};
use crate::engine::ContainerState;
use crate::error::{Error, Kind, Result};
use crate::git::{Git, branch_ref};
use crate::model::{AppId, ContainerId, ReleaseState, Version};
use crate::store::{App, Release};

const STOPPED: &str = "mini stopped before the switch";

impl Deployer {
    /// Brings everything to where the rows say it should be, after whatever ended the last server.
    ///
    /// Live releases are routed first. Without an engine that is all: the rest happens when it answers, by [`Deployer::agree`].
    pub async fn recover(&self) -> Result<()> {
        let rooms = self.rooms();
        self.git(Git::sweep_quarantines).await?;
        for app in rooms.store.apps().await? {
            rooms.routes.add_app(app.name.clone(), app.id.clone());
            if let Some(release) = self.live_release(&app.id).await? {
                if let Some(address) = address_of(&release) {
                    self.route(&app, release.version, address);
                }
                self.repair_refs(&app, &release).await;
            }
        }
        self.remove_strange_repositories().await?;
        for deploy in rooms.store.unfinished_deploys().await? {
            // A deploy that was live is as good as done: its draining is finished below.
            let is_live = deploy.stage >= crate::model::Stage::Live;
            if is_live { rooms.store.finish(deploy.id).await? } else { rooms.store.fail(deploy.id, STOPPED.to_owned()).await? }
        }
        let agreed = match rooms.engine.check().await {
            Ok(_) => self.agree().await,
            Err(err) => Err(err),
        };
        match agreed {
            Err(err) if err.kind() == Kind::Unavailable => {
                tracing::warn!("the engine does not answer: what the last run left is cleaned up later");
                Ok(())
            }
            other => other,
        }
    }

    /// Makes the engine agree with the rows: once whole, as what the last run left, later only what should run.
    pub async fn agree(&self) -> Result<()> {
        if self.inner.is_cleaned.load(Ordering::Acquire) {
            return self.resync().await;
        }
        self.clean_up().await?;
        self.inner.is_cleaned.store(true, Ordering::Release);
        Ok(())
    }

    /// Ends what the last run left in the middle and what no row wants, then starts what should run and does not.
    ///
    /// Not for later: this run's own draining releases would lose their last requests.
    async fn clean_up(&self) -> Result<()> {
        let rooms = self.rooms();
        let containers = rooms.engine.list().await?;
        for release in rooms.store.unfinished_releases().await? {
            let app = rooms.store.app(release.app.clone()).await?;
            if self.inner.turns.is_releasing(&app.id) {
                continue;
            }
            match release.state {
                ReleaseState::Starting => {
                    for container in containers.iter().filter(|container| container.app == app.id && container.version == release.version) {
                        self.discard(&app, release.version, &container.id, Duration::ZERO).await;
                    }
                    rooms.store.fail_release(app.id.clone(), release.version, STOPPED.to_owned()).await?;
                }
                ReleaseState::Draining => self.retire_left_behind(app, release.version),
                _ => {}
            }
        }
        let wanted: HashSet<ContainerId> = rooms.store.live_releases().await?.into_iter().filter_map(|release| release.container).collect();
        for container in containers.iter().filter(|container| !wanted.contains(&container.id)) {
            let known = rooms.store.release(container.app.clone(), container.version).await;
            let is_over = match known {
                Ok(release) => matches!(release.state, ReleaseState::Retired | ReleaseState::Failed),
                Err(err) if err.kind() == Kind::NotFound => true,
                Err(err) => return Err(err),
            };
            if is_over {
                tracing::info!(container.id = %container.id.short(), "removing a container that no release wants");
                rooms.engine.remove(&container.id).await?;
            }
        }
        self.resync().await?;
        for app in rooms.store.apps().await? {
            self.drop_old_images(&app).await?;
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
    pub async fn resync(&self) -> Result<()> {
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
        let _turn = self.release_turn(&app.id, &Talk::silent()).await;
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
            None => self.remake(app, release).await,
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
        let deploy = self.begin(app, release.kind, release.commit.as_ref(), "mini").await?;
        let recipe = Recipe {
            app: app.clone(),
            deploy,
            kind: release.kind,
            commit: release.commit.clone(),
            image: release.image.clone(),
            image_tag: release.image_tag.clone(),
            exposed: Vec::new(),
            by: release.by.clone(),
            description: release.description.clone(),
            config,
        };
        let port = release.port.ok_or_else(|| Error::failed("a live release has no port"))?;
        let (container, address) = self.journaled(deploy, self.start(&recipe, release, port)).await?;
        rooms.engine.set_restart(&container, true).await?;
        self.route(app, release.version, address);
        rooms.store.finish(deploy).await
    }

    /// A crash between the switch and git's moving of the ref leaves the branch behind: it follows what is live.
    async fn repair_refs(&self, app: &App, release: &Release) {
        let Some(commit) = &release.commit else { return };
        let (id, commit, version, branch) = (app.id.clone(), commit.clone(), release.version, app.deploy_branch.clone());
        let repair = move |git: &Git| {
            if !git.has_commit(&id, &commit)? {
                return Err(Error::failed("the commit of the live release is not in the repository"));
            }
            git.set_release_ref(&id, version, &commit)?;
            git.set_deployed(&id, &commit)?;
            branch.map_or(Ok(()), |branch| git.set_ref(&id, &branch_ref(&branch), &commit))
        };
        if let Err(err) = self.git(repair).await {
            tracing::error!(app.name = %app.name, ?err, "the repository could not be brought to what is live");
        }
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
