//! What an app can reach of this machine, tried from a throw-away container; and the removal of what a killed trial left.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::Deployer;
use crate::engine::Network;
use crate::error::{Error, Result};
use crate::model::{AppId, ImageId};

/// Small images that stand for an app's, if somebody has them here; none is pulled.
const STAND_INS: [&str; 2] = ["busybox:latest", "alpine:latest"];

/// Where clouds keep a machine's secrets (RFC 3927, and every cloud's documentation).
const METADATA: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

/// Images that are tried before giving up: not every one has a shell.
const ATTEMPTS: usize = 3;

/// What the trial's container reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The proxy, which it should.
    pub proxy: bool,
    /// The server's own SSH port, which it should not.
    pub ssh: bool,
    /// 169.254.169.254, which it should not.
    pub metadata: bool,
}

impl Deployer {
    /// Starts a container as an app's and tries these ports of the machine, and the metadata address, from it.
    ///
    /// `None`: no image is here with which this could be tried.
    pub async fn try_isolation(&self, ssh: u16, http: u16) -> Result<Option<Reached>> {
        let _trial = self.inner.trial.lock().await;
        let engine = &self.rooms().engine;
        let images = self.images_for_trial().await?;
        if images.is_empty() {
            return Ok(None);
        }
        let trial = AppId::random();
        let network = engine.ensure_network(&trial, None).await?;
        let tried = self.try_with(&trial, &network, images, ssh, http).await;
        engine.end_trial(&trial).await?;
        tried
    }

    async fn try_with(&self, trial: &AppId, network: &Network, images: Vec<ImageId>, ssh: u16, http: u16) -> Result<Option<Reached>> {
        let engine = &self.rooms().engine;
        let of_machine = |port| SocketAddrV4::new(network.gateway(), port);
        let targets = [of_machine(http), of_machine(ssh), METADATA];
        let mut failed: Option<Error> = None;
        for image in images.into_iter().take(ATTEMPTS) {
            match engine.try_targets(trial, network, &image, &targets).await {
                Ok(Some(tried)) => {
                    let [proxy, ssh, metadata] = tried[..] else { continue };
                    return Ok(Some(Reached { proxy, ssh, metadata }));
                }
                Ok(None) => {}
                // An image without a shell does not start.
                Err(err) => failed = Some(err),
            }
            for container in engine.trials().await? {
                engine.remove(&container).await?;
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Lists the stand-ins that are here, then the images of live releases, smallest first.
    async fn images_for_trial(&self) -> Result<Vec<ImageId>> {
        let engine = &self.rooms().engine;
        let mut found = Vec::new();
        for name in STAND_INS {
            found.extend(engine.image(name).await.ok().map(|image| image.id));
        }
        let mut live = Vec::new();
        for release in self.rooms().store.live_releases().await? {
            live.extend(engine.image(release.image.as_str()).await.ok().map(|image| (image.size_bytes, image.id)));
        }
        live.sort_by_key(|(size, _)| *size);
        found.extend(live.into_iter().map(|(_, id)| id));
        Ok(found)
    }

    /// Tells whether a trial is under way, whose container is not to be swept.
    pub(super) fn is_trying(&self) -> bool {
        self.inner.trial.try_lock().is_err()
    }

    /// Removes the networks of what is no app of this server: a killed trial's, or an app's that was destroyed while the engine hung.
    pub(super) async fn sweep_networks(&self) -> Result<()> {
        if self.is_trying() {
            return Ok(());
        }
        // Listed before the apps: an app that comes later is none of these.
        let networks = self.rooms().engine.apps_with_networks().await?;
        let known = self.known_apps().await?;
        for strange in networks.difference(&known) {
            if self.is_trying() {
                return Ok(());
            }
            if let Err(err) = self.rooms().engine.remove_network(strange).await {
                tracing::warn!(app.id = %strange, ?err, "the network of no app could not be removed");
            }
        }
        Ok(())
    }
}
