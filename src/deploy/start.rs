//! Starting the processes of a release: each has a row before it has a container, and a few start at once.

use futures_util::{FutureExt, StreamExt, stream};

use super::environment::{self, Config};
use super::place::PLACE_TRIES;
use super::{Deployer, Talk};
use crate::engine::{ContainerSpec, ContainerSummary, Join, Network, VolumeMount, is_address_taken};
use crate::error::{Error, Result};
use crate::model::limits::STARTS_AT_ONCE;
use crate::model::{AppId, ProcessState, ProcessType, Version};
use crate::store::{App, Process, Release};

/// What processes of one release are made of.
pub(super) struct Blueprint {
    /// With the limits that they get, which may not be the app's yet.
    pub app: App,
    pub release: Release,
    pub config: Config,
}

/// What all processes of an app are put into.
struct Surroundings {
    network: Network,
    mounts: Vec<VolumeMount>,
    joins: Vec<Join>,
}

// === impl Blueprint ===

impl Blueprint {
    pub fn port(&self) -> Result<u16> {
        self.release.port.ok_or_else(|| Error::failed(format!("{} has no port", self.release.version)))
    }
}

impl Deployer {
    /// Reads what more processes of a release are made of.
    pub(super) async fn blueprint(&self, app: App, release: Release) -> Result<Blueprint> {
        let config = self.rooms().store.release_config(app.id.clone(), release.version).await?;
        Ok(Blueprint { app, release, config })
    }

    /// Creates and starts processes; on an error some may run, for [`Self::discard_starting`] to remove.
    pub(super) async fn start_processes(&self, plan: &Blueprint, wanted: &[(ProcessType, u32)]) -> Result<Vec<Process>> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let network = self.network_of(&plan.app).await?;
        let around = Surroundings { network, mounts: self.mounts_of(&plan.app).await?, joins: self.joins_of(&plan.app).await? };
        // Every one is seen through: a call that is dropped half-way may leave a container that nobody knows.
        let starts: Vec<_> = wanted.iter().map(|(kind, number)| self.start_process(plan, &around, kind, *number).boxed()).collect();
        let started: Vec<Result<Process>> = stream::iter(starts).buffered(STARTS_AT_ONCE).collect().await;
        self.inner.starts.send_modify(|starts| *starts += 1);
        started.into_iter().collect()
    }

    async fn start_process(&self, plan: &Blueprint, around: &Surroundings, kind: &ProcessType, number: u32) -> Result<Process> {
        let rooms = self.rooms();
        let (app, release, port) = (&plan.app, &plan.release, plan.port()?);
        let mut process = rooms.store.begin_process(app.id.clone(), release.version, kind.clone(), number).await?;
        let mut tries = PLACE_TRIES;
        let container = loop {
            let address = self.take_address(app, &around.network).await?;
            rooms.store.place_process(process.id, address).await?;
            crate::failpoint!("starting::addressed");
            process.address = Some(address);
            let spec = ContainerSpec {
                name: format!("mini-{}-{}-{}-{kind}-{number}-{}", app.name, &app.id.as_str()[..6], release.version, process.id),
                app: app.id.clone(),
                app_name: app.name.clone(),
                version: release.version,
                process: kind.to_string(),
                index: number,
                image: release.image.clone(),
                env: environment::variables(&app.name, release.version, &process.name(), release.commit(), port, &plan.config),
                network: around.network.id.clone(),
                address,
                port,
                memory_bytes: app.memory_bytes,
                cpu_millis: app.cpu_millis,
                mounts: around.mounts.clone(),
                joins: around.joins.clone(),
                published: self.publishes().await? && kind.is_web(),
                command: release.process_table.command(kind).map(<[String]>::to_vec),
            };
            // On the heap: the engine's client makes large futures, and this one is inside of many.
            match Box::pin(rooms.engine.create_and_start(spec)).await {
                Err(err) if tries > 0 && is_address_taken(&err) => tries -= 1,
                made => break made?,
            }
        };
        crate::failpoint!("starting::created");
        rooms.store.set_container(process.id, container.clone()).await?;
        crate::failpoint!("starting::noted");
        process.container = Some(container);
        Ok(process)
    }

    /// Removes what was started and does not serve: containers of a release that no serving or leaving row knows, and the rows themselves.
    pub(super) async fn discard_starting(&self, app: &App, version: Version) {
        if let Err(err) = self.try_discard_starting(app, version).await {
            tracing::error!(app.name = %app.name, release.version = %version, ?err, "a release's containers are left to the next start");
        }
    }

    async fn try_discard_starting(&self, app: &App, version: Version) -> Result<()> {
        let rows = self.rooms().store.processes_of(app.id.clone(), version).await?;
        let (starting, others): (Vec<Process>, Vec<Process>) = rows.into_iter().partition(|row| row.state == ProcessState::Starting);
        for container in self.containers_of(&app.id, version).await? {
            if !others.iter().any(|row| row.container.as_ref() == Some(&container.id)) {
                self.discard(app, &container.id, &container.process_name(), std::time::Duration::ZERO).await;
            }
        }
        for row in starting {
            self.rooms().store.drop_process(row.id).await?;
        }
        Ok(())
    }

    /// Lists the containers of one release.
    pub(super) async fn containers_of(&self, app: &AppId, version: Version) -> Result<Vec<ContainerSummary>> {
        let mut containers = self.rooms().engine.list().await?;
        containers.retain(|container| container.app == *app && container.version == version && !container.is_one_off());
        Ok(containers)
    }

    /// Lets the engine bring the processes back when they die, from now on.
    pub(super) async fn keep_running(&self, app: &App, processes: &[Process]) {
        for container in processes.iter().filter_map(|process| process.container.as_ref()) {
            if let Err(err) = self.rooms().engine.set_restart(container, true).await {
                tracing::warn!(app.name = %app.name, container.id = %container.short(), ?err, "the restart policy could not be set");
            }
        }
    }
}

/// Names processes in the order they were given: `web.1, web.2`.
pub(super) fn names(wanted: &[(ProcessType, u32)]) -> String {
    wanted.iter().map(|(kind, number)| format!("{kind}.{number}")).collect::<Vec<_>>().join(", ")
}

/// Tells which release the processes start beside, if any.
pub(super) fn say_start(talk: &Talk, wanted: &[(ProcessType, u32)], beside: Option<Version>) {
    match beside {
        _ if wanted.is_empty() => talk.step("Starting nothing: every process type is scaled to 0"),
        Some(old) => talk.step(format!("Starting {} beside {old}", names(wanted))),
        None => talk.step(format!("Starting {}", names(wanted))),
    }
}
