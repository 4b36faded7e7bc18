//! A container's place: its app's network, and an address that nothing else has.

use std::net::Ipv4Addr;

use super::Deployer;
use crate::engine::Network;
use crate::error::{Error, Result};
use crate::store::App;

/// The places in an app's network that containers may have: 1 is the gateway's.
const OFFSETS: std::ops::Range<u32> = 2..63;

/// Addresses tried when they turn out to be taken: no row tells of those that one-offs have.
pub(super) const PLACE_TRIES: usize = 32;

impl Deployer {
    /// Returns the app's network, and notes its subnet, so that it comes back on the same one.
    pub(super) async fn network_of(&self, app: &App) -> Result<Network> {
        let rooms = self.rooms();
        let network = rooms.engine.ensure_network(&app.id, app.subnet.as_deref()).await?;
        if app.subnet.as_deref() != Some(&network.subnet()) {
            rooms.store.set_subnet(app.id.clone(), network.subnet()).await?;
        }
        Ok(network)
    }

    /// Takes the next address of an app's network that no release has.
    pub(super) async fn take_address(&self, app: &App, network: &Network) -> Result<Ipv4Addr> {
        let offset = self.rooms().store.take_address(app.id.clone(), OFFSETS).await?;
        let address = u8::try_from(offset).ok().and_then(|offset| network.address(offset));
        address.ok_or_else(|| Error::failed("the app's network has no such address"))
    }
}
