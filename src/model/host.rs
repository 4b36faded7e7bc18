//! The host of a request: strict `name[:port]`, normalised once and trusted afterwards.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{Error, Result};

/// The longest name that DNS can carry (RFC 1035 §2.3.4, without the trailing dot).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// A host as RFC 9110 §7.2 writes it, lower case, without a trailing dot: a DNS name, an IPv4 or an `[IPv6]`, and maybe a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    kind: Kind,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

// === impl HostName ===

impl HostName {
    /// Returns the DNS name, or `None` for an address.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            Kind::V4(_) | Kind::V6(_) => None,
        }
    }

    /// Returns the port, when one was written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether `text` is a name as this one writes itself: what is told on needs no new text then.
    #[must_use]
    pub fn is_written(&self, text: &[u8]) -> bool {
        let Some(rest) = self.name().and_then(|name| text.strip_prefix(name.as_bytes())) else { return false };
        match (rest.split_first(), self.port) {
            (None, None) => true,
            (Some((b':', digits)), Some(_)) => {
                !digits.starts_with(b"0") && std::str::from_utf8(digits).ok().and_then(parse_port) == self.port
            }
            _ => false,
        }
    }
}

impl FromStr for HostName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| Error::usage("this is not a host name"))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Name(name) => f.write_str(name)?,
            Kind::V4(ip) => write!(f, "{ip}")?,
            Kind::V6(ip) => write!(f, "[{ip}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn parse(text: &str) -> Option<HostName> {
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(parse_port(rest.strip_prefix(':')?)?) };
        return Some(HostName { kind: Kind::V6(ip.parse().ok()?), port });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(parse_port(port)?)),
        None => (text, None),
    };
    Some(HostName { kind: parse_kind(name.strip_suffix('.').unwrap_or(name))?, port })
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port > 0)
}

fn parse_kind(name: &str) -> Option<Kind> {
    if name.is_empty() || name.len() > MAX_NAME || !name.split('.').all(is_label) {
        return None;
    }
    // A name that ends in a number is an address or nothing: `1.2.3` and `127.1` mean different things to different parsers.
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return name.parse().ok().map(Kind::V4);
    }
    Some(Kind::Name(name.to_ascii_lowercase()))
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_normalised() {
        for (text, normal) in [
            ("blog.localhost", "blog.localhost"),
            ("BLOG.Example.COM.:8080", "blog.example.com:8080"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("[0:0::1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<HostName>().map(|host| host.to_string()).ok().as_deref(), Some(normal), "{text}");
        }
    }

    #[test]
    fn only_a_name_in_its_normal_form_is_as_it_was_written() {
        for (text, is_normal) in [
            ("blog.localhost", true),
            ("blog.localhost:8080", true),
            ("Blog.localhost", false),
            ("blog.localhost.", false),
            ("blog.localhost:080", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().is_written(text.as_bytes()), is_normal, "{text}");
        }
        let host: HostName = "blog.localhost:80".parse().unwrap();
        for other in ["blog.localhost", "blog.localhost:8", "blog.localhost:+80", "blog.localhost:80 ", "log.localhost:80"] {
            assert!(!host.is_written(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "a:",
            "a:0",
            "a:+1",
            "a:65536",
            "a:80:80",
            "a:8o",
            "-a",
            "a-.b",
            "a_b",
            "ü",
            "a\0",
            "1.2.3",
            "127.1",
            "0127.0.0.1",
            "256.1.1.1",
            "::1",
            "[::1",
            "[::1]80",
            "[::1%eth0]",
            "[1.2.3.4]",
            "a..",
            "%61",
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text:?} was taken as a host");
        }
        assert!(format!("{}.com", "a".repeat(64)).parse::<HostName>().is_err());
        assert!("a.".repeat(127).parse::<HostName>().is_ok());
        assert!("a.".repeat(128).parse::<HostName>().is_err());
    }
}
