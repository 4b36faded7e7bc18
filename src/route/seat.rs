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

    #[must_use]
    pub fn release(&self) -> &Lease {
        &self.lease
    }

    /// Notes that the upstream took no connection.
    pub fn refused(&self) {
        self.lease.at(self.index).refuse();
    }

    /// Notes that the upstream took a connection; those who wait for that are told.
    pub fn accepted(&self) {
        if self.lease.at(self.index).accept() {
            self.lease.waiting_room().wake();
        }
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
