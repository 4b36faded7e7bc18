//! The switch: durable first, then one pointer in memory, then the old release is sent to drain.

use std::time::Instant;

use super::explain::seconds;
use super::prove::Proven;
use super::{Deployer, Talk};
use crate::command::Released;
use crate::error::{Error, Result};
use crate::model::{AppId, ReleaseKind, Stage, Version};
use crate::route::Traffic;
use crate::store::{App, GoLive, Process};

impl Deployer {
    /// Makes a proven release the one that serves; from its commit on, everything that fails is repaired at start-up.
    ///
    /// `branch` becomes the deploy branch of an app that has none. An error means that the old release still serves.
    pub(super) async fn switch(&self, mut proven: Proven, branch: Option<&str>, begun: Instant, talk: &Talk) -> Result<Released> {
        // Before it drains: a resync would end at once what nobody looks after.
        let retiring = proven.beside.and_then(|version| self.begin_retiring(&proven.recipe.app.id, version));
        let previous = match self.commit(&mut proven, branch).await {
            Ok(previous) => previous,
            Err(err) => {
                self.abandon(proven, err.sentence()).await;
                return Err(err);
            }
        };
        let Proven { recipe, release, processes, beside, way, traffic, turn } = proven;
        let (app, version) = (&recipe.app, release.version);
        crate::failpoint!("live::committed");
        // What an earlier release failed to start says nothing of this one.
        self.inner.patience.note(&app.id, true);
        if let Err(err) = self.reroute(&app.id).await {
            tracing::error!(app.name = %app.name, release.version = %version, ?err, "what is live could not be routed; the next resync does it");
        }
        crate::failpoint!("live::routed");
        self.leave_behind(&way);
        self.keep_running(app, &processes).await;
        self.notice_deaths(&processes).await;
        crate::failpoint!("live::kept_up");
        let pointed = match recipe.kind {
            ReleaseKind::Upload | ReleaseKind::Image | ReleaseKind::Rollback => self.point_refs(app, &release).await,
            // The branch stays where it is, or git itself moves it, which compares where it stood.
            ReleaseKind::Push | ReleaseKind::Rebuild | ReleaseKind::Config => self.point_deployed(&release).await,
        };
        if let Err(err) = pointed {
            tracing::error!(app.name = %app.name, ?err, "the repository could not follow what is live; the next start repairs it");
        }
        crate::failpoint!("live::pointed");
        drop(turn);

        match self.served_since(&app.id, traffic) {
            Some(served) if beside.is_some() => talk.step(format!("Switched to {version}: {served}")),
            _ => talk.step(format!("Switched to {version}")),
        }
        talk.result(format!("Released {version} in {}", seconds(begun.elapsed())));
        let url = self.url_of(&app.name);
        if app.answers_requests() {
            talk.detail(&url);
        }
        talk.stage(Stage::Live);
        self.note(&app.id, "release", &format!("{version} is live: {} by {}", recipe.description, recipe.by)).await;
        tracing::info!(app.name = %app.name, release.version = %version, by = %recipe.by, "released");
        self.retire_in_background(app.clone(), previous, recipe.deploy, retiring);
        let container = processes.into_iter().find_map(|process| process.container);
        Ok(Released { app: recipe.app.name, version, url, container })
    }

    /// Tells what the app's requests came to since `before`, if there were any.
    pub(super) fn served_since(&self, app: &AppId, before: Traffic) -> Option<String> {
        let now = self.rooms().routes.traffic(app);
        let (served, failed) = (now.served.saturating_sub(before.served), now.failed.saturating_sub(before.failed));
        (served > 0).then(|| format!("{served} requests served meanwhile, {failed} failed"))
    }

    /// Errors: one of the processes has died since it was proven.
    pub(super) async fn still_run(&self, app: &App, processes: &[Process]) -> Result<()> {
        for process in processes {
            let state = match &process.container {
                Some(container) => self.rooms().engine.inspect(container).await?,
                None => None,
            };
            if !state.is_some_and(|state| state.running) {
                return Err(Error::failed(format!("{} died before the switch", process.name())).hint(format!("ssh mini logs {}", app.name)));
            }
        }
        Ok(())
    }

    /// Makes the switch durable, if what was proven still runs: git and a slow client may have taken their time.
    async fn commit(&self, proven: &mut Proven, branch: Option<&str>) -> Result<Option<Version>> {
        let rooms = self.rooms();
        let (app, version) = (&proven.recipe.app, proven.release.version);
        self.still_run(app, &proven.processes).await?;
        crate::failpoint!("stored::before");
        rooms.store.advance(proven.recipe.deploy, Stage::Stored).await?;
        crate::failpoint!("stored::committed");
        if let Some(recorded) = proven.recipe.recorded.take() {
            self.git(move |_| recorded.store()).await?;
        }
        crate::failpoint!("stored::recorded");
        self.keep_commit(&proven.release).await?;
        crate::failpoint!("live::before");
        let live = GoLive { deploy: Some(proven.recipe.deploy), branch: branch.map(str::to_owned) };
        rooms.store.go_live(app.id.clone(), version, live).await
    }
}
