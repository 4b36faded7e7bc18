//! Changes of what a live release runs, without a new release: more or fewer processes, new ones for old, other limits, none at all.
//!
//! They go through the same gate as a release: the new ones answer, then one switch, then the old ones drain.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::start::{names, say_start};
use super::turns::Attempt;
use super::way::{Way, has_exclusive_storage, process_names};
use super::{Deployer, Mounting, Talk};
use crate::command::Scaling;
use crate::error::{Error, Kind, Result};
use crate::model::limits::MAX_PROCESSES;
use crate::model::{AppId, Formation, ProcessName, ProcessState, ProcessType};
use crate::store::{App, AppSetting, Process, ProcessChange, Release};

/// A change of an app's processes.
#[derive(Clone, Debug)]
pub enum Alteration {
    /// How many of each type there are from now on.
    Scale(Vec<Scaling>),
    /// New processes for these, or for all.
    Restart(Option<ProcessName>),
    Stop,
    Start,
    /// What a container may use: [`AppSetting::MemoryBytes`], [`AppSetting::CpuMillis`].
    Limit(Vec<AppSetting>),
    Storage(Mounting),
}

/// What an alteration comes to.
struct Steps {
    arriving: Vec<(ProcessType, u32)>,
    leaving: Vec<Process>,
    settings: Vec<AppSetting>,
}

impl Deployer {
    /// Makes the change and says its outcome in one line; who leaves cancels it until its switch.
    pub async fn alter(&self, app: &AppId, alteration: Alteration, by: &str, talk: &Talk, cancelled: &CancellationToken) -> Result<String> {
        let attempt = self.inner.turns.attempt();
        let work = Box::pin(self.make_alteration(app, alteration, by, talk, &attempt));
        let altered = self.unless_left(&attempt, cancelled, work).await;
        match &altered {
            Ok(outcome) => self.note(app, "release", &format!("{outcome} ({by})")).await,
            Err(err) => {
                tracing::info!(app.id = %app, %by, ?err, "a change of processes was not made");
                self.note(app, "release", &format!("not done: {} ({by})", err.sentence())).await;
                if matches!(err.kind(), Kind::Failed | Kind::Unavailable) {
                    self.say_what_serves(app, talk).await;
                }
            }
        }
        altered
    }

    async fn make_alteration(&self, app: &AppId, alteration: Alteration, by: &str, talk: &Talk, attempt: &Arc<Attempt>) -> Result<String> {
        let turn = self.release_turn(app, talk, attempt).await?;
        let app = self.present(app).await?;
        let live = self.live_release(&app.id).await?;
        let (app, live) = match (alteration, live) {
            (Alteration::Scale(scalings), live) => return self.scale(app, live, scalings, talk, attempt).await,
            (Alteration::Limit(limits), live) => {
                let outcome = format!("Set the limits of `{}`.", app.name);
                return self.set(app, live, limits, outcome, talk, attempt).await;
            }
            (Alteration::Storage(mounting), live) => return self.mount(app, live, mounting, talk, attempt).await,
            (Alteration::Stop, Some(live)) => return self.stop_app(app, live, talk, attempt).await,
            (Alteration::Restart(Some(name)), Some(live)) => return self.restart(app, live, Some(&name), talk, attempt).await,
            (Alteration::Start, Some(_)) if !app.is_stopped => return Ok(format!("`{}` runs already.", app.name)),
            (Alteration::Restart(None), Some(_)) if app.is_stopped => return Err(is_stopped(&app)),
            (Alteration::Start | Alteration::Restart(None), Some(live)) => (app, live),
            (_, None) => {
                return Err(Error::not_found(format!("`{}` has no release yet", app.name)).hint("deploy it first: git push mini main"));
            }
        };
        let _turn = match Box::pin(self.release_saved_config(&app, &live, by, turn, talk, attempt)).await? {
            Ok(released) => return Ok(format!("`{}` runs as {}, with the config that was saved.", app.name, released.version)),
            Err(turn) => turn,
        };
        if app.is_stopped { self.start_app(app, live, talk, attempt).await } else { self.restart(app, live, None, talk, attempt).await }
    }

