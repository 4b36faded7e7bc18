//! A request's place at one upstream: chosen by load, counted until the last byte.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Lease, Release};

/// A place at one upstream and the lease of its release, held until the last body byte or the end of a tunnel.
pub struct Seat {
    lease: Lease,
    index: usize,
}

/// Upstreams that one request was refused by.
///
/// An app's network has fewer addresses than this has bits; beyond them two upstreams share a bit, and one is passed over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried(u128);

// === impl Seat ===

impl Seat {
    /// Takes a place at the less busy of two upstreams, at most once at each; `None` when nobody is left that might answer.
    ///
    /// An upstream that refused is left alone for a second while others are there; when all refused, each is asked again by one
    /// request every tenth of a second.
    #[must_use]
    pub fn take(lease: &Lease, tried: &mut Tried) -> Option<Seat> {
        let index = choose(lease, *tried)?;
        tried.insert(index);
        lease.at(index).begin();
        Some(Seat { lease: Arc::clone(lease), index })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.lease.at(self.index).address()
    }

    /// Returns the address as lines write it.
    #[must_use]
    pub fn address_text(&self) -> &str {
        self.lease.at(self.index).text()
    }

    #[must_use]
    pub fn release(&self) -> &Lease {
        &self.lease
    }

    /// Notes that the upstream took no connection.
    pub fn refused(&self) {
        self.lease.at(self.index).refuse();
    }

    /// Notes that the upstream took a connection.
    ///
    /// Those who wait for that see it when they look again. Waking them would let a forwarder that accepts and hangs up, as the
    /// engine's does before an app that is not there yet, keep all of them running in circles.
    pub fn accepted(&self) {
        self.lease.at(self.index).accept();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lease.at(self.index).finish();
    }
}

fn choose(release: &Release, tried: Tried) -> Option<usize> {
    let count = release.count();
    let rank = |index: &usize| (release.at(*index).standing(), release.at(*index).in_flight());
    let admitted = |index: &usize| release.at(*index).admit();
    let untried = |index: &usize| !tried.contains(*index);
    if count > 1 {
        let two = two_of(count).into_iter().filter(untried).min_by_key(rank);
        if let Some(index) = two.filter(admitted) {
            return Some(index);
        }
    }
    let any = (0..count).filter(untried).min_by_key(rank).filter(admitted);
    any.or_else(|| (0..count).filter(untried).find(|index| release.at(*index).retry()))
}

/// Draws two different numbers below `count`, which is at least 2.
fn two_of(count: usize) -> [usize; 2] {
    let draw = random();
    let below = |bits: u64, limit: usize| usize::try_from(bits % limit as u64).expect("it is below a usize");
    let first = below(draw >> 32, count);
    let second = below(draw & u64::from(u32::MAX), count - 1);
    [first, if second < first { second } else { second + 1 }]
}

/// A number of this thread's own sequence (xorshift64, Marsaglia 2003): no lock, no system call.
fn random() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1));
    STATE.with(|state| {
        let mut next = state.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        next
    })
}

// === impl Tried ===

impl Tried {
    fn insert(&mut self, index: usize) {
        self.0 |= Self::bit(index);
    }

    fn contains(self, index: usize) -> bool {
        self.0 & Self::bit(index) != 0
    }

    fn bit(index: usize) -> u128 {
        1 << (index % 128)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, Version};

    fn lease(count: u16) -> Lease {
        let upstreams = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        Arc::new(Release::new("blog".parse().unwrap(), AppId::random(), Version(1), upstreams).0)
    }

    fn take(lease: &Lease) -> Option<Seat> {
        Seat::take(lease, &mut Tried::default())
    }

    #[test]
    fn seats_are_spread_and_given_back() {
        let lease = lease(4);

        let seats: Vec<_> = (0..400).map(|_| take(&lease).unwrap()).collect();

        for index in 0..4 {
            assert!((80..=120).contains(&lease.at(index).in_flight()), "{}", lease.at(index).in_flight());
        }
        drop(seats);
        assert_eq!(lease.in_flight(), 0);
    }

    #[test]
    fn the_less_busy_of_two_is_taken() {
        let lease = lease(2);
        let busy = take(&lease).unwrap();

        for _ in 0..100 {
            assert_ne!(take(&lease).unwrap().address(), busy.address());
        }
    }

    #[test]
    fn one_request_asks_each_upstream_once() {
        for count in [1, 2, 3, 61] {
            let (lease, mut tried) = (lease(count), Tried::default());

            let mut asked: Vec<_> = std::iter::from_fn(|| Seat::take(&lease, &mut tried).map(|seat| seat.address().port())).collect();

            asked.sort_unstable();
            assert_eq!(asked, (1..=count).collect::<Vec<_>>());
        }
        assert!(take(&lease(0)).is_none());
    }

    #[test]
    fn who_refused_is_left_alone_until_it_accepts() {
        let lease = lease(3);
        let refusing = take(&lease).unwrap();

        for _ in 0..100 {
            refusing.refused();
            assert_ne!(take(&lease).unwrap().address(), refusing.address());
        }
        refusing.accepted();
        let seats: Vec<_> = (0..30).map(|_| take(&lease).unwrap()).collect();

        assert!(seats.iter().any(|seat| seat.address() == refusing.address()));
    }

    #[test]
    fn when_all_refused_a_moment_ago_nobody_is_asked() {
        let lease = lease(2);
        let mut tried = Tried::default();
        let seats: Vec<_> = std::iter::from_fn(|| Seat::take(&lease, &mut tried)).collect();

        // A machine that stops for a tenth of a second in between makes a moment of it; not each time.
        let is_left_alone = (0..20).any(|_| {
            seats.iter().for_each(Seat::refused);
            take(&lease).is_none()
        });

        assert!(is_left_alone && seats.len() == 2);
    }

    #[test]
    fn two_different_ones_are_drawn_and_each_gets_its_share() {
        let mut draws = [0_u32; 5];
        for _ in 0..10_000 {
            let [first, second] = two_of(5);
            assert_ne!(first, second);
            draws[first] += 1;
            draws[second] += 1;
        }

        assert!(draws.iter().all(|count| (3_500..4_500).contains(count)), "{draws:?}");
    }
}
