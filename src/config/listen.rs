//! Where the server listens, as people write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{Error, Result};

pub(super) const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// Where TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    pub listen: Listen,
    /// Somebody said so: without it there is no server.
    pub is_asked_for: bool,
}

/// An address to listen on; tried in order, because `[::]` is missing where IPv6 is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(pub Vec<SocketAddr>);

// === impl Https ===

impl Https {
    /// Parses an address or `off`; unasked it stands beside HTTP's usual port alone, so that other servers of a machine leave 443 be.
    pub(super) fn parse(text: Option<&str>, http: &Listen) -> Result<Option<Self>> {
        match text {
            Some("off") => Ok(None),
            None if http.port() != HTTP_PORT => Ok(None),
            text => Ok(Some(Https { listen: Listen::parse("https", text, HTTPS_PORT)?, is_asked_for: text.is_some() })),
        }
    }
}

// === impl Listen ===

impl Listen {
    /// Returns the port, which is the same for all its addresses; 0 takes a free one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.first().map_or(0, SocketAddr::port)
    }

    /// Parses `ADDR:PORT`, `:PORT`, `PORT` or `localhost:PORT`; `name` is the flag that said it. Errors are of kind `Setup`.
    pub fn parse(name: &str, text: Option<&str>, default_port: u16) -> Result<Self> {
        let everywhere = |port| Listen(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]);
        let Some(text) = text else { return Ok(everywhere(default_port)) };
        if let Some(port) = text.strip_prefix(':').or(Some(text)).and_then(|port| port.parse().ok()) {
            return Ok(everywhere(port));
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Listen(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)]));
        }
        match text.parse() {
            Ok(address) => Ok(Listen(vec![address])),
            Err(_) => Err(Error::setup(format!("--{name} `{}` is not an address", text.escape_debug()))
                .hint("for example: 0.0.0.0:2222, [::]:2222 or :2222")),
        }
    }
}