    async fn scale(&self, app: App, live: Option<Release>, scalings: Vec<Scaling>, talk: &Talk, attempt: &Attempt) -> Result<String> {
        let store = &self.rooms().store;
        let mut formation = store.formation(app.id.clone()).await?;
        let (mut settings, mut words) = (Vec::new(), Vec::new());
        for Scaling { kind, quantity } in scalings {
            if settings.iter().any(|setting| matches!(setting, AppSetting::Quantity(other, _) if *other == kind)) {
                return Err(Error::usage(format!("`{kind}` is there twice")));
            }
            if let Some(live) = &live {
                known_type(&app, live, &kind)?;
            }
            let quantity = quantity.of(formation.quantity(&kind));
            words.push(format!("{kind}={quantity}"));
            formation.set(kind.clone(), quantity);
            settings.push(AppSetting::Quantity(kind, quantity));
        }
        within_limit(&formation)?;
        let outcome = format!("Scaled `{}` to {}.", app.name, words.join(" "));
        let Some(live) = live.filter(|_| !app.is_stopped) else {
            store.set_app(app.id.clone(), settings).await?;
            return Ok(format!("{outcome} Nothing runs yet: {}.", if app.is_stopped { "it is stopped" } else { "nothing was deployed" }));
        };
        let wanted = live.process_table.wanted(&formation);
        let serving = self.serving_processes(&live).await?;
        let runs = |kind: &ProcessType, number: u32| serving.iter().any(|row| row.kind == *kind && row.number == number);
        let arriving = wanted.iter().filter(|(kind, number)| !runs(kind, *number)).cloned().collect();
        let is_wanted = |row: &Process| wanted.contains(&(row.kind.clone(), row.number));
        let leaving = serving.iter().filter(|row| !is_wanted(row)).cloned().collect();
        self.take_steps(app, live, Steps { arriving, leaving, settings }, talk, attempt).await?;
        Ok(outcome)
    }

