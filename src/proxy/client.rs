//! One client connection, as its requests see it and as its socket does.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Version;

use super::ends::Ends;

/// What a connection's socket and its requests tell each other. All of it happens on one thread: hyper just wants its streams `Send`.
pub(super) struct Client {
    pub(super) ends: Ends,
    /// Requests whose answers are not complete.
    open: AtomicU32,
    /// Something of an answer may not have been written yet.
    owes_answer: AtomicBool,
    /// The client may still be sending the body of its last request.
    owes_body: AtomicBool,
    /// Its last request was one of HTTP/1.0.
    is_old: AtomicBool,
    /// Answers of which the client has still to take a frame.
    unread: AtomicU32,
    /// Steps that requests have made: a number that stays the same is standstill.
    steps: AtomicU64,
    interim: Mutex<Interim>,
}

/// Informational answers to the one request under way on HTTP/1.1 (RFC 9110 §15.2).
#[derive(Default)]
struct Interim {
    /// Whether they would stand right before its answer.
    is_open: bool,
    bytes: Vec<u8>,
}

/// A request whose answer is not complete; dropped with the answer's body.
pub(super) struct Open {
    client: Arc<Client>,
    is_unread: bool,
}

// === impl Client ===

impl Client {
    pub(super) fn new(ends: Ends) -> Client {
        Client {
            ends,
            open: AtomicU32::new(0),
            owes_answer: AtomicBool::new(false),
            owes_body: AtomicBool::new(false),
            is_old: AtomicBool::new(false),
            unread: AtomicU32::new(0),
            steps: AtomicU64::new(0),
            interim: Mutex::default(),
        }
    }

    /// Notes a request, until what this returns is dropped. Only clients of HTTP/1.1 are sent informational answers.
    pub(super) fn open(self: &Arc<Self>, version: Version) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.steps.fetch_add(1, Ordering::Relaxed);
        let was_written = !self.owes_answer.swap(true, Ordering::Relaxed);
        self.is_old.store(version == Version::HTTP_10, Ordering::Relaxed);
        if version == Version::HTTP_11 {
            self.interim().is_open = was_written;
        }
        Open { client: Arc::clone(self), is_unread: false }
    }

    /// Returns how many requests are not answered, as far as we are concerned.
    pub(super) fn open_requests(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open_requests() == 0
    }

    /// Returns a number that changes with every step of a request or an answer.
    pub(super) fn progress(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Whether all its answers wait for the client to take what it was given.
    pub(super) fn takes_nothing(&self) -> bool {
        let open = self.open_requests();
        open > 0 && self.unread.load(Ordering::Relaxed) >= open
    }

    /// Whether what is written now belongs to an answer of ours.
    pub(super) fn owes_answer(&self) -> bool {
        self.owes_answer.load(Ordering::Relaxed)
    }

    /// Notes that everything was written; tells whether an answer ended with that.
    pub(super) fn flushed(&self) -> bool {
        self.is_idle() && self.owes_answer.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set_owes_body(&self, owes: bool) {
        self.owes_body.store(owes, Ordering::Relaxed);
    }

    pub(super) fn owes_body(&self) -> bool {
        self.owes_body.load(Ordering::Relaxed)
    }

    /// Whether an answer without a length ends for it where its connection does (RFC 9112 §6.3).
    pub(super) fn is_old(&self) -> bool {
        self.is_old.load(Ordering::Relaxed)
    }

    /// Sends an informational answer ahead, where it would stand right before the request's own; drops it when `most` bytes wait.
    pub(super) fn inform(&self, bytes: &[u8], most: usize) {
        let mut interim = self.interim();
        if interim.is_open && interim.bytes.len() + bytes.len() <= most {
            interim.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes what [`Self::inform`] was given.
    pub(super) fn take_interim(&self) -> Vec<u8> {
        std::mem::take(&mut self.interim().bytes)
    }

    fn interim(&self) -> std::sync::MutexGuard<'_, Interim> {
        self.interim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Open ===

impl Open {
    /// Notes that the client has a frame to take, or that it took it and asks for more.
    pub(super) fn set_unread(&mut self, is: bool) {
        if is != self.is_unread {
            self.is_unread = is;
            let unread = &self.client.unread;
            let _ = if is { unread.fetch_add(1, Ordering::Relaxed) } else { unread.fetch_sub(1, Ordering::Relaxed) };
        }
        self.client.steps.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.set_unread(false);
        self.client.open.fetch_sub(1, Ordering::Relaxed);
    }
}
