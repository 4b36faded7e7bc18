//! One bridge per app, on a subnet of its own, found by label: names are not unique in Docker.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use bollard::models::{Ipam, IpamConfig, Network as Found, NetworkCreateRequest};
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::failure::absent_is_none;
use super::subnet::{Subnet, free_subnets, routed, uplink};
use super::{Engine, label};
use crate::error::{Error, Kind, Result};
use crate::model::AppId;

const ROUTE_TABLE: &str = "/proc/net/route";
/// Free subnets tried before giving up: others may take them at the same moment.
const ATTEMPTS: usize = 16;
const OVERLAPS: &str = "Pool overlaps";

/// An app's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    pub id: String,
    subnet: Subnet,
}

/// What a network is to be, besides its subnet.
pub(super) struct Plan {
    pub name: String,
    pub bridge: String,
    pub labels: HashMap<String, String>,
    /// It leads nowhere else.
    pub is_internal: bool,
}

// === impl Network ===

impl Network {
    /// The offsets that containers may have: 1 is the gateway's.
    pub const OFFSETS: RangeInclusive<u8> = 2..=62;

    /// Returns the address at an offset, if containers may have it.
    #[must_use]
    pub fn address(&self, offset: u8) -> Option<Ipv4Addr> {
        self.subnet.host(offset).filter(|_| offset > 1)
    }

    /// Returns the address of the machine in this network.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.host(1).expect("a subnet of ours has 62 addresses")
    }

    /// Returns the subnet as it is written: `10.210.3.64/26`.
    #[must_use]
    pub fn subnet(&self) -> String {
        self.subnet.to_string()
    }

    /// Tells whether an address lies in this network.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.subnet.contains(address)
    }

    fn read(found: Found) -> Option<Self> {
        let subnet = subnets(found.ipam.as_ref()).next()?;
        Some(Network { name: found.name?, id: found.id?, subnet })
    }
}

impl Engine {
    /// Returns the app's network; makes it when there is none, on `known_subnet` if that is still free.
    pub async fn ensure_network(&self, app: &AppId, known_subnet: Option<&str>) -> Result<Network> {
        let _turn = self.inner.network_turn.lock().await;
        if let Some(network) = self.network(app).await? {
            return Ok(network);
        }
        let labels = label::of_app(self.instance(), app);
        let plan = Plan { name: format!("mini-{app}"), bridge: self.inner.bridges.bridge(app), labels, is_internal: false };
        self.make_network(&plan, known_subnet.and_then(|text| text.parse().ok()), app).await
    }

    /// Makes a network on a free subnet, on `known` if that is free; the caller has the turn.
    pub(super) async fn make_network(&self, plan: &Plan, known: Option<Subnet>, seeds: &AppId) -> Result<Network> {
        let routes = tokio::fs::read_to_string(ROUTE_TABLE).await.unwrap_or_default();
        let mtu = mtu(&routes).await;
        let taken = self.taken(&routes).await?;
        for subnet in known.into_iter().chain(free_subnets(&taken, seed(seeds))).take(ATTEMPTS) {
            if let Some(network) = self.create_network(plan, subnet, mtu.as_deref()).await? {
                return Ok(network);
            }
        }
        Err(Error::unavailable("no subnet of 10.210.0.0/16 is free for a network").hint("look at `docker network ls` on the server"))
    }

    /// Removes the app's network. One that is gone is fine; one with containers in it stays, as `Kind::Busy`.
    pub async fn remove_network(&self, app: &AppId) -> Result<()> {
        for network in self.networks(app).await? {
            let id = network.id.as_str();
            let removal = self.call(|docker| async move { absent_is_none(docker.remove_network(id).await) }).await;
            removal.map_err(|err| if err.sentence().contains("active endpoints") { inhabited(err) } else { err })?;
        }
        Ok(())
    }

    async fn network(&self, app: &AppId) -> Result<Option<Network>> {
        Ok(self.networks(app).await?.into_iter().next())
    }

