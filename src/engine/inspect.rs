//! What containers are doing: one, until it ends; one, now; all of this server's.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::errors::Error as Refusal;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary as Listed, ContainerSummaryStateEnum, EndpointSettings, RestartPolicyNameEnum,
};
use bollard::query_parameters::{ListContainersOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::StreamExt;

use super::failure::absent_is_none;
use super::oneoff::ONE_OFF;
use super::{Engine, label};
use crate::error::{Error, Result};
use crate::model::{AppId, AppName, ContainerId, ImageId, Stamp, Version};

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitState {
    /// 128 + the signal when it was killed.
    pub code: i64,
    /// The kernel killed it for its memory limit.
    pub oom: bool,
}

/// What a container is doing now.
// The engine's own facts: each of the four may be true without the others.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    pub running: bool,
    /// It died and the engine waits before it starts it again.
    pub restarting: bool,
    /// Of the last run; 0 while running.
    pub exit_code: i64,
    pub oom: bool,
    /// The address that mini gave it. Trust it only while `running`.
    pub address: Option<Ipv4Addr>,
    pub started_at: Option<Stamp>,
    /// The first process, in the host's numbers, while running.
    pub pid: Option<u32>,
    /// How often the engine restarted it.
    pub restart_count: u64,
    /// The engine starts it again when it dies.
    pub restarts: bool,
}

/// A container of this server, read from its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSummary {
    pub id: ContainerId,
    /// As given in `ContainerSpec`.
    pub name: String,
    pub app: AppId,
    /// The app's name when the container was made.
    pub app_name: AppName,
    pub version: Version,
    pub process: String,
    pub index: u32,
    pub running: bool,
    /// The address that mini gave it. Trust it only while `running`.
    pub address: Option<Ipv4Addr>,
    pub port: u16,
    /// What it was made of; `None` when the engine lists it by another name.
    pub image: Option<ImageId>,
    /// Its output goes to a caller, and it ends with that caller's call.
    pub attached: bool,
}

impl Engine {
    /// Waits until a container does not run, however long that takes.
    pub async fn wait_exit(&self, container: &ContainerId) -> Result<ExitState> {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut ends = std::pin::pin!(self.docker()?.wait_container(container.as_str(), Some(options)));
        let code = match ends.next().await {
            Some(Ok(end)) => end.status_code,
            // This is how bollard tells any other code than 0.
            Some(Err(Refusal::DockerContainerWaitError { code, .. })) => code,
            Some(Err(err)) => return Err(self.explain(err)),
            None => return Err(Error::unavailable("the Docker Engine broke off its answer")),
        };
        let oom = self.inspect(container).await?.is_some_and(|state| state.oom);
        Ok(ExitState { code, oom })
    }

    /// Looks at a container; `None` when it is gone.
    pub async fn inspect(&self, container: &ContainerId) -> Result<Option<ContainerState>> {
        let found = self.call(|docker| async move { absent_is_none(docker.inspect_container(container.as_str(), None).await) }).await?;
        Ok(found.map(ContainerState::read))
    }

    /// Lists all containers of this server, running or not.
    pub async fn list(&self) -> Result<Vec<ContainerSummary>> {
        let filters = label::filter_instance(self.instance());
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.call(|docker| async move { docker.list_containers(Some(options)).await }).await?;
        Ok(found.into_iter().filter_map(summarise).collect())
    }
}

// === impl ContainerState ===

impl ContainerState {
    fn read(found: ContainerInspectResponse) -> Self {
        let state = found.state.unwrap_or_default();
        let restarting = state.restarting.unwrap_or(false);
        let running = state.running.unwrap_or(false) && !restarting;
        let policy = found.host_config.and_then(|config| config.restart_policy).and_then(|policy| policy.name);
        ContainerState {
            restarts: policy == Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            running,
            restarting,
            exit_code: state.exit_code.unwrap_or(0),
            oom: state.oom_killed.unwrap_or(false),
            address: address(found.network_settings.and_then(|settings| settings.networks)),
            // The engine writes the year 1 for never.
            started_at: state.started_at.and_then(|at| Stamp::parse(&at).ok()).filter(|at| at.as_millis() > 0),
            pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| running && *pid > 0),
            restart_count: found.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
        }
    }
}

/// A container whose labels were not written by mini is passed over, and said once per listing.
fn summarise(found: Listed) -> Option<ContainerSummary> {
    let id = found.id.clone().unwrap_or_default();
    let summary = ContainerSummary::read(found);
    if summary.is_none() {
        tracing::warn!(container.id = %id, "a container wears this server's label without the others");
    }
    summary
}

// === impl ContainerSummary ===

impl ContainerSummary {
    /// Tells whether it is no part of a release: a program that somebody runs once.
    #[must_use]
    pub fn is_one_off(&self) -> bool {
        self.process == ONE_OFF
    }

    /// Names its process within the app: `web.1`, `run.3`.
    #[must_use]
    pub fn process_name(&self) -> String {
        format!("{}.{}", self.process, self.index)
    }

    fn read(found: Listed) -> Option<Self> {
        let mut labels = found.labels?;
        Some(ContainerSummary {
            id: found.id?.parse().ok()?,
            name: found.names?.first()?.trim_start_matches('/').to_owned(),
            app: labels.get(label::APP)?.parse().ok()?,
            app_name: labels.get(label::NAME)?.parse().ok()?,
            version: labels.get(label::RELEASE)?.parse().ok()?,
            index: labels.get(label::INDEX)?.parse().ok()?,
            port: labels.get(label::PORT)?.parse().ok()?,
            attached: labels.contains_key(label::ATTACHED),
            process: labels.remove(label::PROCESS)?,
            image: found.image_id.and_then(|id| id.parse().ok()),
            running: found.state == Some(ContainerSummaryStateEnum::RUNNING),
            address: address(found.network_settings.and_then(|settings| settings.networks)),
        })
    }
}

/// The address that was asked for; the one that is there only as a second choice.
fn address(networks: Option<HashMap<String, EndpointSettings>>) -> Option<Ipv4Addr> {
    let endpoint = networks?.into_values().next()?;
    let wanted = endpoint.ipam_config.and_then(|ipam| ipam.ipv4_address);
    wanted.or(endpoint.ip_address)?.parse().ok()
}
