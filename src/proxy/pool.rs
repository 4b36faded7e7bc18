//! Idle connections to apps, by release: none outlives its release, and none keeps it alive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::upstream::Link;
use crate::route::{Lease, Release};

/// Idle connections kept per release; more than an app's usual number of workers.
const MAX_IDLE: usize = 128;

/// The pool of one proxy. [`Pool::sweep`] is to be called about once a second.
pub(super) struct Pool {
    shelves: Mutex<HashMap<u64, Shelf>>,
    max_idle: Duration,
}

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
    pub(super) fn take(&self, lease: &Lease) -> Option<Box<Link>> {
        loop {
            let (_, mut link) = self.lock().get_mut(&lease.generation())?.idle.pop()?;
            if link.is_ready() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next request, unless it or its release has come to an end.
    pub(super) fn put(&self, lease: &Lease, mut link: Box<Link>) {
        if lease.is_retired() || !link.is_ready() {
            return;
        }
        let mut by_release = self.lock();
        let kept = by_release.entry(lease.generation()).or_insert_with(|| Shelf { release: Arc::downgrade(lease), idle: Vec::new() });
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

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
