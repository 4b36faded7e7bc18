//! Verbs about an app's processes: how many run, how they are, and changes of both.

use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Entry, Event, FormationRow, Limit, ProcessRow, Reply};
use crate::deploy::Alteration;
use crate::engine::{ContainerState, ContainerSummary};
use crate::error::Result;
use crate::model::size::in_words;
use crate::model::{ProcessState, ReleaseState};
use crate::store::{App, AppSetting, Process, Release};

const NO_ADDRESS: &str = "-";

/// The state of an app whose containers cannot be asked about.
const UNKNOWN: &str = "unknown: the engine does not answer";

impl Platform {
    pub(super) async fn processes(&self, permit: &Permit) -> Result<Reply> {
        let app = permit.app();
        let (mut rows, mut one_offs) = (Vec::new(), Vec::new());
        self.rooms().engine.check().await?;
        let known = self.rooms().store.processes(app.id.clone()).await?;
        for container in self.rooms().engine.list().await?.into_iter().filter(|container| container.app == app.id) {
            let Some(state) = self.rooms().engine.inspect(&container.id).await? else { continue };
            if container.is_one_off() {
                one_offs.push(one_off_row(container, &state));
                continue;
            }
            let release = self.rooms().store.release(app.id.clone(), container.version).await?;
            let process = known.iter().find(|process| process.container.as_ref() == Some(&container.id));
            rows.push(ProcessRow {
                process: container.process_name(),
                release: container.version,
                state: self.process_state(app, &release, process, &container, &state),
                since: state.started_at,
                address: process.map_or_else(|| NO_ADDRESS.to_owned(), |process| place_of(process, &release)),
                container: container.id,
                restarts: u32::try_from(state.restart_count).unwrap_or(u32::MAX),
            });
        }
        rows.sort_by(|one, other| (other.release, &one.process).cmp(&(one.release, &other.process)));
        rows.append(&mut one_offs);
        Ok(Reply::Value(Answer::Processes(rows)))
    }

    fn process_state(
        &self,
        app: &App,
        release: &Release,
        process: Option<&Process>,
        container: &ContainerSummary,
        state: &ContainerState,
    ) -> String {
        match (release.state, process.map(|process| process.state)) {
            (ReleaseState::Live, Some(ProcessState::Serving)) => self.deployer.condition(app, &container.id, state),
            (ReleaseState::Live, Some(ProcessState::Starting)) => "starting".to_owned(),
            (ReleaseState::Live, _) => "draining".to_owned(),
            (other, _) => other.to_string(),
        }
    }

    /// Says in a few words how an app is.
    pub(super) async fn state_of(&self, app: &App, release: Option<&Release>, engine_answers: bool) -> String {
        let Some(release) = release else { return "no release yet".into() };
        if app.is_stopped {
            return "stopped".into();
        }
        if self.deployer.has_lost_image(release) {
            return "down: its image is gone".into();
        }
        if !engine_answers {
            return UNKNOWN.into();
        }
        self.state_of_processes(app, release).await.unwrap_or_else(|_| UNKNOWN.into())
    }

    async fn state_of_processes(&self, app: &App, release: &Release) -> Result<String> {
        let mut rows = self.rooms().store.processes_of(app.id.clone(), release.version).await?;
        rows.retain(|row| row.state == ProcessState::Serving);
        let (all, mut worst) = (rows.len(), None);
        for row in &rows {
            let state = match &row.container {
                Some(container) => self.rooms().engine.inspect(container).await?.map(|state| (container, state)),
                None => None,
            };
            let condition = state.map_or_else(|| "down".to_owned(), |(container, state)| self.deployer.condition(app, container, &state));
            if condition != "running" {
                worst = Some(if all == 1 { condition } else { format!("{} {condition}", row.name()) });
            }
        }
        let web = rows.iter().any(|row| row.kind.is_web());
        Ok(worst.unwrap_or_else(|| if web || all > 0 { "live" } else { "nothing runs" }.to_owned()))
    }

    pub(super) async fn formation(&self, permit: &Permit) -> Result<Reply> {
        let app = permit.app();
        let formation = self.rooms().store.formation(app.id.clone()).await?;
        let table = self.deployer.live_release(&app.id).await?.map(|release| release.process_table).unwrap_or_default();
        let rows = table.types().map(|kind| FormationRow {
            process: kind.to_string(),
            quantity: formation.quantity(kind),
            // The shell and its flag are mini's own.
            command: table.command(kind).and_then(<[String]>::last).cloned(),
        });
        Ok(Reply::Value(Answer::Formation(rows.collect())))
    }

    pub(super) fn limits(permit: &Permit) -> Reply {
        let app = permit.app();
        let memory = app.memory_bytes.map_or_else(|| "none".to_owned(), in_words);
        let cpus = app.cpu_millis.map_or_else(|| "none".to_owned(), |millis| format!("{}.{:03}", millis / 1000, millis % 1000));
        let entries = [("memory", memory), ("cpus", cpus)].map(|(name, value)| Entry { name: name.to_owned(), value });
        Reply::Value(Answer::Entries(entries.into()))
    }

    pub(super) fn set_limits(&self, permit: &Permit, limits: Vec<Limit>, cancelled: CancellationToken) -> Reply {
        let settings = limits.into_iter().map(|limit| match limit {
            Limit::MemoryBytes(bytes) => AppSetting::MemoryBytes(bytes),
            Limit::CpuMillis(millis) => AppSetting::CpuMillis(millis),
        });
        self.alter(permit, Alteration::Limit(settings.collect()), cancelled)
    }

    /// Starts the change and streams what it says; a reader that leaves cancels it until its switch.
    pub(super) fn alter(&self, permit: &Permit, alteration: Alteration, cancelled: CancellationToken) -> Reply {
        let (deployer, app, by) = (self.deployer.clone(), permit.app().id.clone(), permit.caller().name.clone());
        self.story(&permit.app().name, async move |talk| deployer.alter(&app, alteration, &by, &talk, &cancelled).await.map(Event::Say))
    }
}

fn place_of(process: &Process, release: &Release) -> String {
    match (process.address, release.port) {
        (Some(address), Some(port)) if process.kind.is_web() => format!("{address}:{port}"),
        _ => NO_ADDRESS.to_owned(),
    }
}

/// Nothing is asked of a one-off, so nobody needs to know where it is.
fn one_off_row(container: ContainerSummary, state: &ContainerState) -> ProcessRow {
    ProcessRow {
        process: container.process_name(),
        release: container.version,
        state: if state.running { "running" } else { "ended" }.into(),
        since: state.started_at,
        container: container.id,
        address: NO_ADDRESS.into(),
        restarts: 0,
    }
}
