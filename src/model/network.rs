//! What counts as one address where a stranger is given only so much.

use std::net::{IpAddr, Ipv6Addr};

/// Returns an IPv4 address itself, or the /64 that one IPv6 site has to itself.
#[must_use]
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
