//! Idle connections to apps, by release and address: none outlives its release, and none keeps it alive.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::upstream::Link;
use crate::route::{Release, Seat};

/// Idle connections kept per upstream; more than an app's usual number of workers.
const MAX_IDLE: usize = 128;

/// The pool of one proxy. [`Pool::sweep`] is to be called about once a second.
pub(super) struct Pool {
    shelves: Mutex<HashMap<Key, Shelf>>,
    max_idle: Duration,
}

/// The generation of a release and an address of it: another generation's address may be another container's.
type Key = (u64, SocketAddr);

struct Shelf {
    /// Weak: an idle connection is no lease.
    release: Weak<Release>,
    idle: Vec<(Instant, Box<Link>)>,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(max_idle: Duration) -> Self {
        Pool { shelves: Mutex::default(), max_idle }
    }

    /// Takes the connection that was used last, if one still stands.
    pub(super) fn take(&self, seat: &Seat) -> Option<Box<Link>> {
        loop {
            let (_, mut link) = self.lock().get_mut(&key(seat))?.idle.pop()?;
            if link.is_ready() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next request, unless it or its release has come to an end.
    pub(super) fn put(&self, seat: &Seat, mut link: Box<Link>) {
        if seat.release().is_retired() || !link.is_ready() {
            return;
        }
        let mut shelves = self.lock();
        let kept = shelves.entry(key(seat)).or_insert_with(|| Shelf { release: Arc::downgrade(seat.release()), idle: Vec::new() });
        if kept.idle.len() < MAX_IDLE {
            kept.idle.push((Instant::now(), link));
        }
    }

    /// Closes what idled too long, what the app closed, and everything of retired releases.
    pub(super) fn sweep(&self) {
        let mut closing = Vec::new();
        self.lock().retain(|_, shelf| {
            let is_live = shelf.release.upgrade().is_some_and(|release| !release.is_retired());
            let max_idle = self.max_idle;
            closing.extend(shelf.idle.extract_if(.., |(since, link)| !is_live || since.elapsed() >= max_idle || !link.is_ready()));
            is_live && !shelf.idle.is_empty()
        });
        // Sockets are closed here, outside of the lock.
        drop(closing);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(seat: &Seat) -> Key {
    (seat.release().generation(), seat.address())
}
