//! Where this server reaches a process: at its own address, or at a port that the engine publishes on the loopback for it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use super::Deployer;
use crate::config::ReachBy;
use crate::engine::Reach;
use crate::error::Result;
use crate::store::Process;

/// How containers are reached, once that was found out.
#[derive(Default)]
pub(super) struct Way(Mutex<Option<Reach>>);

impl Deployer {
    /// Finds out anew how containers are reached: another engine may answer now.
    pub async fn find_reach(&self) -> Result<()> {
        let found = match self.rooms().settings.reach {
            ReachBy::Bridge => Reach::Bridge,
            ReachBy::Ports => Reach::Ports,
            ReachBy::Auto => self.rooms().engine.reach().await?,
        };
        *self.inner.reach.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(())
    }

    /// Tells whether containers publish their ports.
    pub(super) async fn publishes(&self) -> Result<bool> {
        if self.known_reach().is_none() {
            self.find_reach().await?;
        }
        Ok(self.known_reach() == Some(Reach::Ports))
    }

    /// Returns where a process answers on `port`; `None` for one without an address.
    pub(super) async fn place_of(&self, process: &Process, port: u16) -> Result<Option<SocketAddr>> {
        let own = process.address.map(|address| SocketAddr::from((address, port)));
        // Before the engine was asked, at a start: the usual way, which the first resync corrects.
        if self.known_reach() != Some(Reach::Ports) {
            return Ok(own);
        }
        let Some(container) = &process.container else { return Ok(own) };
        // One that was made before ports were published has none.
        Ok(self.rooms().engine.published_port(container).await?.or(own))
    }

    fn known_reach(&self) -> Option<Reach> {
        *self.inner.reach.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
