//! What the proxy does for one app besides forwarding: its owner's wishes, as data.

use std::net::IpAddr;
use std::time::Duration;

use super::limits::FIRST_BYTE_TIMEOUT;

/// The settings of one app at the edge; the default asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub protocol: Protocol,
    /// How long the app may take to the first byte of its answer; `None`: any time.
    pub first_byte: Option<Duration>,
    /// The largest request body that is let through, in bytes; `None`: any.
    pub max_body_bytes: Option<u64>,
    /// Who may come in (RFC 7617); nobody named: everybody.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Http1,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113 §3.3): what gRPC needs.
    H2c,
}

/// Which of a domain's two names is sent to the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Www {
    #[default]
    AsAsked,
    /// `www.example.com` to `example.com`.
    Remove,
    /// `example.com` to `www.example.com`.
    Add,
}

/// A user of basic authentication: the SHA-256 of `user:password`, which is never kept itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(pub [u8; 32]);

/// A range of addresses, such as `10.0.0.0/8` (RFC 4632, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
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

// === impl Credential ===

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[a credential]")
    }
}

// === impl AddressRange ===

impl AddressRange {
    /// Makes the range of addresses that begin with the first `prefix` bits of `first`; `None` when an address has fewer bits.
    #[must_use]
    pub fn new(first: IpAddr, prefix: u8) -> Option<AddressRange> {
        let first = first.to_canonical();
        let bits = if first.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(AddressRange { first, prefix })
    }

    /// Tells whether an address is in the range; an IPv4 address that came through an IPv6 socket is one of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u32| width - u32::from(self.prefix);
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => (first.to_bits() ^ address.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0,
            (IpAddr::V6(first), IpAddr::V6(address)) => (first.to_bits() ^ address.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0,
            _ => false,
        }
    }
}

impl std::str::FromStr for AddressRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, prefix) = text.split_once('/').map_or((text, None), |(first, prefix)| (first, Some(prefix)));
        let first: IpAddr = first.parse().map_err(|_| ())?;
        let whole = if first.to_canonical().is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(whole), |digits| digits.parse().map_err(|_| ()))?;
        AddressRange::new(first, prefix).ok_or(())
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_other() {
        let is_in = |range: &str, address: &str| range.parse::<AddressRange>().unwrap().contains(address.parse().unwrap());

        assert!(is_in("10.0.0.0/8", "10.255.0.1") && is_in("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!is_in("10.0.0.0/8", "11.0.0.0") && !is_in("10.0.0.0/8", "::1"));
        assert!(is_in("0.0.0.0/0", "203.0.113.9") && is_in("::/0", "::1") && !is_in("::/0", "10.0.0.1"));
        assert!(is_in("203.0.113.9", "203.0.113.9") && !is_in("203.0.113.9", "203.0.113.8"));
        assert!(is_in("2001:db8::/32", "2001:db8:1::1") && !is_in("2001:db8::/32", "2001:db9::1"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "example.com", "10.0.0.0/8/8"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }
}
