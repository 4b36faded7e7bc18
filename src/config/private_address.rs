//! An address that the world does not reach: where figures are told without asking who wants them.

use std::net::IpAddr;

use super::Listen;
use crate::error::{Error, Result};

/// Parses where `name` listens: loopback, or an address of a private network (RFC 1918, RFC 4193, RFC 6598, link-local).
///
/// Errors are of kind `Setup`: no address, or one that is everybody's.
pub fn parse_private(name: &str, text: &str) -> Result<Listen> {
    let listen = Listen::parse(name, Some(text), 0)?;
    if listen.0.iter().all(|address| is_private(address.ip())) {
        return Ok(listen);
    }
    Err(Error::setup(format!("--{name} `{}` may be reached by the world, and nobody is asked for a key there", text.escape_debug()))
        .hint(format!("give it an address that is not: --{name} 127.0.0.1:9090, or the machine's own in a private network")))
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0b1100_0000 == 64;
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_world_does_not_reach_is_private() {
        for private in
            ["127.0.0.1:0", "localhost:9090", "10.1.2.3:1", "172.31.0.1:1", "192.168.1.1:1", "100.64.0.1:1", "[::1]:1", "[fd00::1]:1"]
        {
            assert!(parse_private("metrics", private).is_ok(), "{private}");
        }
        for public in [":9090", "9090", "0.0.0.0:1", "[::]:1", "203.0.113.7:1", "172.32.0.1:1", "100.128.0.1:1", "[2001:db8::1]:1", "here"]
        {
            let err = parse_private("metrics", public).unwrap_err();
            assert_eq!((err.exit_code(), err.sentence().contains("--metrics")), (78, true), "{public}: {err}");
        }
    }
}
