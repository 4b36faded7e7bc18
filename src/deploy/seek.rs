//! Where a web process listens that does not answer on its port: the only other one on which it speaks HTTP is taken for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::ready::{Candidate, Ready};
use super::{Deployer, Talk};
use crate::engine::Probe;
use crate::error::{Error, Result};
use crate::model::{ImageId, Protocol};
use crate::store::Release;

/// What it listens on is looked at after this, and less and less often while it is the same.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const SLOWEST_LOOK: Duration = Duration::from_secs(10);
/// A process that listens on more ports than this is not asked on each.
const MAX_PORTS: usize = 16;

/// What a process is asked, on its own port and on others.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub protocol: Protocol,
    pub host: &'a str,
    pub path: &'a str,
}

// === impl Question ===

impl Question<'_> {
    /// Asks once at an address.
    pub async fn put(self, address: SocketAddr) -> Probe {
        crate::engine::probe(address, self.protocol, self.host, self.path).await
    }

    /// Asks once on each of these ports; returns those that speak HTTP, with the status.
    pub async fn ask(self, address: Ipv4Addr, ports: &[u16]) -> Vec<(u16, u16)> {
        let asked = ports.iter().take(MAX_PORTS).map(|port| async move {
            match self.put((address, *port).into()).await {
                Probe::Answered(status) => Some((*port, status)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

impl Deployer {
    /// Waits until a process has answered below 500 twice on one other port, while nothing has answered on its own; else without end.
    ///
    /// A port that the image does not expose must be there for two looks: a server may open one for its metrics before its own.
    pub(super) async fn seek_port(
        &self,
        candidate: &Candidate<'_>,
        address: Ipv4Addr,
        image: &ImageId,
        confirm: Duration,
        answered: &AtomicU16,
    ) -> Ready {
        let begun = Instant::now();
        let (mut pause, mut seen) = (FIRST_LOOK, None);
        loop {
            tokio::time::sleep(pause).await;
            let found = if answered.load(Ordering::Relaxed) > 0 { None } else { self.look_elsewhere(candidate, address, image).await };
            let (port, is_exposed) = found.unzip();
            pause = if port == seen { (pause * 2).min(SLOWEST_LOOK) } else { FIRST_LOOK };
            let is_sure = port == seen || is_exposed == Some(true);
            seen = port;
            if let Some(port) = port.filter(|_| is_sure)
                && let Some(status) = confirmed(candidate.question, address, port, confirm).await
            {
                return Ready { port, status, after: begun.elapsed() };
            }
        }
    }

    /// Returns the only other port on which a process speaks HTTP, and whether its image exposes it.
    async fn look_elsewhere(&self, candidate: &Candidate<'_>, address: Ipv4Addr, image: &ImageId) -> Option<(u16, bool)> {
        let engine = &self.rooms().engine;
        let listening = engine.listening(candidate.container).await.unwrap_or_default();
        let ports = other_ports(&listening, candidate.port);
        if ports.is_empty() {
            return None;
        }
        let speaking: Vec<u16> = candidate.question.ask(address, &ports).await.into_iter().map(|(port, _)| port).collect();
        let exposed = engine.image(image.as_str()).await.map(|image| image.exposed).unwrap_or_default();
        only_one(&speaking, &exposed)
    }

    /// Makes the port on which a release's web processes answer its own, and says so where that is not what they were told.
    pub(super) async fn take_port(&self, release: &mut Release, port: u16, talk: &Talk) -> Result<()> {
        let Some(told) = release.port.filter(|told| *told != port) else { return Ok(()) };
        self.rooms().store.set_port(release.app.clone(), release.version, port).await?;
        release.port = Some(port);
        talk.detail(format!("listens on port {port}, not on $PORT ({told}): port {port} is used"));
        Ok(())
    }
}

/// Returns the one port on which all web processes of a release answer, if there are any.
pub(super) fn agreed(answers: &[(String, u16)]) -> Result<Option<u16>> {
    let Some((first, port)) = answers.first() else { return Ok(None) };
    match answers.iter().find(|(_, other)| other != port) {
        Some((other, elsewhere)) => {
            Err(Error::failed(format!("{first} listens on port {port} and {other} on port {elsewhere}")).hint("let all listen on $PORT"))
        }
        None => Ok(Some(*port)),
    }
}

/// Returns the ports, other than its own, on which a process can be reached; none while it listens on its own, wherever that is.
pub(super) fn other_ports(listening: &[SocketAddr], own: u16) -> Vec<u16> {
    if listening.iter().any(|place| place.port() == own) {
        return Vec::new();
    }
    let mut ports: Vec<u16> = listening.iter().filter(|place| !place.ip().is_loopback()).map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Picks the only port, or the only exposed one; `true` says that it is exposed.
fn only_one(speaking: &[u16], exposed: &[u16]) -> Option<(u16, bool)> {
    let preferred: Vec<u16> = speaking.iter().copied().filter(|port| exposed.contains(port)).collect();
    match (preferred.as_slice(), speaking) {
        ([port], _) => Some((*port, true)),
        ([], [port]) => Some((*port, false)),
        _ => None,
    }
}

async fn confirmed(question: Question<'_>, address: Ipv4Addr, port: u16, confirm: Duration) -> Option<u16> {
    let good = async || question.ask(address, &[port]).await.first().map(|(_, status)| *status).filter(|status| *status < 500);
    good().await?;
    tokio::time::sleep(confirm).await;
    good().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(places: &[&str]) -> Vec<SocketAddr> {
        places.iter().map(|place| place.parse().unwrap()).collect()
    }

    #[test]
    fn only_ports_that_can_be_reached_are_others_and_none_while_the_own_one_is_there() {
        assert_eq!(other_ports(&at(&["0.0.0.0:8080", "[::]:8080", "127.0.0.1:9229", "10.0.0.2:80"]), 5000), [80, 8080]);
        assert_eq!(other_ports(&at(&["0.0.0.0:9090", "127.0.0.1:5000"]), 5000), [0; 0]);
        assert_eq!(other_ports(&[], 5000), [0; 0]);
    }

    #[test]
    fn one_port_is_taken_and_of_several_the_only_exposed_one() {
        assert_eq!(only_one(&[8080], &[]), Some((8080, false)));
        assert_eq!(only_one(&[8080, 9090], &[8080, 443]), Some((8080, true)));
        assert_eq!(only_one(&[8080], &[443]), Some((8080, false)));
        assert_eq!(only_one(&[8080, 9090], &[]), None);
        assert_eq!(only_one(&[8080, 9090], &[8080, 9090]), None);
        assert_eq!(only_one(&[], &[8080]), None);
    }

    #[test]
    fn processes_of_a_release_agree_on_their_port() {
        let answers = |ports: &[u16]| ports.iter().enumerate().map(|(n, port)| (format!("web.{}", n + 1), *port)).collect::<Vec<_>>();

        assert_eq!(agreed(&answers(&[8080, 8080])).unwrap(), Some(8080));
        assert_eq!(agreed(&[]).unwrap(), None);
        let err = agreed(&answers(&[8080, 8080, 8081])).unwrap_err();
        assert_eq!(err.sentence(), "web.1 listens on port 8080 and web.3 on port 8081");
    }
}
