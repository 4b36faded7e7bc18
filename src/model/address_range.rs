//! A range of addresses, as lists of who may come in name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A range of addresses, such as `10.0.0.0/8` or `203.0.113.9` (RFC 4632, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
}

// === impl AddressRange ===

impl AddressRange {
    /// Makes the range of addresses that begin with the first `prefix` bits of `first`; `None` when an address has fewer bits.
    #[must_use]
    pub fn new(first: IpAddr, prefix: u8) -> Option<AddressRange> {
        let first = first.to_canonical();
        (prefix <= width(first)).then_some(AddressRange { first, prefix })
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

impl FromStr for AddressRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, prefix) = text.split_once('/').map_or((text, None), |(first, prefix)| (first, Some(prefix)));
        let range = first.parse::<IpAddr>().ok().and_then(|first| {
            let prefix = prefix.map_or(Some(width(first.to_canonical())), |digits| digits.parse().ok())?;
            AddressRange::new(first, prefix)
        });
        range.ok_or_else(|| {
            Error::usage(format!("`{}` is not an address or a range of them", text.escape_debug())).hint("as 203.0.113.9 or 10.0.0.0/8")
        })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == width(self.first) { write!(f, "{}", self.first) } else { write!(f, "{}/{}", self.first, self.prefix) }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> String {
        range.to_string()
    }
}

/// The bits of an address.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
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

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "203.0.113.9", "::/0", "2001:db8::1"] {
            assert_eq!(text.parse::<AddressRange>().unwrap().to_string(), text);
        }
    }
}
