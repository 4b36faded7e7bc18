//! Whether people reach the server and the server its apps: ports, names, the way to containers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::Platform;
use super::{bad, doubtful, good, wrong};
use crate::command::Check;
use crate::config::ReachBy;
use crate::engine::{Probe, Reach, probe};
use crate::model::Protocol;

/// A name server that does not answer, or a port, is given up after this.
const ANSWER: Duration = Duration::from_secs(3);

/// What an SSH server says first (RFC 4253 §4.2).
const SSH_GREETING: &[u8] = b"SSH-2.0-";

/// An app's name that nobody has: it stands for every app's.
const ANY_APP: &str = "doctor";

impl Platform {
    /// Connects to the SSH port from here, as a stranger would.
    pub(super) async fn check_ssh(&self) -> Check {
        let address = self.facts.ssh;
        match timeout(ANSWER, greeting(from_here(address))).await {
            Ok(Ok(said)) if said == SSH_GREETING => good("ssh", format!("answers at {address}")),
            _ => bad("ssh", format!("does not answer at {address}"), "look at the server's own log, and start it again"),
        }
    }

    pub(super) async fn check_http(&self) -> Check {
        let address = self.facts.http;
        match probe(from_here(address), Protocol::Http1, "mini.localhost", "/").await {
            Probe::Answered(_) => good("http", format!("answers at {address}")),
            _ => bad("http", format!("does not answer at {address}"), "look at the server's own log, and start it again"),
        }
    }

    /// Looks the apps' names up, as a visitor's machine does. What it finds may differ elsewhere, so nothing is bad.
    pub(super) async fn check_names(&self) -> Check {
        let settings = &self.rooms().settings;
        let (host, wanted) = match (&settings.domain, settings.public_ip) {
            (Some(domain), ip) => (format!("{ANY_APP}.{domain}"), ip),
            (None, Some(ip)) => (format!("{ANY_APP}.{ip}.nip.io"), Some(ip)),
            (None, None) => return good("names", "apps are at APP.localhost: no --domain or --public-ip is set"),
        };
        let found = match timeout(ANSWER, tokio::net::lookup_host((host.as_str(), 80))).await {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            _ => Vec::new(),
        };
        judge_names(&host, wanted, &found)
    }

    pub(super) async fn check_reach(&self) -> Check {
        let settings = &self.rooms().settings;
        match (settings.reach, self.rooms().engine.reach().await) {
            (_, Err(err)) => doubtful("reach", format!("how apps are reached is not known: {err}")),
            (ReachBy::Bridge, Ok(Reach::Ports)) => {
                bad("reach", "the addresses of containers are not routed from here", "start mini with --reach auto")
            }
            (_, Ok(Reach::Bridge)) => good("reach", "the addresses of containers are routed from here"),
            (_, Ok(Reach::Ports)) => good("reach", "containers publish their ports on 127.0.0.1"),
        }
    }

    pub(super) async fn check_firewall(&self) -> Check {
        match &self.facts.firewall {
            None => doubtful("firewall", "off: apps may reach this machine's own ports"),
            Some(firewall) => match firewall.check().await {
                Ok(crate::firewall::Seen::Rules) => good("firewall", "its rules stand"),
                Ok(crate::firewall::Seen::Note) => good("firewall", "its rules stand, as root has noted"),
                Err(err) => wrong("firewall", &err),
            },
        }
    }
}

/// Where a socket that listens everywhere is reached from this machine.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

async fn greeting(address: SocketAddr) -> std::io::Result<[u8; SSH_GREETING.len()]> {
    let mut said = [0; SSH_GREETING.len()];
    TcpStream::connect(address).await?.read_exact(&mut said).await?;
    Ok(said)
}

fn judge_names(host: &str, wanted: Option<Ipv4Addr>, found: &[IpAddr]) -> Check {
    let is_wanted = |ip: Ipv4Addr| found.contains(&IpAddr::V4(ip));
    let mut check = match (found.first(), wanted) {
        (None, _) => doubtful("names", format!("{host} is not known to the name server of this machine")),
        (Some(first), Some(ip)) if !is_wanted(ip) => doubtful("names", format!("{host} leads to {first}, not to {ip}")),
        (Some(first), _) => return good("names", format!("{host} leads to {first}")),
    };
    let address = wanted.map_or_else(|| "the server's address".to_owned(), |ip| ip.to_string());
    let domain = host.strip_prefix(ANY_APP).unwrap_or(host);
    check.mend = (!domain.ends_with(".nip.io")).then(|| format!("where your domain is kept: *{domain} A {address}"));
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Verdict;

    #[test]
    fn names_are_good_only_where_they_lead_here() {
        let here = Ipv4Addr::new(203, 0, 113, 7);
        let there = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

        assert_eq!(judge_names("doctor.example.org", Some(here), &[here.into()]).verdict, Verdict::Good);
        assert_eq!(judge_names("doctor.example.org", None, &[there]).seen, "doctor.example.org leads to 198.51.100.1");
        let elsewhere = judge_names("doctor.example.org", Some(here), &[there]);
        assert_eq!(elsewhere.seen, "doctor.example.org leads to 198.51.100.1, not to 203.0.113.7");
        assert_eq!(elsewhere.mend.as_deref(), Some("where your domain is kept: *.example.org A 203.0.113.7"));
        let unknown = judge_names("doctor.203.0.113.7.nip.io", Some(here), &[]);
        assert_eq!((unknown.verdict, unknown.mend), (Verdict::Doubtful, None));
    }

    #[test]
    fn a_socket_that_listens_everywhere_is_asked_on_the_loopback() {
        assert_eq!(from_here("[::]:2222".parse().unwrap()), "127.0.0.1:2222".parse().unwrap());
        assert_eq!(from_here("[::1]:2222".parse().unwrap()), "[::1]:2222".parse().unwrap());
    }
}
