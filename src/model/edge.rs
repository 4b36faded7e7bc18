//! What the proxy does for one app besides forwarding: its owner's wishes, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::FIRST_BYTE_TIMEOUT;
use super::{AddressRange, Credential};

/// The settings of one app at the edge; the default asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Edge {
    pub protocol: Protocol,
    /// How long the app may take to the first byte of its answer; `None`: any time.
    pub first_byte: Option<Duration>,
    /// The largest request body that is let through, in bytes; `None`: any.
    pub max_body_bytes: Option<u64>,
    /// Who may come in; nobody named: everybody.
    pub credentials: Vec<Credential>,
    /// The only addresses that may come in; none named: all.
    pub allowed: Vec<AddressRange>,
    /// Addresses that may not, also when they are allowed.
    pub denied: Vec<AddressRange>,
    /// Requests over plain HTTP are sent to https, where the host has a certificate.
    pub redirects_to_https: bool,
    /// `Strict-Transport-Security: max-age` on answers over https, in seconds (RFC 6797); `None`: no such header.
    pub hsts_seconds: Option<u32>,
    pub www: Www,
}

/// What is spoken to the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Http1,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113 §3.3): what gRPC needs.
    H2c,
}

/// Which of a domain's two names is sent to the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Www {
    #[default]
    AsAsked,
    /// `www.example.com` to `example.com`.
    Remove,
    /// `example.com` to `www.example.com`.
    Add,
}

/// One change of these settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeChange {
    Protocol(Protocol),
    FirstByte(Option<Duration>),
    MaxBodyBytes(Option<u64>),
    /// A user more, or another password for one.
    User(Credential),
    /// This user no more.
    NoUser(String),
    /// Everybody comes in.
    NoUsers,
    Allowed(Vec<AddressRange>),
    Denied(Vec<AddressRange>),
    RedirectsToHttps(bool),
    HstsSeconds(Option<u32>),
    Www(Www),
}

// === impl Edge ===

impl Default for Edge {
    fn default() -> Self {
        Edge {
            protocol: Protocol::Http1,
            first_byte: Some(FIRST_BYTE_TIMEOUT),
            max_body_bytes: None,
            credentials: Vec::new(),
            allowed: Vec::new(),
            denied: Vec::new(),
            redirects_to_https: false,
            hsts_seconds: None,
            www: Www::AsAsked,
        }
    }
}

impl Edge {
    /// Makes one change.
    pub fn change(&mut self, change: EdgeChange) {
        match change {
            EdgeChange::Protocol(protocol) => self.protocol = protocol,
            EdgeChange::FirstByte(time) => self.first_byte = time,
            EdgeChange::MaxBodyBytes(bytes) => self.max_body_bytes = bytes,
            EdgeChange::User(credential) => {
                self.credentials.retain(|other| other.user() != credential.user());
                self.credentials.push(credential);
            }
            EdgeChange::NoUser(user) => self.credentials.retain(|credential| credential.user() != user),
            EdgeChange::NoUsers => self.credentials.clear(),
            EdgeChange::Allowed(ranges) => self.allowed = ranges,
            EdgeChange::Denied(ranges) => self.denied = ranges,
            EdgeChange::RedirectsToHttps(is) => self.redirects_to_https = is,
            EdgeChange::HstsSeconds(seconds) => self.hsts_seconds = seconds,
            EdgeChange::Www(www) => self.www = www,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[test]
    fn settings_survive_their_json_and_what_is_not_in_it_is_as_ever() {
        let mut edge = Edge::default();
        let anna = |password: &str| EdgeChange::User(Credential::new("anna", &Secret::new(password.to_owned())).unwrap());
        for change in [
            EdgeChange::Protocol(Protocol::H2c),
            EdgeChange::FirstByte(None),
            EdgeChange::MaxBodyBytes(Some(1 << 20)),
            anna("old"),
            anna("new"),
            EdgeChange::Allowed(vec!["10.0.0.0/8".parse().unwrap()]),
            EdgeChange::Denied(vec!["10.1.0.0/16".parse().unwrap()]),
            EdgeChange::RedirectsToHttps(true),
            EdgeChange::HstsSeconds(Some(60)),
            EdgeChange::Www(Www::Remove),
        ] {
            edge.change(change);
        }

        assert_eq!(serde_json::from_str::<Edge>(&serde_json::to_string(&edge).unwrap()).unwrap(), edge);
        assert!(edge.credentials.len() == 1 && Credential::is_one_of(&edge.credentials, b"anna:new"));
        assert_eq!(serde_json::from_str::<Edge>("{\"newer\":1}").unwrap(), Edge::default());
    }
}
