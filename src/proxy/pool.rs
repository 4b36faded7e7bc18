//! A core's connections to apps between requests, by release and address: none outlives its release, and none keeps it alive.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio_util::task::TaskTracker;

use super::multiplex::{Multiplexed, Stream};
use super::upstream::Link;
use crate::route::{Release, Seat};

/// Idle connections kept per upstream; more than an app's usual number of workers.
const MAX_IDLE: usize = 128;

/// The pool of one core. [`Pool::sweep`] is to be called about once a second.
pub(super) struct Pool {
    shelves: RefCell<HashMap<Key, Shelf>>,
    max_idle: Duration,
    /// The last sweep, which is near enough for what lies idle: a clock is not asked for each request.
    now: Cell<Instant>,
    /// What moves HTTP/2 connections.
    pub(super) tasks: TaskTracker,
}

/// The generation of a release and an address of it: another generation's address may be another container's.
type Key = (u64, SocketAddr);

struct Shelf {
    /// Weak: an idle connection is no lease.
    release: Weak<Release>,
    idle: Vec<(Instant, Box<Link>)>,
    /// With the moment at which each was last seen in use.
    multiplexed: Vec<(Instant, Multiplexed)>,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(max_idle: Duration) -> Self {
        Pool { shelves: RefCell::default(), max_idle, now: Cell::new(Instant::now()), tasks: TaskTracker::new() }
    }

    /// Takes the connection that was used last, if one still stands.
    pub(super) fn take(&self, seat: &Seat) -> Option<Box<Link>> {
        loop {
            let (_, mut link) = self.shelves.borrow_mut().get_mut(&key(seat))?.idle.pop()?;
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
        self.on_shelf(seat, |shelf| {
            if shelf.idle.len() < MAX_IDLE {
                shelf.idle.push((self.now.get(), link));
            }
        });
    }

    /// Takes a place on an HTTP/2 connection that stands, if one has room.
    pub(super) fn enter(&self, seat: &Seat) -> Option<Stream> {
        self.shelves.borrow().get(&key(seat))?.multiplexed.iter().find_map(|(_, connection)| connection.enter())
    }

    /// Lets others use an HTTP/2 connection, instead of those that nobody uses: it would not have been opened if they had been of help.
    pub(super) fn share(&self, seat: &Seat, connection: Multiplexed) {
        if !seat.release().is_retired() {
            self.on_shelf(seat, |shelf| {
                shelf.multiplexed.retain(|(_, other)| !other.is_unused());
                shelf.multiplexed.push((Instant::now(), connection));
            });
        }
    }

    /// Closes what idled too long, what the app closed, and everything of retired releases.
    pub(super) fn sweep(&self) {
        let (mut closing, now) = (Vec::new(), Instant::now());
        self.now.set(now);
        let is_over = |since: Instant| now.duration_since(since) >= self.max_idle;
        self.shelves.borrow_mut().retain(|_, shelf| {
            let is_live = shelf.release.upgrade().is_some_and(|release| !release.is_retired());
            closing.extend(shelf.idle.extract_if(.., |(since, link)| !is_live || is_over(*since) || !link.is_ready()));
            shelf.multiplexed.retain_mut(|(used, connection)| {
                *used = if connection.is_unused() { *used } else { now };
                is_live && connection.is_open() && !is_over(*used)
            });
            is_live && !(shelf.idle.is_empty() && shelf.multiplexed.is_empty())
        });
    }

    fn on_shelf(&self, seat: &Seat, with: impl FnOnce(&mut Shelf)) {
        let mut shelves = self.shelves.borrow_mut();
        with(shelves.entry(key(seat)).or_insert_with(|| Shelf {
            release: Arc::downgrade(seat.release()),
            idle: Vec::new(),
            multiplexed: Vec::new(),
        }));
    }
}

fn key(seat: &Seat) -> Key {
    (seat.release().generation(), seat.address())
}
