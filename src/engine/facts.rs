//! What the engine says of itself and its machine: where it keeps images, how, and whether that is this machine at all.

use std::path::PathBuf;

use bollard::models::SystemInfo;

use super::Engine;
use crate::error::Result;
use crate::model::limits::ENGINE_CHECK;

/// The engine's own account (`docker info`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFacts {
    /// The engine's version, such as `20.10.24`.
    pub version: String,
    /// Where it keeps images and containers. A path of *its* machine: it need not be there on ours.
    pub root: Option<PathBuf>,
    /// How it keeps them, such as `overlay2`.
    pub storage_driver: String,
    /// It runs in a network of its own: rootless, or in Docker Desktop's virtual machine.
    pub is_apart: bool,
}

impl Engine {
    /// Asks the engine about itself.
    pub async fn facts(&self) -> Result<EngineFacts> {
        let deadline = self.inner.answer.min(ENGINE_CHECK);
        self.call_within(deadline, |docker| async move { docker.info().await }).await.map(EngineFacts::read)
    }
}

// === impl EngineFacts ===

impl EngineFacts {
    fn read(info: SystemInfo) -> Self {
        let is_rootless = info.security_options.iter().flatten().any(|option| option.split(',').any(|part| part == "name=rootless"));
        let is_desktop = info.operating_system.as_deref() == Some("Docker Desktop");
        EngineFacts {
            version: info.server_version.unwrap_or_default(),
            root: info.docker_root_dir.filter(|root| root.starts_with('/')).map(PathBuf::from),
            storage_driver: info.driver.unwrap_or_default(),
            is_apart: is_rootless || is_desktop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    #[test]
    fn an_engine_with_a_network_of_its_own_is_known() {
        let of = |options: &[&str], system: &str| {
            let security_options = Some(options.iter().map(|option| (*option).to_owned()).collect());
            EngineFacts::read(SystemInfo { security_options, operating_system: Some(system.into()), ..SystemInfo::default() }).is_apart
        };

        assert!(of(&["name=seccomp,profile=default", "name=rootless"], "Debian GNU/Linux 12"));
        assert!(of(&["name=seccomp,profile=unconfined"], "Docker Desktop"));
        assert!(!of(&["name=seccomp,profile=default", "name=cgroupns"], "Debian GNU/Linux 12"));
    }

    #[tokio::test]
    async fn the_engine_of_this_machine_tells_where_it_keeps_images() {
        let facts = trial::engine().facts().await.unwrap();

        assert!(facts.root.is_some() && !facts.storage_driver.is_empty() && !facts.version.is_empty(), "{facts:?}");
    }
}
