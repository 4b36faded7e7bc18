//! A throw-away container that tries what an app can reach: made like an app's, on a network of its own, and gone afterwards.

use std::collections::HashSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use super::container::ContainerSpec;
use super::oneoff::Attach;
use super::{Engine, Network, label};
use crate::error::{Error, Result};
use crate::model::{AppId, ContainerId, ImageId, Version};

/// The process of such a container, as `web` is that of others.
pub const TRIAL: &str = "doctor";

/// A container that takes longer than its tries is given up.
const DEADLINE: Duration = Duration::from_secs(20);
const MEMORY_BYTES: u64 = 128 << 20;

/// Tries every `ADDRESS PORT` at once, each for three seconds, with whatever the image has, and prints `ADDRESS PORT open` or `closed`.
const SCRIPT: &str = r#"
if nc 2>&1 | grep -q BusyBox; then try() { nc -w 3 "$1" "$2" -e true; }
elif command -v python3; then try() { python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)' "$1" "$2"; }
elif command -v node; then try() { node -e '
    const s = require("net").connect(+process.argv[2], process.argv[1]);
    s.on("connect", () => process.exit(0)); s.on("error", () => process.exit(1)); setTimeout(() => process.exit(1), 3000)' "$1" "$2"; }
elif command -v bash && command -v timeout; then try() { timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2"; }
else exit 0; fi >/dev/null 2>&1
while [ $# -gt 1 ]; do
    (if try "$1" "$2" >/dev/null 2>&1; then echo "$1 $2 open"; else echo "$1 $2 closed"; fi) &
    shift 2
done
wait
"#;

impl Engine {
    /// Tells for each target whether an app's container could connect to it; `None` when the image has nothing to try it with.
    ///
    /// The network is the trial's own, of [`Engine::ensure_network`] for an app that is none; [`Engine::end_trial`] removes all.
    pub async fn try_targets(
        &self,
        trial: &AppId,
        network: &Network,
        image: &ImageId,
        targets: &[SocketAddrV4],
    ) -> Result<Option<Vec<bool>>> {
        let container = self.create_one_off(spec(trial, network, image, targets)?, Attach::Detached).await?;
        self.start(&container).await?;
        tokio::time::timeout(DEADLINE, self.wait_exit(&container))
            .await
            .map_err(|_| Error::failed(format!("the trial's container did not end in {} s", DEADLINE.as_secs())))??;
        let said = self.tail(&container, targets.len()).await?;
        let is_open = |target: &SocketAddrV4| {
            let words = format!("{} {}", target.ip(), target.port());
            said.iter().find_map(|line| match line.text.strip_prefix(&words)?.trim() {
                "open" => Some(true),
                "closed" => Some(false),
                _ => None,
            })
        };
        Ok(targets.iter().map(is_open).collect())
    }

    /// Removes what a trial made: its containers and its network.
    pub async fn end_trial(&self, trial: &AppId) -> Result<()> {
        for container in self.list().await?.into_iter().filter(|container| container.app == *trial) {
            self.remove(&container.id).await?;
        }
        self.remove_network(trial).await
    }

    /// Lists the containers of trials, whoever left them.
    pub async fn trials(&self) -> Result<Vec<ContainerId>> {
        Ok(self.list().await?.into_iter().filter(|container| container.process == TRIAL).map(|container| container.id).collect())
    }

    /// Lists what has a network of this server.
    pub async fn apps_with_networks(&self) -> Result<HashSet<AppId>> {
        let filters = label::filter_instance(self.instance());
        let options = bollard::query_parameters::ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = self.call(|docker| async move { docker.list_networks(Some(options)).await }).await?;
        Ok(found.into_iter().filter_map(|network| network.labels?.get(label::APP)?.parse().ok()).collect())
    }
}

fn spec(trial: &AppId, network: &Network, image: &ImageId, targets: &[SocketAddrV4]) -> Result<ContainerSpec> {
    let words = targets.iter().flat_map(|target| [target.ip().to_string(), target.port().to_string()]);
    let command = ["/bin/sh", "-c", SCRIPT, "sh"].map(str::to_owned).into_iter().chain(words);
    Ok(ContainerSpec {
        name: format!("mini-{TRIAL}-{trial}"),
        app: trial.clone(),
        app_name: "isolation-trial".parse()?,
        version: Version(1),
        process: TRIAL.to_owned(),
        index: 1,
        image: image.clone(),
        command: Some(command.collect()),
        env: Vec::new(),
        network: network.id.clone(),
        address: network.address(2).ok_or_else(|| Error::failed("the trial's network has no addresses"))?,
        port: 1,
        cpu_millis: None,
        memory_bytes: Some(MEMORY_BYTES),
        mounts: Vec::new(),
        joins: Vec::new(),
        published: false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use super::*;

    #[tokio::test]
    async fn open_and_closed_are_told_apart_with_what_each_image_has() {
        let trial = Trial::start();
        let app = trial.app();
        let network = trial.engine.ensure_network(&app, None).await.unwrap();
        let open = std::net::TcpListener::bind((network.gateway(), 0)).unwrap();
        let closed = std::net::TcpListener::bind((network.gateway(), 0)).unwrap().local_addr().unwrap().port();
        let nobody = network.address(60).unwrap();
        let gateway = |port| SocketAddrV4::new(network.gateway(), port);
        let targets = [gateway(open.local_addr().unwrap().port()), gateway(closed), SocketAddrV4::new(nobody, 80)];

        // A packet that is never answered takes three seconds.
        for (image, count) in [("busybox:latest", 3), ("python:3.11-slim", 2), ("node:18-slim", 2), ("debian:12", 2)] {
            let image_id = trial.engine.image(image).await.unwrap().id;
            let tried = trial.engine.try_targets(&app, &network, &image_id, &targets[..count]).await.unwrap();
            assert_eq!(tried.unwrap(), [true, false, false][..count], "{image}");
            for left in trial.engine.trials().await.unwrap() {
                trial.engine.remove(&left).await.unwrap();
            }
        }

        assert!(trial.engine.apps_with_networks().await.unwrap().contains(&app));
        trial.engine.end_trial(&app).await.unwrap();
        assert!(trial.engine.apps_with_networks().await.unwrap().is_empty());
        trial.end().await;
    }
}
