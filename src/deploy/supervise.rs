//! What happens to live processes by themselves: they die, come back, and are routed around meanwhile.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Deployer;
use super::crashes::Death;
use super::ready::NotReady;
use super::start::Blueprint;
use crate::engine::ContainerState;
use crate::error::{Kind, Result};
use crate::model::limits::CRASH_LOOP;
use crate::model::{ContainerId, ProcessState};
use crate::store::{App, Process, Release};

/// The engine brings back what died; what it does not bring back by then (somebody killed it by hand) is for mini to start.
const REVIVE_AFTER: Duration = Duration::from_secs(1);

/// How long a process that dies again and again is left alone between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Deployer {
    /// Takes a process that died out of routing, says so, and sees to it that it comes back.
    pub async fn process_died(&self, container: &ContainerId, exit_code: i64, oom: bool) -> Result<()> {
        let Some((app, release, process)) = self.serving(container).await? else { return Ok(()) };
        if self.inner.crashes.is_expected(container) {
            return Ok(());
        }
        let death = Death { exit_code, oom };
        let deaths = self.inner.crashes.note(container, death);
        self.inner.routing.fell(container);
        self.reroute(&app.id).await?;
        let (name, why) = (process.name(), death.why(&app));
        tracing::warn!(app.name = %app.name, release.version = %release.version, process = name, exit_code, oom, "a live process died");
        let text = if deaths >= CRASH_LOOP {
            format!("{name} of {} crashed again ({why}): it is in a crash loop, and started less and less often", release.version)
        } else {
            format!("{name} of {} crashed ({why}); it is started again", release.version)
        };
        self.note(&app.id, "release", &text).await;
        let deployer = self.clone();
        self.in_background(async move {
            if deployer.stopping().run_until_cancelled(tokio::time::sleep(REVIVE_AFTER)).await.is_some() {
                deployer.look_after_app(&app.id).await;
            }
        });
        Ok(())
    }

    /// Looks once at processes that serve from now on: a death before that was an event that nobody minded.
    ///
    /// Boxed: what dies is looked after, which may start others, which are looked at.
    pub(super) fn notice_deaths<'a>(&'a self, processes: &'a [Process]) -> BoxFuture<'a, ()> {
        async move {
            for container in processes.iter().filter_map(|process| process.container.as_ref()) {
                let Ok(Some(state)) = self.rooms().engine.inspect(container).await else { continue };
                if !state.running
                    && !state.restarting
                    && let Err(err) = self.process_died(container, state.exit_code, state.oom).await
                {
                    tracing::warn!(container.id = %container.short(), ?err, "a death could not be noted; the next resync looks again");
                }
            }
        }
        .boxed()
    }

    /// Routes to a process that came back once it answers.
    pub async fn process_started(&self, container: &ContainerId) -> Result<()> {
        if let Some((app, release, process)) = self.serving(container).await? {
            // Its events may have been lost: what has just started does not listen yet.
            if process.kind.is_web() && app.answers_requests() && !self.inner.routing.is_ready(container) {
                self.watch_until_ready(app, release, process);
            } else {
                self.inner.routing.rose(container);
            }
        }
        Ok(())
    }

    /// Waits in the background until a process that is out of routing answers; its end ends that too.
    pub(super) fn watch_until_ready(&self, app: App, release: Release, process: Process) {
        let deployer = self.clone();
        self.in_background(async move {
            if let Err(err) = Box::pin(deployer.await_return(app, release, &process)).await {
                tracing::warn!(process = process.name(), ?err, "a process that came back is not routed to; the next resync looks again");
            }
        });
    }

    async fn await_return(&self, app: App, release: Release, process: &Process) -> Result<()> {
        let Some(container) = &process.container else { return Ok(()) };
        let Some(_awaiting) = self.inner.routing.await_ready(container) else { return Ok(()) };
        let plan = Blueprint { app, release, config: super::Config::default() };
        let mut is_told = false;
        while plan.app.answers_requests() {
            match self.wait_web(&plan, process, self.stopping()).await {
                Ok(_) => break,
                Err(NotReady::TimedOut { .. }) if self.serving(container).await?.is_some() => {
                    if !std::mem::replace(&mut is_told, true) {
                        self.note(&plan.app.id, "release", &format!("{} runs and does not answer", process.name())).await;
                    }
                }
                // It died once more, and may be back before anybody else would wait for it.
                Err(NotReady::Exited { .. }) if self.is_coming_back(container).await? => tokio::time::sleep(LOOK_AGAIN).await,
                Err(_) => return Ok(()),
            }
        }
        self.inner.routing.rose(container);
        self.reroute(&plan.app.id).await
    }

    async fn is_coming_back(&self, container: &ContainerId) -> Result<bool> {
        Ok(self.rooms().engine.inspect(container).await?.is_some_and(|state| state.running || state.restarting))
    }

    /// Finds the process of a live release that a container is and that should serve.
    async fn serving(&self, container: &ContainerId) -> Result<Option<(App, Release, Process)>> {
        let Some(process) = self.rooms().store.process_with(container.clone()).await? else { return Ok(None) };
        let app = match self.present(&process.app).await {
            Err(err) if err.kind() == Kind::NotFound => return Ok(None),
            app => app?,
        };
        if process.state != ProcessState::Serving || app.current_version != Some(process.version) {
            return Ok(None);
        }
        let release = self.rooms().store.release(app.id.clone(), process.version).await?;
        Ok(Some((app, release, process)))
    }

    /// Says how a live process is, in words for `ps`.
    #[must_use]
    pub fn condition(&self, app: &App, container: &ContainerId, state: &ContainerState) -> String {
        let death = self.inner.crashes.of(container);
        match (state.running, death) {
            (_, Some((death, true))) => format!("crash loop ({})", death.why(app)),
            (true, _) if !self.inner.routing.is_ready(container) => "starting".to_owned(),
            (true, _) => "running".to_owned(),
            (false, Some((death, false))) => format!("crashed ({})", death.why(app)),
            (false, None) if state.restarting || state.exit_code != 0 => {
                format!("crashed ({})", Death { exit_code: state.exit_code, oom: state.oom }.why(app))
            }
            (false, None) => "down".to_owned(),
        }
    }

    pub(super) fn expect_ends(&self, processes: &[Process]) {
        self.inner.crashes.expect(processes, true);
    }

    pub(super) fn expect_no_end(&self, processes: &[Process]) {
        self.inner.crashes.expect(processes, false);
    }
}
