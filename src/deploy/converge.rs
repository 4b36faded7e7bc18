//! What a live release should run, and making it so: what is missing is started, what stands is started again.

use std::collections::HashSet;

use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::engine::ContainerState;
use crate::error::{Kind, Result};
use crate::model::{AppId, ContainerId, ProcessState, ProcessType};
use crate::store::{App, Process, ProcessChange, Release};

/// What is wrong with the processes of a live release.
#[derive(Default)]
struct Difference {
    /// A change of before began to start processes and could not end them: the engine was away.
    has_strays: bool,
    missing: Vec<(ProcessType, u32)>,
    /// Their containers are gone.
    lost: Vec<Process>,
    /// Their containers are there and do not run, or would not come back.
    down: Vec<Process>,
    /// They run and are not routed to: they came back while the engine's events were lost.
    unready: Vec<Process>,
}

// === impl Difference ===

impl Difference {
    fn is_none(&self) -> bool {
        !self.has_strays && self.missing.is_empty() && self.lost.is_empty() && self.down.is_empty()
    }
}

impl Deployer {
    /// Makes one app run what it should; a failure is logged, since there is nobody to tell.
    pub(super) async fn look_after_app(&self, app: &AppId) {
        if let Err(err) = Box::pin(self.converge(app)).await
            && !matches!(err.kind(), Kind::NotFound | Kind::Busy | Kind::Unavailable)
        {
            tracing::error!(app.id = %app, ?err, "a live release does not run what it should");
        }
    }

    /// Makes an app's live release run what its process table and formation ask for. Whoever changes the app is not disturbed.
    pub(super) async fn converge(&self, app: &AppId) -> Result<()> {
        let Some((present, release)) = self.running_release(app).await? else { return Ok(()) };
        let mut difference = self.difference(&present, &release).await?;
        for process in std::mem::take(&mut difference.unready) {
            self.watch_until_ready(present.clone(), release.clone(), process);
        }
        if difference.is_none() {
            return Ok(());
        }
        // Whoever has the turn makes the app run something else: the next resync looks again.
        let Some(_turn) = self.inner.turns.try_release(app) else { return Ok(()) };
        // Another release may have gone live while this one was looked at: then its containers are meant to end.
        match self.running_release(app).await? {
            Some((app, live)) if live.version == release.version => self.mend(app, live).await,
            _ => Ok(()),
        }
    }

    /// Starts what a release runs besides its web processes, after those of other releases have ended.
    pub(super) async fn settle_others(&self, app: &AppId) -> Result<()> {
        let rows = self.rooms().store.processes(app.clone()).await?;
        let Some((_, release)) = self.running_release(app).await? else { return Ok(()) };
        if release.process_table.types().all(ProcessType::is_web) && rows.iter().all(|row| row.kind.is_web()) {
            return Ok(());
        }
        let _turn = self.release_turn(app, &Talk::silent(), &Attempt::new()).await?;
        let Some((present, live)) = self.running_release(app).await? else { return Ok(()) };
        self.mend(present, live).await
    }

    /// Stops what other releases of an app run besides their web processes: two of a worker would do the work twice.
    async fn stop_other_workers(&self, app: &App, live: &Release) -> Result<()> {
        let rows = self.rooms().store.processes(app.id.clone()).await?;
        let old: Vec<Process> = rows.into_iter().filter(|row| !row.kind.is_web() && row.version != live.version).collect();
        self.stop_all(&old).await
    }

    /// Returns the live release of an app that is not stopped.
    async fn running_release(&self, app: &AppId) -> Result<Option<(App, Release)>> {
        let app = self.present(app).await?;
        let Some(version) = app.current_version.filter(|_| !app.is_stopped) else { return Ok(None) };
        let release = self.rooms().store.release(app.id.clone(), version).await?;
        Ok(Some((app, release)))
    }

    async fn difference(&self, app: &App, release: &Release) -> Result<Difference> {
        let store = &self.rooms().store;
        let mut rows = store.processes_of(app.id.clone(), release.version).await?;
        let has_strays = rows.iter().any(|row| row.state == ProcessState::Starting);
        rows.retain(|row| row.state == ProcessState::Serving);
        let wanted = release.process_table.wanted(&store.formation(app.id.clone()).await?);
        let there: HashSet<(&ProcessType, u32)> = rows.iter().map(|row| (&row.kind, row.number)).collect();
        let missing = wanted.into_iter().filter(|(kind, number)| !there.contains(&(kind, *number))).collect();
        let mut difference = Difference { has_strays, missing, ..Difference::default() };
        for row in rows {
            match self.container_of(&row).await? {
                None => difference.lost.push(row),
                Some((_, state)) if !is_fine(&state) => difference.down.push(row),
                Some((container, state)) if state.running && row.kind.is_web() && self.has_come_back(container) => {
                    difference.unready.push(row);
                }
                Some(_) => {}
            }
        }
        Ok(difference)
    }

