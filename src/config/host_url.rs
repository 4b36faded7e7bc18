//! Where a server is: `ssh://[user@]host[:port]`, `http(s)://host[:port]`, or a host alone, which means ssh.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where `mini server` listens for SSH unless told otherwise.
const SSH_PORT: u16 = 2222;
const SSH_USER: &str = "mini";
/// The longest name of a machine (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// The address of a server, by the way that leads to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostUrl {
    Ssh(SshAddress),
    Http(HttpAddress),
}

/// Where a server listens for SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SshAddress {
    pub user: String,
    /// A name or an address; IPv6 without brackets. Never starts with a dash, which ssh would take for an option.
    pub host: String,
    pub port: u16,
}

/// Where a server's API answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAddress {
    pub is_tls: bool,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

// === impl HostUrl ===

impl FromStr for HostUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("`{}` is not the address of a server", text.escape_debug()))
                .hint("for example: ssh://203.0.113.7:2222, https://mini.example.org or 203.0.113.7")
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("ssh", text));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        match scheme {
            "ssh" => {
                let (user, place) = rest.split_once('@').unwrap_or((SSH_USER, rest));
                let (host, port) = split_place(place).ok_or_else(wrong)?;
                if !is_user(user) {
                    return Err(wrong());
                }
                Ok(HostUrl::Ssh(SshAddress { user: user.to_owned(), host, port: port.unwrap_or(SSH_PORT) }))
            }
            "http" | "https" => {
                let is_tls = scheme == "https";
                let (host, port) = split_place(rest).ok_or_else(wrong)?;
                Ok(HostUrl::Http(HttpAddress { is_tls, host, port: port.unwrap_or(default_port(is_tls)) }))
            }
            _ => Err(wrong()),
        }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Splits `host[:port]` and checks both.
fn split_place(place: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some(""))?)
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = if port.is_empty() { None } else { Some(port.parse().ok().filter(|&port| port != 0)?) };
    is_machine(host).then(|| (host.to_ascii_lowercase(), port))
}

/// What can stand on ssh's command line and in its configuration without meaning something else there.
fn is_machine(host: &str) -> bool {
    let is_plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    (1..=MAX_NAME_BYTES).contains(&host.len()) && !host.starts_with('-') && (is_plain(host) || host.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_user(user: &str) -> bool {
    (1..=32).contains(&user.len()) && !user.starts_with('-') && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Writes `host:port`, with brackets around IPv6.
fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostUrl::Ssh(address) => address.fmt(f),
            HostUrl::Http(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for HostUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<HostUrl> for String {
    fn from(url: HostUrl) -> String {
        url.to_string()
    }
}

// === impl SshAddress ===

impl SshAddress {
    /// Returns `user@host` as ssh takes it.
    #[must_use]
    pub fn destination(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// Returns `host:port` for people.
    #[must_use]
    pub fn place(&self) -> String {
        place(&self.host, self.port)
    }

    /// Returns the name under which OpenSSH keeps the host's key (sshd(8), known hosts).
    #[must_use]
    pub fn known_as(&self) -> String {
        if self.port == 22 { self.host.clone() } else { format!("[{}]:{}", self.host, self.port) }
    }
}

impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}@{}", self.user, self.place())
    }
}

impl TryFrom<String> for SshAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.parse()? {
            HostUrl::Ssh(address) => Ok(address),
            HostUrl::Http(_) => Err(Error::usage("this is not an ssh address")),
        }
    }
}

impl From<SshAddress> for String {
    fn from(address: SshAddress) -> String {
        address.to_string()
    }
}

// === impl HttpAddress ===

impl HttpAddress {
    /// Returns `host:port` for people, and for the `Host` header.
    #[must_use]
    pub fn place(&self) -> String {
        place(&self.host, self.port)
    }

    /// Tells whether the way leads to this machine itself (RFC 6761, section 6.3: names below `localhost` do).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Tells whether somebody on the way could read along.
    #[must_use]
    pub fn is_in_clear(&self) -> bool {
        !self.is_tls && !self.is_loopback()
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}")?;
        if self.port == default_port(self.is_tls) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_defaults_and_written_back() {
        let cases = [
            ("1.2.3.4", "ssh://mini@1.2.3.4:2222"),
            ("box", "ssh://mini@box:2222"),
            ("box:22", "ssh://mini@box:22"),
            ("anna@box", "ssh://anna@box:2222"),
            ("ssh://Box.example.org:2222/", "ssh://mini@box.example.org:2222"),
            ("ssh://[::1]:7", "ssh://mini@[::1]:7"),
            ("ssh://[2001:db8::1]", "ssh://mini@[2001:db8::1]:2222"),
            ("http://1.2.3.4", "http://1.2.3.4"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("https://mini.example.org", "https://mini.example.org"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ];

        for (typed, written) in cases {
            let url: HostUrl = typed.parse().unwrap();
            assert_eq!(url.to_string(), written);
            assert_eq!(written.parse::<HostUrl>().unwrap(), url);
        }
    }

    #[test]
    fn what_ssh_could_take_for_something_else_is_refused() {
        let hostile = [
            "",
            "ssh://",
            "-oProxyCommand=id",
            "ssh://-oProxyCommand=id",
            "ssh://-l@box",
            "ssh://-x@box",
            "a b",
            "box;id",
            "box\nUser root",
            "box:0",
            "box:x",
            "box:70000",
            "ftp://box",
            "http://key@box",
            "http://box/path",
            "https://[::1",
            "ssh://[box]",
            "::1",
            "bücher",
            "a/b",
        ];

        for text in hostile {
            assert!(text.parse::<HostUrl>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_is_in_clear() {
        for (url, in_clear) in [
            ("http://1.2.3.4", true),
            ("http://localhost", false),
            ("http://mini.localhost:8080", false),
            ("http://127.0.0.1", false),
            ("http://[::1]", false),
            ("https://1.2.3.4", false),
            ("http://localhost.example.org", true),
        ] {
            let Ok(HostUrl::Http(address)) = url.parse() else { panic!("{url}") };
            assert_eq!(address.is_in_clear(), in_clear, "{url}");
        }
    }
}
