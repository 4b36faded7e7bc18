//! Small IPv4 subnets out of one pool, and which of them this machine has already taken.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A range of IPv4 addresses: `10.210.3.64/26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    base: u32,
    prefix: u32,
}

/// Every network of every app comes out of this.
const POOL: Subnet = Subnet { base: u32::from_be_bytes([10, 210, 0, 0]), prefix: 16 };
/// 61 containers per app.
const PREFIX: u32 = 26;

/// Returns the pool's subnets that overlap nothing in `taken`, beginning at a place that `seed` chooses: servers that share an
/// engine then seldom reach for the same one.
pub(super) fn free_subnets(taken: &[Subnet], seed: u32) -> impl Iterator<Item = Subnet> {
    let count = 1_u32 << (PREFIX - POOL.prefix);
    let size = 1_u32 << (32 - PREFIX);
    let all = (0..count).map(move |n| Subnet { base: POOL.base + (n.wrapping_add(seed) % count) * size, prefix: PREFIX });
    all.filter(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)))
}

/// Reads the destinations of `/proc/net/route` (little-endian hex), without the default routes.
pub(super) fn routed(route_table: &str) -> Vec<Subnet> {
    let destination = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |column: usize| u32::from_str_radix(columns.get(column)?, 16).ok().map(u32::swap_bytes);
        let (base, mask) = (number(1)?, number(7)?);
        (mask != 0).then(|| Subnet { base: base & mask, prefix: mask.leading_ones() })
    };
    route_table.lines().skip(1).filter_map(destination).collect()
}

/// Returns the interface of the default route.
pub(super) fn uplink(route_table: &str) -> Option<&str> {
    route_table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (interface, destination) = (columns.next()?, columns.next()?);
        (destination == "00000000").then_some(interface)
    })
}

// === impl Subnet ===

impl Subnet {
    /// Returns the address of a host in the subnet; the first is the gateway's, the last is broadcast.
    pub(super) fn host(self, offset: u8) -> Option<Ipv4Addr> {
        let size = 1_u32 << (32 - self.prefix).min(31);
        let offset = u32::from(offset);
        (offset > 0 && offset < size - 1).then(|| Ipv4Addr::from(self.base + offset))
    }

    pub(super) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.base
    }

    fn overlaps(self, other: Subnet) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::usage(format!("`{}` is not an IPv4 subnet", text.escape_debug()));
        let (base, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let base: Ipv4Addr = base.parse().map_err(|_| invalid())?;
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(invalid)?;
        let subnet = Subnet { base: u32::from(base), prefix };
        Ok(Subnet { base: subnet.base & subnet.mask(), prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
mini-1\t0000D20A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0\n";

    #[test]
    fn routes_of_the_host_are_read_and_the_default_route_names_the_uplink() {
        let routed: Vec<String> = routed(ROUTES).iter().map(ToString::to_string).collect();

        assert_eq!(routed, ["172.17.0.0/16", "10.210.0.0/26"]);
        assert_eq!(uplink(ROUTES), Some("eth0"));
    }

    #[test]
    fn what_is_taken_is_passed_over_in_either_size() {
        let taken = ["10.210.0.0/26".parse().unwrap(), "10.210.0.128/25".parse().unwrap(), "172.17.0.0/16".parse().unwrap()];

        let first: Vec<String> = free_subnets(&taken, 0).take(2).map(|subnet| subnet.to_string()).collect();

        assert_eq!(first, ["10.210.0.64/26", "10.210.1.0/26"]);
        assert_eq!(free_subnets(&["10.0.0.0/8".parse().unwrap()], 0).count(), 0);
        assert_eq!(free_subnets(&["0.0.0.0/0".parse().unwrap()], 0).count(), 0);
        assert_eq!(free_subnets(&[], 1023).nth(1).unwrap().to_string(), "10.210.0.0/26");
    }

    #[test]
    fn neither_network_nor_broadcast_is_a_host() {
        let subnet: Subnet = "10.210.0.64/26".parse().unwrap();

        assert_eq!(subnet.host(0), None);
        assert_eq!(subnet.host(1), Some(Ipv4Addr::new(10, 210, 0, 65)));
        assert_eq!(subnet.host(62), Some(Ipv4Addr::new(10, 210, 0, 126)));
        assert_eq!(subnet.host(63), None);
        assert!(subnet.contains(Ipv4Addr::new(10, 210, 0, 65)) && !subnet.contains(Ipv4Addr::new(10, 210, 0, 1)));
    }
}