    /// Mends what is wrong with a live release; under the release turn.
    async fn mend(&self, app: App, release: Release) -> Result<()> {
        let mut difference = self.difference(&app, &release).await?;
        if difference.has_strays {
            self.discard_starting(&app, release.version).await;
        }
        self.stop_other_workers(&app, &release).await?;
        for row in &difference.down {
            // It may have died in this moment, which is an event of its own; and one that cannot be mended holds up no other.
            if let Err(err) = self.set_up_again(&app, row).await {
                tracing::warn!(app.name = %app.name, process = row.name(), ?err, "a process was not set up again; it is tried again");
            }
        }
        for row in difference.lost {
            tracing::info!(app.name = %app.name, release.version = %release.version, process = row.name(), "making a lost container again");
            self.rooms().store.drop_process(row.id).await?;
            difference.missing.push((row.kind, row.number));
        }
        if difference.missing.is_empty() {
            return Ok(());
        }
        if !self.is_image_there(&release.image).await? {
            self.reroute(&app.id).await?;
            self.rebuild_lost(app, &release);
            return Ok(());
        }
        self.found_image(&app.id);
        if !self.inner.patience.allows(&app.id) {
            return Ok(());
        }
        let made = Box::pin(self.fill(app.clone(), release.clone(), &difference.missing)).await;
        self.inner.patience.note(&app.id, made.is_ok());
        if made.is_err() {
            self.discard_starting(&app, release.version).await;
        }
        made
    }

    async fn set_up_again(&self, app: &App, process: &Process) -> Result<()> {
        match self.container_of(process).await? {
            // Killed between the switch and this: it would run until it dies, and then not come back.
            Some((container, state)) if state.running => self.rooms().engine.set_restart(container, true).await,
            Some((container, _)) => self.bring_back(app, process, container).await,
            None => Ok(()),
        }
    }

    /// Starts processes that a live release lacks. They serve at once by their rows, and are routed to when they answer.
    async fn fill(&self, app: App, release: Release, missing: &[(ProcessType, u32)]) -> Result<()> {
        let plan = self.blueprint(app, release).await?;
        let started = self.start_processes(&plan, missing).await?;
        for container in started.iter().filter(|process| process.kind.is_web()).filter_map(|process| process.container.as_ref()) {
            self.inner.routing.fell(container);
        }
        let arriving = started.iter().map(|process| process.id).collect();
        let change = ProcessChange { arriving, ..ProcessChange::default() };
        self.rooms().store.switch_processes(plan.app.id.clone(), plan.release.version, change).await?;
        self.keep_running(&plan.app, &started).await;
        self.notice_deaths(&started).await;
        self.reroute(&plan.app.id).await?;
        for process in started.into_iter().filter(|process| process.kind.is_web()) {
            self.watch_until_ready(plan.app.clone(), plan.release.clone(), process);
        }
        Ok(())
    }

    /// Starts a serving process's stopped container again; it is routed to when it answers.
    pub(super) async fn bring_back(&self, app: &App, process: &Process, container: &ContainerId) -> Result<()> {
        tracing::info!(app.name = %app.name, process = process.name(), "starting a stopped container again");
        if process.kind.is_web() {
            self.inner.routing.fell(container);
        }
        self.rooms().engine.start(container).await?;
        self.rooms().engine.set_restart(container, true).await?;
        self.inner.starts.send_modify(|starts| *starts += 1);
        // Its start is an event too; that may come before this, or be lost.
        if process.kind.is_web() {
            let release = self.rooms().store.release(app.id.clone(), process.version).await?;
            self.watch_until_ready(app.clone(), release, process.clone());
        }
        Ok(())
    }

    /// Whether a process is out of routing that nobody is about to end.
    fn has_come_back(&self, container: &ContainerId) -> bool {
        !self.inner.routing.is_ready(container) && !self.inner.crashes.is_expected(container)
    }

    async fn container_of<'a>(&self, process: &'a Process) -> Result<Option<(&'a ContainerId, ContainerState)>> {
        let Some(container) = &process.container else { return Ok(None) };
        Ok(self.rooms().engine.inspect(container).await?.map(|state| (container, state)))
    }
}

fn is_fine(state: &ContainerState) -> bool {
    (state.running || state.restarting) && state.restarts
}
