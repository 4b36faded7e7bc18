//! Which TCP ports of the machine an app may reach: a database that runs beside the engine, and nothing else.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Platform;
use crate::config::is_root;
use crate::error::{Error, Result};
use crate::model::limits::MAX_HOST_PORTS;
use crate::store::App;

/// Reads `5432,6379`; nothing means none.
pub(super) fn parse(text: &str) -> Result<BTreeSet<u16>> {
    let wrong = |what: String| Error::usage(what).hint("apps:set APP host-ports=5432,6379 (none: host-ports=)");
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let port =
        |word: &str| word.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong(format!("`{}` is not a port", word.escape_debug())));
    let ports = words.map(port).collect::<Result<BTreeSet<u16>>>()?;
    if ports.len() > MAX_HOST_PORTS {
        Err(wrong(format!("an app may have {MAX_HOST_PORTS} ports, these are {}", ports.len())))
    } else {
        Ok(ports)
    }
}

impl Platform {
    /// Opens exactly these ports to the app; returns what it means and what has to be done besides.
    pub(super) async fn set_host_ports(&self, app: &App, ports: BTreeSet<u16>) -> Result<(String, Vec<String>)> {
        let message = match (ports.is_empty(), gateway(app)) {
            (true, _) => format!("`{}` may reach no port of the machine's own.", app.name),
            (false, Some(gateway)) => format!("`{}` may reach tcp {} of the machine, at {gateway}.", app.name, listed(&ports)),
            (false, None) => format!("`{}` may reach tcp {} of the machine, at its network's gateway.", app.name, listed(&ports)),
        };
        self.rooms().store.set_host_ports(app.id.clone(), ports).await?;
        Ok((message, self.open_host_ports().await?))
    }

    /// Brings the rules in line with the store; returns what somebody else has to do for it.
    pub(super) async fn open_host_ports(&self) -> Result<Vec<String>> {
        let Some(firewall) = &self.facts.firewall else {
            return Ok(vec!["the firewall is off: apps may reach every port of the machine".to_owned()]);
        };
        let _turn = firewall.turn().await;
        firewall.open(&self.rooms().store.host_ports().await?)?;
        if !is_root() {
            return Ok(vec![format!("to put it in force, as root: {}", firewall.command())]);
        }
        firewall.apply().await?;
        Ok(Vec::new())
    }

    /// Takes a destroyed app's ports out of the rules. They matched only its bridge, which is gone: a failure can wait for the next start.
    pub(super) async fn close_host_ports(&self) {
        if self.facts.firewall.is_some()
            && let Err(err) = self.open_host_ports().await
        {
            tracing::warn!(?err, "the ports of an app that is gone are still in the firewall's rules");
        }
    }
}

pub(super) fn listed(ports: &BTreeSet<u16>) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// The machine's own address in the app's network: the first of its subnet, as the engine gives it.
fn gateway(app: &App) -> Option<Ipv4Addr> {
    let base: Ipv4Addr = app.subnet.as_deref()?.split_once('/')?.0.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(base) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_between_commas_and_nothing_is_none() {
        assert_eq!(parse("6379, 5432,6379").unwrap(), BTreeSet::from([5432, 6379]));
        assert!(parse("").unwrap().is_empty());
        for text in ["0", "65536", "http", "1-9", "5432;22", "-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
