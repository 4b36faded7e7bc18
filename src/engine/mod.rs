//! The Docker Engine, in the words of apps and releases. The only room that says `bollard`.
//!
//! A release walks `build` → `network` → `container` → `probe`; what runs is told by `container::list` and `events`.
//! The connection is lazy: an [`Engine`] exists without a Docker Engine, and every call then says so.

mod attach;
mod build;
mod classic;
mod container;
mod events;
mod exec;
mod facts;
mod failure;
mod hijack;
mod image;
mod inspect;
mod isolation;
mod label;
mod line;
mod link;
mod listening;
mod logs;
mod network;
mod oneoff;
mod probe;
mod progress;
mod pull;
mod reach;
mod subnet;
mod symptom;
mod unstartable;
mod verdict;
mod volume;

#[cfg(test)]
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::error::{Error, Result};
use crate::model::limits::{ENGINE_ANSWER, ENGINE_CHECK};
use crate::model::{BridgePrefix, InstanceId};

pub use attach::{Attachment, Console};
pub use build::{BuildRequest, BuiltImage};
pub use container::ContainerSpec;
pub use events::EngineEvent;
pub use exec::ExecId;
pub use facts::EngineFacts;
pub use failure::is_address_taken;
pub use image::{ImageInfo, ImageSummary};
pub use inspect::{ContainerState, ContainerSummary, ExitState};
pub use isolation::TRIAL;
pub use link::{Join, Link};
pub use logs::AppLine;
pub use network::Network;
pub use oneoff::{Attach, ONE_OFF};
pub use probe::{Probe, probe};
pub use progress::BuildLine;
pub use pull::{PullRequest, Pulled};
pub use reach::Reach;
pub use volume::{Volume, VolumeMount, volume_name};

/// A handle to the Docker Engine of one server; clones are cheap and share it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    instance: InstanceId,
    socket: PathBuf,
    answer: Duration,
    bridges: BridgePrefix,
    /// One network is made at a time: two would choose the same free subnet.
    network_turn: tokio::sync::Mutex<()>,
}

/// What answers at the engine's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// The engine's version, such as `20.10.24`.
    pub version: String,
    /// The newest API that it speaks, such as `1.41`.
    pub api: String,
    /// The kernel below it.
    pub kernel: String,
}

// === impl Engine ===

impl Engine {
    /// Makes the handle; nothing is connected until the first call, so an absent engine is no failure here.
    #[must_use]
    pub fn new(instance: InstanceId, socket: PathBuf) -> Self {
        Self::with_answer_deadline(instance, socket, ENGINE_ANSWER)
    }

    /// Makes the handle; the bridges of new app networks begin with `bridges`, existing networks keep theirs.
    #[must_use]
    pub fn with_bridges(instance: InstanceId, socket: PathBuf, bridges: BridgePrefix) -> Self {
        Self::assemble(instance, socket, ENGINE_ANSWER, bridges)
    }

    /// Makes the handle with another deadline for the engine's answers.
    #[must_use]
    pub fn with_answer_deadline(instance: InstanceId, socket: PathBuf, answer: Duration) -> Self {
        Self::assemble(instance, socket, answer, BridgePrefix::default())
    }

    fn assemble(instance: InstanceId, socket: PathBuf, answer: Duration, bridges: BridgePrefix) -> Self {
        Engine { inner: Arc::new(Inner { instance, socket, answer, bridges, network_turn: tokio::sync::Mutex::new(()) }) }
    }

    /// Asks the engine who it is; `Kind::Unavailable` when nobody answers.
    pub async fn check(&self) -> Result<EngineInfo> {
        let deadline = self.inner.answer.min(ENGINE_CHECK);
        let version = self.call_within(deadline, |docker| async move { docker.version().await }).await?;
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            kernel: version.kernel_version.unwrap_or_default(),
        })
    }

    fn instance(&self) -> &InstanceId {
        &self.inner.instance
    }

    fn socket(&self) -> &Path {
        &self.inner.socket
    }

    /// Opens a client. It costs microseconds, and a socket that appears later is found by the next call.
    fn docker(&self) -> Result<Docker> {
        let socket = self.socket().to_string_lossy();
        Docker::connect_with_unix(&socket, self.inner.answer.as_secs().max(1), API_DEFAULT_VERSION).map_err(|err| self.explain(err))
    }

    /// Makes one call that must be answered completely within the answer deadline.
    async fn call<T, W>(&self, work: impl FnOnce(Docker) -> W) -> Result<T>
    where
        W: Future<Output = Result<T, bollard::errors::Error>>,
    {
        self.call_within(self.inner.answer, work).await
    }

    /// Makes one call that may take `deadline`, such as a stop with a grace period.
    async fn call_within<T, W>(&self, deadline: Duration, work: impl FnOnce(Docker) -> W) -> Result<T>
    where
        W: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let docker = self.docker()?.with_timeout(deadline);
        let answer = tokio::time::timeout(deadline, work(docker)).await;
        answer.map_err(|_| failure::silent(deadline))?.map_err(|err| failure::explain(self.socket(), deadline, err))
    }

    fn explain(&self, err: bollard::errors::Error) -> Error {
        failure::explain(self.socket(), self.inner.answer, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn an_absent_engine_is_unavailable_and_named_by_its_socket() {
        let engine = Engine::new(InstanceId::random(), PathBuf::from("/nowhere/docker.sock"));

        let err = engine.check().await.unwrap_err();

        assert_eq!(err.kind(), Kind::Unavailable);
        assert_eq!(err.sentence(), "no Docker Engine answers at /nowhere/docker.sock");
    }

    #[tokio::test]
    async fn a_dead_socket_is_unavailable_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

        let err = Engine::new(InstanceId::random(), path).check().await.unwrap_err();

        assert!(err.sentence().starts_with("no Docker Engine answers at"), "{err:?}");
    }

    #[tokio::test]
    async fn an_engine_that_accepts_and_says_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let engine = Engine::with_answer_deadline(InstanceId::random(), path, Duration::from_secs(1));

        let err = engine.check().await.unwrap_err();

        assert_eq!(err.kind(), Kind::Unavailable);
        assert_eq!(err.sentence(), "the Docker Engine did not answer in 1 s");
    }

    #[tokio::test]
    async fn the_engine_of_this_machine_tells_its_version() {
        let info = trial::engine().check().await.unwrap();

        assert!(!info.version.is_empty() && info.api.starts_with("1."), "{info:?}");
    }
}
