//! How containers are reached from this machine: by their own addresses, or by ports that the engine publishes on 127.0.0.1.
//!
//! A bridge's addresses are routed where the bridge is: in the engine's network namespace. That is ours exactly if the gateway of a
//! bridge network is an address of this machine, which costs nothing to find out: no container is made for it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use bollard::models::{ContainerInspectResponse, IpamConfig, Network, PortBinding, PortMap};
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::failure::absent_is_none;
use super::subnet::Subnet;
use super::{Engine, label};
use crate::error::Result;
use crate::model::ContainerId;

/// A way to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Its own address on its app's bridge: the faster one.
    Bridge,
    /// A port of 127.0.0.1, where the engine's bridges are not this machine's (Docker Desktop, rootless).
    Ports,
}

impl Engine {
    /// Finds out how containers are reached from here. `Kind::Unavailable` while the engine does not answer.
    pub async fn reach(&self) -> Result<Reach> {
        if self.facts().await?.is_apart {
            return Ok(Reach::Ports);
        }
        let filters = HashMap::from([("driver".to_owned(), vec!["bridge".to_owned()])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let mut bridges = self.call(|docker| async move { docker.list_networks(Some(options)).await }).await?;
        // Another engine on this machine may have a stock bridge with the same address: this server's own subnets tell better.
        let is_own = |bridge: &Network| {
            bridge.labels.iter().flatten().any(|(name, value)| name == label::INSTANCE && *value == self.instance().to_string())
        };
        if bridges.iter().any(is_own) {
            bridges.retain(is_own);
        }
        let gateways: Vec<Ipv4Addr> = bridges.into_iter().flat_map(gateways).collect();
        // An engine without any bridge yet tells nothing: the usual case is taken.
        let is_here = gateways.is_empty() || gateways.into_iter().any(is_ours);
        Ok(if is_here { Reach::Bridge } else { Reach::Ports })
    }

    /// Returns where a container made with [`published`](super::ContainerSpec::published) is reached now; `None` for one that does not
    /// run or publishes nothing. The engine chooses the port anew at each start.
    pub async fn published_port(&self, container: &ContainerId) -> Result<Option<SocketAddr>> {
        let found = self.call(|docker| async move { absent_is_none(docker.inspect_container(container.as_str(), None).await) }).await?;
        Ok(found.and_then(published))
    }
}

/// The addresses of a network's bridge; the engine leaves out those that nobody chose, which are the first of their subnets.
fn gateways(bridge: Network) -> Vec<Ipv4Addr> {
    let configs = bridge.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let first = |config: &IpamConfig| config.subnet.as_deref()?.parse::<Subnet>().ok()?.host(1);
    configs.iter().filter_map(|config| config.gateway.as_deref().and_then(|text| text.parse().ok()).or_else(|| first(config))).collect()
}

/// Tells whether an address is one of this machine's: only such a one can be bound.
fn is_ours(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// What makes the engine publish a port on a port of its own choice, for this machine alone.
pub(super) fn bindings(port: u16) -> PortMap {
    let binding = PortBinding { host_ip: Some(Ipv4Addr::LOCALHOST.to_string()), host_port: Some(String::new()) };
    HashMap::from([(key(port), Some(vec![binding]))])
}

pub(super) fn key(port: u16) -> String {
    format!("{port}/tcp")
}

fn published(found: ContainerInspectResponse) -> Option<SocketAddr> {
    let port = found.config?.labels?.get(label::PORT)?.parse().ok()?;
    let bindings = found.network_settings?.ports?.remove(&key(port))??;
    let address = |binding: PortBinding| {
        let ip: IpAddr = binding.host_ip?.parse().ok()?;
        Some(SocketAddr::new(ip, binding.host_port?.parse().ok().filter(|port| *port > 0)?))
    };
    bindings.into_iter().find_map(address)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::trial::{SERVER, Trial, eventually, spec};
    use super::super::{ContainerSpec, Network as AppNetwork, Probe, probe};
    use super::*;
    use crate::error::Kind;
    use crate::model::{InstanceId, Protocol};

    /// Runs a server at offset 5 of a network of its own.
    async fn serve(trial: &Trial, published: bool) -> (ContainerId, AppNetwork) {
        let app = trial.app();
        let image = trial.build(&app, SERVER).await.0.unwrap().id;
        let network = trial.engine.ensure_network(&app, None).await.unwrap();
        let spec = ContainerSpec { published, ..spec(&app, &image, &network, None) };
        (trial.engine.create_and_start(spec).await.unwrap(), network)
    }

    /// Tells whether it answers there before long.
    async fn answers(address: SocketAddr) -> bool {
        let answered = eventually(async || (probe(address, Protocol::Http1, "trial", "/").await == Probe::Answered(200)).then_some(()));
        tokio::time::timeout(Duration::from_secs(10), answered).await.is_ok()
    }

    #[test]
    fn a_bridge_without_a_chosen_gateway_has_the_first_address_of_its_subnet() {
        let bridge = |subnet: &str, gateway: Option<&str>| {
            let config = IpamConfig { subnet: Some(subnet.into()), gateway: gateway.map(str::to_owned), ..IpamConfig::default() };
            Network { ipam: Some(bollard::models::Ipam { config: Some(vec![config]), ..Default::default() }), ..Network::default() }
        };

        assert_eq!(gateways(bridge("10.210.3.64/26", None)), [Ipv4Addr::new(10, 210, 3, 65)]);
        assert_eq!(gateways(bridge("172.17.0.0/16", Some("172.17.0.9"))), [Ipv4Addr::new(172, 17, 0, 9)]);
        assert_eq!(gateways(bridge("fd00::/64", None)), [] as [Ipv4Addr; 0]);
    }

    #[test]
    fn only_addresses_of_this_machine_are_ours() {
        assert!(is_ours(Ipv4Addr::LOCALHOST));
        // TEST-NET-3 (RFC 5737) is nobody's.
        assert!(!is_ours(Ipv4Addr::new(203, 0, 113, 7)));
    }

    #[tokio::test]
    async fn what_is_found_out_is_what_works() {
        let trial = Trial::start();
        let (container, network) = serve(&trial, false).await;

        let reach = trial.engine.reach().await.unwrap();

        let is_reached = answers((network.address(5).unwrap(), 8000).into()).await;
        assert_eq!(reach == Reach::Bridge, is_reached, "{reach:?}");
        assert_eq!(trial.engine.published_port(&container).await.unwrap(), None);
        trial.end().await;
    }

    #[tokio::test]
    async fn a_published_container_answers_on_the_loopback_also_after_a_restart() {
        let trial = Trial::start();
        let (container, _) = serve(&trial, true).await;
        let before = trial.engine.published_port(&container).await.unwrap().unwrap();
        assert!(before.ip().is_loopback() && answers(before).await, "{before}");

        trial.engine.stop(&container, Duration::ZERO).await.unwrap();
        assert_eq!(trial.engine.published_port(&container).await.unwrap(), None, "it does not run");
        trial.engine.start(&container).await.unwrap();

        let after = trial.engine.published_port(&container).await.unwrap().unwrap();
        assert!(answers(after).await, "{after}");
        trial.end().await;
    }

    #[tokio::test]
    async fn an_absent_engine_is_no_reason_to_publish() {
        let engine = Engine::new(InstanceId::random(), "/nowhere/docker.sock".into());

        assert_eq!(engine.reach().await.unwrap_err().kind(), Kind::Unavailable);
    }
}
