//! How many connections clients may have: one address, and all of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::limits::CLIENT_CONNECTIONS;

/// The connections of all cores, by address.
pub(super) struct Admission {
    per_address: usize,
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    by_address: HashMap<IpAddr, usize>,
    all: usize,
}

/// One connection; dropping it makes room.
pub(super) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    /// Its own address has too many.
    Address,
    /// All have.
    Server,
}

// === impl Admission ===

impl Admission {
    /// Makes the counts; zero: any number.
    pub(super) fn new(per_address: usize, all: usize) -> Arc<Admission> {
        let unlimited = |most: usize| if most == 0 { usize::MAX } else { most };
        Arc::new(Admission { per_address: unlimited(per_address), all: unlimited(all), taken: Mutex::default() })
    }

    /// Lets a connection from `address` in, until what this returns is dropped.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Crowded> {
        let address = of_one_party(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.all {
            return Err(Crowded::Server);
        }
        let own = taken.by_address.entry(address).or_default();
        if *own >= self.per_address {
            return Err(Crowded::Address);
        }
        *own += 1;
        taken.all += 1;
        Ok(Admitted { admission: Arc::clone(self), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Entry::Occupied(mut own) = taken.by_address.entry(self.address) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

/// Returns the address by which one party is counted: of IPv6, the network of its provider's customer.
fn of_one_party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns how many connections there may be: each takes two descriptors, one of its client and one of its app.
pub(super) fn most_connections() -> usize {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let by_descriptors = descriptors.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most.saturating_sub(256) / 2);
    by_descriptors.clamp(64, CLIENT_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gives_it_back() {
        let admission = Admission::new(2, 3);
        let enter = |address: &str| admission.enter(address.parse().unwrap());

        let (first, _second) = (enter("203.0.113.1").unwrap(), enter("::ffff:203.0.113.1").unwrap());
        assert_eq!(enter("203.0.113.1").err(), Some(Crowded::Address));
        let _third = enter("2001:db8::1").unwrap();
        assert_eq!(enter("203.0.113.9").err(), Some(Crowded::Server));
        drop(first);

        assert!(enter("2001:db8::ffff:1").is_ok());
        assert!(enter("203.0.113.1").is_ok());
    }

    #[test]
    fn a_network_of_64_bits_is_one_party() {
        let admission = Admission::new(1, 0);
        let _first = admission.enter("2001:db8::1".parse().unwrap()).unwrap();

        assert_eq!(admission.enter("2001:db8::2".parse().unwrap()).err(), Some(Crowded::Address));
        assert!(admission.enter("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_who_left() {
        let admission = Admission::new(0, 0);

        drop(admission.enter("203.0.113.1".parse().unwrap()).unwrap());

        let taken = admission.taken.lock().unwrap();
        assert!(taken.by_address.is_empty() && taken.all == 0);
    }
}