    async fn networks(&self, app: &AppId) -> Result<Vec<Network>> {
        let filters = label::filter_app(self.instance(), app);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = self.call(|docker| async move { docker.list_networks(Some(options)).await }).await?;
        Ok(found.into_iter().filter_map(Network::read).collect())
    }

    /// Lists the subnets that the engine's networks and the host's routes hold.
    async fn taken(&self, routes: &str) -> Result<Vec<Subnet>> {
        let networks = self.call(|docker| async move { docker.list_networks(None).await }).await?;
        let in_engine = networks.iter().flat_map(|network| subnets(network.ipam.as_ref()));
        Ok(in_engine.chain(routed(routes)).collect())
    }

    /// Returns `None` when somebody else has the subnet.
    async fn create_network(&self, plan: &Plan, subnet: Subnet, mtu: Option<&str>) -> Result<Option<Network>> {
        let request = NetworkCreateRequest {
            name: plan.name.clone(),
            internal: Some(plan.is_internal),
            driver: Some("bridge".to_owned()),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(vec![IpamConfig { subnet: Some(subnet.to_string()), ..IpamConfig::default() }]),
                options: None,
            }),
            options: Some(options(plan.bridge.clone(), mtu)),
            labels: Some(plan.labels.clone()),
            ..NetworkCreateRequest::default()
        };
        match self.call(|docker| async move { docker.create_network(request).await }).await {
            Ok(made) => Ok(Some(Network { name: plan.name.clone(), id: made.id, subnet })),
            Err(err) if err.kind() == Kind::Failed && err.sentence().contains(OVERLAPS) => Ok(None),
            Err(err) => Err(err),
        }
    }
}

fn options(bridge: String, mtu: Option<&str>) -> HashMap<String, String> {
    let mut options = HashMap::from([("com.docker.network.bridge.name".to_owned(), bridge)]);
    options.extend(mtu.map(|mtu| ("com.docker.network.driver.mtu".to_owned(), mtu.to_owned())));
    options
}

/// A bridge's own MTU is 1500, and larger packets than the uplink's vanish on some paths.
async fn mtu(routes: &str) -> Option<String> {
    let text = tokio::fs::read_to_string(format!("/sys/class/net/{}/mtu", uplink(routes)?)).await.ok()?;
    let mtu: u32 = text.trim().parse().ok()?;
    Some(mtu.to_string())
}

fn inhabited(err: Error) -> Error {
    Error::busy("the app's network still has containers in it").because(err)
}

fn seed(app: &AppId) -> u32 {
    u32::from_str_radix(&app.as_str()[..6], 16).unwrap_or(0)
}

fn subnets(ipam: Option<&Ipam>) -> impl Iterator<Item = Subnet> {
    let configs = ipam.and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
    configs.iter().filter_map(|config| config.subnet.as_deref()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;

    #[tokio::test]
    async fn an_app_keeps_its_network_and_another_gets_another() {
        let trial = Trial::start();
        let (one, other) = (trial.app(), trial.app());

        let first = trial.engine.ensure_network(&one, None).await.unwrap();
        let again = trial.engine.ensure_network(&one, None).await.unwrap();
        let second = trial.engine.ensure_network(&other, Some(&first.subnet())).await.unwrap();

        assert_eq!(first, again);
        assert_ne!(first.subnet(), second.subnet());
        assert!(first.contains(first.address(2).unwrap()));
        assert_eq!((first.address(0), first.address(1), first.address(63)), (None, None, None));
        trial.end().await;
    }

    #[tokio::test]
    async fn a_network_comes_back_on_the_subnet_that_it_had() {
        let trial = Trial::start();
        let app = trial.app();
        let first = trial.engine.ensure_network(&app, None).await.unwrap();
        trial.engine.remove_network(&app).await.unwrap();
        trial.engine.remove_network(&app).await.unwrap();

        let again = trial.engine.ensure_network(&app, Some(&first.subnet())).await.unwrap();

        assert_eq!(again.subnet(), first.subnet());
        assert_ne!(again.id, first.id);
        trial.end().await;
    }
}
