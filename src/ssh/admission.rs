//! Seats for those who have not logged in yet: few per address, some in all, waited for rather than refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::network_of;

/// Lets connections into the login phase.
///
/// Waiting is what keeps a hundred honest pushes of one office working; refusing broke two thirds of them.
#[derive(Clone)]
pub(super) struct Admission {
    rules: Rules,
    seats: Arc<Semaphore>,
    addresses: Arc<Mutex<HashMap<IpAddr, Address>>>,
}

/// How many may log in at once, and how long one may wait for that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub per_address: usize,
    pub at_once: usize,
    pub patience: Duration,
}

struct Address {
    seats: Arc<Semaphore>,
    /// Connections that sit or wait here. The entry goes with the last.
    visitors: usize,
}

/// A seat in the login phase; dropped when the login is done or has failed.
pub(super) struct Seat {
    _at_once: OwnedSemaphorePermit,
    _of_address: OwnedSemaphorePermit,
    _visit: Visit,
}

struct Visit {
    address: IpAddr,
    addresses: Arc<Mutex<HashMap<IpAddr, Address>>>,
}

// === impl Admission ===

impl Admission {
    pub fn new(rules: Rules) -> Self {
        Admission { rules, seats: Arc::new(Semaphore::new(rules.at_once)), addresses: Arc::default() }
    }

    /// Waits for a seat; `None` when there was none in time, or when too many of this address wait already.
    pub async fn admit(&self, ip: IpAddr) -> Option<Seat> {
        tokio::time::timeout(self.rules.patience, self.seat(ip)).await.ok().flatten()
    }

    async fn seat(&self, ip: IpAddr) -> Option<Seat> {
        let (visit, seats) = self.visit(network_of(ip))?;
        // The address first: those who wait for their own neighbours take no seat from others.
        let of_address = seats.acquire_owned().await.ok()?;
        let at_once = Arc::clone(&self.seats).acquire_owned().await.ok()?;
        Some(Seat { _at_once: at_once, _of_address: of_address, _visit: visit })
    }

    fn visit(&self, address: IpAddr) -> Option<(Visit, Arc<Semaphore>)> {
        let mut addresses = lock(&self.addresses);
        let new = || Address { seats: Arc::new(Semaphore::new(self.rules.per_address)), visitors: 0 };
        let entry = addresses.entry(address).or_insert_with(new);
        // Whoever waits holds a connection: one address may not hold them all.
        if entry.visitors >= self.rules.at_once {
            return None;
        }
        entry.visitors += 1;
        Some((Visit { address, addresses: Arc::clone(&self.addresses) }, Arc::clone(&entry.seats)))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut addresses = lock(&self.addresses);
        if let Some(entry) = addresses.get_mut(&self.address) {
            entry.visitors -= 1;
            if entry.visitors == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// The map is whole after each line that holds the lock, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { per_address: 2, at_once: 3, patience: Duration::from_secs(20) };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_keep_others_out() {
        let admission = Admission::new(RULES);
        let _first = admission.admit(ip("10.0.0.1")).await.expect("a free seat");
        let _second = admission.admit(ip("10.0.0.1")).await.expect("a free seat");

        assert!(admission.admit(ip("::ffff:10.0.0.1")).await.is_none(), "a third login of one address came in");
        assert!(admission.admit(ip("10.0.0.2")).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_the_seat_that_becomes_free() {
        let admission = Admission::new(RULES);
        let first = admission.admit(ip("10.0.0.1")).await;
        let _second = admission.admit(ip("10.0.0.1")).await;

        let leaves = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
        };
        let (third, ()) = tokio::join!(admission.admit(ip("10.0.0.1")), leaves);

        assert!(third.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_one_address_is_turned_away_at_once() {
        let admission = Admission::new(RULES);
        let crowd = (0..10).map(|_| admission.admit(ip("2001:db8::1")));

        let started = tokio::time::Instant::now();
        let seats = futures_util::future::join_all(crowd).await;

        assert_eq!(seats.iter().flatten().count(), 2);
        assert!(started.elapsed() <= RULES.patience);
        assert!(admission.admit(ip("2001:db8:0:1::1")).await.is_some(), "another network was kept out");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_remembered_of_those_who_left() {
        let admission = Admission::new(RULES);
        for last in 0..100 {
            let address = ip(&format!("10.0.0.{last}"));
            let seat = admission.admit(address).await;
            assert!(seat.is_some());
        }

        assert!(lock(&admission.addresses).is_empty());
    }
}
