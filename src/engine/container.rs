//! The life of one container: made hardened, started, stopped in peace, removed.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};

use super::failure::{absent_is_none, status};
use super::image::ImageInfo;
use super::link::Join;
use super::unstartable::explain;
use super::volume::{VolumeMount, mounts};
use super::{Engine, label, reach};
use crate::error::Result;
use crate::model::limits::{ENGINE_LOG_FILES, ENGINE_LOG_SIZE, PIDS_LIMIT, STOP_GRACE};
use crate::model::{AppId, AppName, ContainerId, ImageId, Secret, Version};

/// The capabilities that stock images need to become another user and to own their files; those that start as another user get none.
const ROOT_CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE"];

/// One container of a release.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Unique in the engine: `mini-blog-web-1-v12`.
    pub name: String,
    pub app: AppId,
    pub app_name: AppName,
    pub version: Version,
    /// The process type: `web`.
    pub process: String,
    /// Which of them, from 1.
    pub index: u32,
    pub image: ImageId,
    /// Replaces the image's command when given.
    pub command: Option<Vec<String>>,
    /// The app's config. `docker inspect` shows it to root and to the group `docker`.
    pub env: Vec<(String, Secret)>,
    /// The network's id.
    pub network: String,
    /// An address of that network which nothing else has.
    pub address: Ipv4Addr,
    /// Becomes `PORT` unless `env` holds one.
    pub port: u16,
    /// Memory and swap together; `None` is no limit.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor; `None` is no limit.
    pub cpu_millis: Option<u32>,
    pub mounts: Vec<VolumeMount>,
    pub joins: Vec<Join>,
    /// The port is published on 127.0.0.1 as well, where bridge addresses are not routed: [`Engine::published_port`] tells where.
    pub published: bool,
}

impl Engine {
    /// Makes a container and starts it; one that does not start is removed again.
    ///
    /// It restarts by itself only after [`Engine::set_restart`]. An address in use is `Kind::Busy`. Not cancel-safe: a future dropped
    /// half-way may leave a container that only [`Engine::list`] knows, so see it through and remove it then.
    pub async fn create_and_start(&self, spec: ContainerSpec) -> Result<ContainerId> {
        let image = self.image(spec.image.as_str()).await?;
        let (name, joins) = (spec.name.clone(), spec.joins.clone());
        let container = self.create(&name, self.body(spec, &image), &joins).await.map_err(explain)?;
        if let Err(err) = self.start(&container).await {
            self.clear_away(&container).await;
            return Err(explain(err));
        }
        Ok(container)
    }

    /// Makes a container that takes part in its links from its start on; one that cannot is removed again.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody, joins: &[Join]) -> Result<ContainerId> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = self.call(|docker| async move { docker.create_container(Some(options), body).await }).await?;
        let container: ContainerId = made.id.parse()?;
        for join in joins {
            if let Err(err) = self.join(&container, join).await {
                self.clear_away(&container).await;
                return Err(err);
            }
        }
        Ok(container)
    }

    async fn clear_away(&self, container: &ContainerId) {
        if let Err(stays) = self.remove(container).await {
            tracing::warn!(container.id = %container, error = ?stays, "a container that did not start stays behind");
        }
    }

    /// Starts a container that was stopped; one that runs is fine.
    pub async fn start(&self, container: &ContainerId) -> Result<()> {
        self.call(|docker| async move { docker.start_container(container.as_str(), None).await }).await
    }

    /// Lets the engine restart a container whenever it dies, or not.
    pub async fn set_restart(&self, container: &ContainerId, unless_stopped: bool) -> Result<()> {
        let name = if unless_stopped { RestartPolicyNameEnum::UNLESS_STOPPED } else { RestartPolicyNameEnum::NO };
        let restart_policy = Some(RestartPolicy { name: Some(name), maximum_retry_count: None });
        let update = ContainerUpdateBody { restart_policy, ..ContainerUpdateBody::default() };
        self.call(|docker| async move { docker.update_container(container.as_str(), update).await }).await
    }

    /// Sends the image's stop signal (SIGTERM unless it says otherwise), and SIGKILL after `grace`. One that is stopped or gone is fine.
    pub async fn stop(&self, container: &ContainerId, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let stop = |docker: bollard::Docker| async move { absent_is_none(docker.stop_container(container.as_str(), Some(options)).await) };
        self.call_within(grace + self.inner.answer, stop).await.map(drop)
    }

    /// Removes a container with its anonymous volumes, killing it if it runs. One that is gone, or on its way, is fine.
    pub async fn remove(&self, container: &ContainerId) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removal = |docker: bollard::Docker| async move {
            match absent_is_none(docker.remove_container(container.as_str(), Some(options)).await) {
                // 409: "removal of container … is already in progress".
                Err(err) if status(&err) == Some(409) => Ok(()),
                other => other.map(drop),
            }
        };
        self.call(removal).await
    }

    pub(super) fn body(&self, spec: ContainerSpec, image: &ImageInfo) -> ContainerCreateBody {
        ContainerCreateBody {
            hostname: Some(spec.app_name.to_string()),
            image: Some(spec.image.to_string()),
            labels: Some(self.labels(&spec)),
            networking_config: Some(networking(&spec)),
            host_config: Some(host_config(&spec, image)),
            stop_timeout: i64::try_from(STOP_GRACE.as_secs()).ok(),
            env: Some(environment(&spec)),
            exposed_ports: spec.published.then(|| vec![reach::key(spec.port)]),
            cmd: spec.command,
            ..ContainerCreateBody::default()
        }
    }

    fn labels(&self, spec: &ContainerSpec) -> HashMap<String, String> {
        let mut labels = label::of_app(self.instance(), &spec.app);
        labels.extend([
            (label::NAME.to_owned(), spec.app_name.to_string()),
            (label::RELEASE.to_owned(), spec.version.to_string()),
            (label::PROCESS.to_owned(), spec.process.clone()),
            (label::INDEX.to_owned(), spec.index.to_string()),
            (label::PORT.to_owned(), spec.port.to_string()),
        ]);
        labels
    }
}

fn environment(spec: &ContainerSpec) -> Vec<String> {
    let mut env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
    if !spec.env.iter().any(|(name, _)| name == "PORT") {
        env.push(format!("PORT={}", spec.port));
    }
    env
}

fn networking(spec: &ContainerSpec) -> NetworkingConfig {
    let ipam = EndpointIpamConfig { ipv4_address: Some(spec.address.to_string()), ..EndpointIpamConfig::default() };
    let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
    NetworkingConfig { endpoints_config: Some(HashMap::from([(spec.network.clone(), endpoint)])) }
}

/// Nothing is published unless that is asked for, and nothing of the host is mounted or shared: volumes are the engine's.
fn host_config(spec: &ContainerSpec, image: &ImageInfo) -> HostConfig {
    let capabilities: &[&str] = if image.runs_as_root() { &ROOT_CAPABILITIES } else { &[] };
    let memory = spec.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    HostConfig {
        network_mode: Some(spec.network.clone()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities.iter().map(|name| (*name).to_owned()).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        init: Some(true),
        ipc_mode: Some("private".to_owned()),
        pids_limit: Some(PIDS_LIMIT),
        memory,
        memory_swap: memory,
        nano_cpus: spec.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
        mounts: Some(mounts(&spec.mounts)),
        publish_all_ports: Some(false),
        port_bindings: spec.published.then(|| reach::bindings(spec.port)),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("local".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), ENGINE_LOG_SIZE.to_owned()),
                ("max-file".to_owned(), ENGINE_LOG_FILES.to_owned()),
            ])),
        }),
        ..HostConfig::default()
    }
}
