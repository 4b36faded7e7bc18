//! Links between two apps: a small network of their own, in which one is known by its name. It leads nowhere else.

use std::collections::HashSet;

use bollard::models::{EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use super::failure::absent_is_none;
use super::network::Plan;
use super::{Engine, label};
use crate::error::Result;
use crate::model::{AppId, AppName, ContainerId};

/// What joins two apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The network's id.
    pub network: String,
    pub app: AppId,
    pub target: AppId,
}

/// A container's part in a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The network's id.
    pub network: String,
    /// The name by which others reach it; `None`: it reaches others.
    pub alias: Option<AppName>,
}

// === impl Engine ===

impl Engine {
    /// Returns the link of two apps; makes it when there is none.
    pub async fn ensure_link(&self, app: &AppId, target: &AppId) -> Result<Link> {
        let _turn = self.inner.network_turn.lock().await;
        if let Some(link) = self.links().await?.into_iter().find(|link| link.app == *app && link.target == *target) {
            return Ok(link);
        }
        // A network's bridge is named by an id; a link has none.
        let own = AppId::random();
        let mut labels = label::of_instance(self.instance());
        labels.extend([(label::LINK.to_owned(), app.to_string()), (label::TARGET.to_owned(), target.to_string())]);
        let name = format!("mini-link-{own}");
        let plan = Plan { name, bridge: self.inner.bridges.bridge(&own), labels, is_internal: true };
        let made = self.make_network(&plan, None, &own).await?;
        Ok(Link { network: made.id, app: app.clone(), target: target.clone() })
    }

    /// Lists the links of this server's apps.
    pub async fn links(&self) -> Result<Vec<Link>> {
        let mut filters = label::filter_instance(self.instance());
        filters.entry("label".to_owned()).or_default().push(label::LINK.to_owned());
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let found = self.call(|docker| async move { docker.list_networks(Some(options)).await }).await?;
        let read = |network: bollard::models::Network| {
            let labels = network.labels?;
            Some(Link {
                network: network.id?,
                app: labels.get(label::LINK)?.parse().ok()?,
                target: labels.get(label::TARGET)?.parse().ok()?,
            })
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Lists the containers that run and take part in a link, by their ids.
    pub async fn joined(&self, network: &str) -> Result<HashSet<String>> {
        let inspect =
            |docker: bollard::Docker| async move { absent_is_none(docker.inspect_network(network, None::<InspectNetworkOptions>).await) };
        let found = self.call(inspect).await?;
        Ok(found.and_then(|network| network.containers).unwrap_or_default().into_keys().collect())
    }

    /// Joins a container to a link. One that is joined, or gone, is fine.
    ///
    /// The engine chooses the address: nothing here remembers it, the name is asked for each time.
    pub async fn join(&self, container: &ContainerId, join: &Join) -> Result<()> {
        let aliases = join.alias.as_ref().map(|alias| vec![alias.to_string()]);
        let endpoint_config = Some(EndpointSettings { aliases, ..EndpointSettings::default() });
        let request = NetworkConnectRequest { container: container.to_string(), endpoint_config };
        let network = join.network.as_str();
        let joined = self.call(|docker| async move { absent_is_none(docker.connect_network(network, request).await) }).await;
        match joined {
            Err(err) if err.sentence().contains("already exists in network") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Takes all containers out of a link and removes it. One that is gone is fine.
    pub async fn remove_link(&self, network: &str) -> Result<()> {
        for container in self.joined(network).await? {
            let request = NetworkDisconnectRequest { container, force: Some(true) };
            let parted = self.call(|docker| async move { absent_is_none(docker.disconnect_network(network, request).await) }).await;
            match parted {
                // It ended since it was listed.
                Err(err) if err.sentence().contains("is not connected to") => {}
                other => drop(other?),
            }
        }
        self.call(|docker| async move { absent_is_none(docker.remove_network(network).await) }).await.map(drop)
    }
}