    /// Makes settings true of an app with new containers for all that it runs.
    pub(super) async fn set(
        &self,
        app: App,
        live: Option<Release>,
        settings: Vec<AppSetting>,
        outcome: String,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<String> {
        let set = settings.iter().fold(app, with_setting);
        let Some(live) = live.filter(|_| !set.is_stopped) else {
            self.rooms().store.set_app(set.id.clone(), settings).await?;
            return Ok(outcome);
        };
        let leaving = self.serving_processes(&live).await?;
        let arriving = leaving.iter().map(|row| (row.kind.clone(), row.number)).collect();
        self.take_steps(set, live, Steps { arriving, leaving, settings }, talk, attempt).await?;
        Ok(outcome)
    }

    async fn restart(&self, app: App, live: Release, name: Option<&ProcessName>, talk: &Talk, attempt: &Attempt) -> Result<String> {
        if app.is_stopped {
            return Err(is_stopped(&app));
        }
        let mut leaving = self.serving_processes(&live).await?;
        leaving.retain(|row| name.is_none_or(|name| name.covers(row.kind.as_str(), row.number)));
        if leaving.is_empty() {
            let what = name.map_or_else(|| "no process".to_owned(), |name| format!("no process {name}"));
            return Err(Error::not_found(format!("`{}` has {what}", app.name)).hint(format!("see what runs: ssh mini ps {}", app.name)));
        }
        let outcome = format!("Restarted {} of `{}`.", process_names(&leaving), app.name);
        let arriving = leaving.iter().map(|row| (row.kind.clone(), row.number)).collect();
        self.take_steps(app, live, Steps { arriving, leaving, settings: Vec::new() }, talk, attempt).await?;
        Ok(outcome)
    }

    async fn start_app(&self, app: App, live: Release, talk: &Talk, attempt: &Attempt) -> Result<String> {
        let arriving = live.process_table.wanted(&self.rooms().store.formation(app.id.clone()).await?);
        let outcome = format!("Started {} of `{}`.", names(&arriving), app.name);
        self.take_steps(app, live, Steps { arriving, leaving: Vec::new(), settings: vec![AppSetting::Stopped(false)] }, talk, attempt)
            .await?;
        Ok(outcome)
    }

    async fn stop_app(&self, app: App, live: Release, talk: &Talk, attempt: &Attempt) -> Result<String> {
        if app.is_stopped {
            return Ok(format!("`{}` is stopped already.", app.name));
        }
        attempt.begin_switch()?;
        let leaving = self.serving_processes(&live).await?;
        talk.step(format!("Stopping {}", process_names(&leaving)));
        let ids = leaving.iter().map(|row| row.id).collect();
        let change = ProcessChange { leaving: ids, settings: vec![AppSetting::Stopped(true)], ..ProcessChange::default() };
        self.rooms().store.switch_processes(app.id.clone(), live.version, change).await?;
        let drains = self.reroute_and_drain(&app, live.version).await;
        self.wait_all(drains, self.rooms().settings.drain_time).await;
        self.end_processes(&app, &leaving).await;
        Ok(format!("Stopped `{}`. Start it again: ps:start {}", app.name, app.name))
    }

    /// Starts what arrives, proves it, switches to it and sends what leaves to drain; on an error all is as before.
    async fn take_steps(&self, app: App, live: Release, steps: Steps, talk: &Talk, attempt: &Attempt) -> Result<()> {
        let Steps { arriving, leaving, settings } = steps;
        let traffic = self.rooms().routes.traffic(&app.id);
        let mut way = Way::default();
        let started = match Box::pin(self.start_beside(&app, &live, &arriving, &leaving, &mut way, talk, attempt)).await {
            Ok(started) => started,
            Err(err) => {
                self.discard_starting(&app, live.version).await;
                self.go_back(&app, way).await;
                return Err(attempt.verdict_on(err));
            }
        };
        crate::failpoint!("alter::started");
        let change = ProcessChange {
            arriving: started.iter().map(|process| process.id).collect(),
            leaving: leaving.iter().map(|process| process.id).collect(),
            settings,
        };
        if let Err(err) = self.rooms().store.switch_processes(app.id.clone(), live.version, change).await {
            self.discard_starting(&app, live.version).await;
            self.go_back(&app, way).await;
            return Err(err);
        }
        crate::failpoint!("alter::committed");
        let drains = self.reroute_and_drain(&app, live.version).await;
        crate::failpoint!("alter::routed");
        self.leave_behind(&way);
        self.keep_running(&app, &started).await;
        self.notice_deaths(&started).await;
        if let Some(served) = self.served_since(&app.id, traffic) {
            talk.step(format!("Switched: {served}"));
        }
        let drains = if leaving.iter().any(|row| row.kind.is_web()) { drains } else { Vec::new() };
        self.end_in_background(app, leaving, drains);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn start_beside(
        &self,
        app: &App,
        live: &Release,
        arriving: &[(ProcessType, u32)],
        leaving: &[Process],
        way: &mut Way,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<Vec<Process>> {
        let is_exclusive = has_exclusive_storage(app);
        let replaced = |row: &&Process| arriving.iter().any(|(kind, number)| row.kind == *kind && row.number == *number);
        let ending = leaving.iter().filter(replaced).filter(|row| is_exclusive || !row.kind.is_web()).cloned().collect();
        self.end_first(app, live.version, ending, way, talk).await?;
        if !arriving.is_empty() {
            say_start(talk, arriving, None);
        }
        let plan = self.blueprint(app.clone(), live.clone()).await?;
        let started = self.start_processes(&plan, arriving).await?;
        let web: Vec<Process> = started.iter().filter(|process| process.kind.is_web()).cloned().collect();
        self.prove_processes(&plan, &web, talk, attempt.token()).await?;
        self.still_run(app, &web).await?;
        attempt.begin_switch()?;
        Ok(started)
    }

    pub(super) async fn serving_processes(&self, release: &Release) -> Result<Vec<Process>> {
        let mut rows = self.rooms().store.processes_of(release.app.clone(), release.version).await?;
        rows.retain(|row| row.state == ProcessState::Serving);
        Ok(rows)
    }
}

fn with_setting(mut app: App, setting: &AppSetting) -> App {
    match setting {
        AppSetting::MemoryBytes(bytes) => app.memory_bytes = *bytes,
        AppSetting::CpuMillis(millis) => app.cpu_millis = *millis,
        AppSetting::Mounted(storage) => app.storage.push(storage.clone()),
        AppSetting::Unmounted(name) => app.storage.retain(|storage| storage.name() != name),
        AppSetting::Overlaps(is) => app.overlaps = *is,
        AppSetting::AutoCertificates(is) => app.auto_certificates = *is,
        AppSetting::HealthPath(path) => app.health_path.clone_from(path),
        AppSetting::HealthSeconds(seconds) => app.health_seconds = *seconds,
        AppSetting::Edge(change) => app.edge.change(change.clone()),
        AppSetting::Quantity(..) | AppSetting::Stopped(_) | AppSetting::Doomed(_) => {}
    }
    app
}

fn known_type(app: &App, live: &Release, kind: &ProcessType) -> Result<()> {
    if live.process_table.has(kind) {
        return Ok(());
    }
    let known = live.process_table.types().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(Error::not_found(format!("{} of `{}` has no process type `{kind}`, only {known}", live.version, app.name))
        .hint("name it in the `Procfile` of your source, as in `worker: ./work`, and push that"))
}

fn within_limit(formation: &Formation) -> Result<()> {
    let web = ProcessType::web();
    let implied = if formation.scaled().any(|(kind, _)| *kind == web) { 0 } else { formation.quantity(&web) };
    let all = formation.scaled().fold(implied, |all, (_, quantity)| all.saturating_add(quantity));
    if all > MAX_PROCESSES {
        return Err(Error::usage(format!("an app runs at most {MAX_PROCESSES} processes, and this would be {all}")));
    }
    Ok(())
}

fn is_stopped(app: &App) -> Error {
    Error::busy(format!("`{}` is stopped", app.name)).hint(format!("start it: ssh mini ps:start {}", app.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_no_more_processes_than_its_network_has_places() {
        let formation =
            |pairs: &[(&str, u32)]| pairs.iter().map(|(kind, quantity)| (kind.parse().unwrap(), *quantity)).collect::<Formation>();

        assert!(within_limit(&formation(&[("worker", MAX_PROCESSES - 1)])).is_ok());
        assert!(within_limit(&formation(&[("worker", MAX_PROCESSES)])).is_err(), "one web runs besides");
        assert!(within_limit(&formation(&[("worker", MAX_PROCESSES), ("web", 0)])).is_ok());
        assert!(within_limit(&formation(&[("web", u32::MAX), ("worker", 1)])).is_err());
    }
}
