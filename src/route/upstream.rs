//! One address of a release: how many requests are on it, and whether it refused the last one.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::model::limits::{REFUSED_PAUSE, REFUSED_RETRY};

/// An address that answers for a release.
pub(super) struct Upstream {
    address: SocketAddr,
    text: Box<str>,
    in_flight: AtomicUsize,
    /// Milliseconds on [`CLOCK`] at which it last refused, or was last asked after that; zero while it takes what comes.
    refused: AtomicU64,
}

/// How much a request may expect of an upstream, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It refused a while ago: one request may find out whether it is back.
    Due,
    Open,
    /// It refused a moment ago.
    Shunned,
}

static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);

// === impl Upstream ===

impl Upstream {
    pub(super) fn new(address: SocketAddr) -> Upstream {
        Upstream { address, text: address.to_string().into(), in_flight: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address as lines write it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finish(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn standing(&self) -> Standing {
        match self.refused.load(Ordering::Relaxed) {
            0 => Standing::Open,
            since if is_past(since, REFUSED_PAUSE) => Standing::Due,
            _ => Standing::Shunned,
        }
    }

    /// Whether a request may go here: always, or, after a refusal, one request each [`REFUSED_PAUSE`].
    pub(super) fn admit(&self) -> bool {
        self.refused.load(Ordering::Relaxed) == 0 || self.claim(REFUSED_PAUSE)
    }

    /// Whether a request that found nobody else may ask here again: one request each [`REFUSED_RETRY`].
    pub(super) fn retry(&self) -> bool {
        self.refused.load(Ordering::Relaxed) == 0 || self.claim(REFUSED_RETRY)
    }

    pub(super) fn refuse(&self) {
        self.refused.store(now(), Ordering::Relaxed);
    }

    pub(super) fn accept(&self) {
        if self.refused.load(Ordering::Relaxed) != 0 {
            self.refused.store(0, Ordering::Relaxed);
        }
    }

    fn claim(&self, pause: Duration) -> bool {
        let since = self.refused.load(Ordering::Relaxed);
        is_past(since, pause) && self.refused.compare_exchange(since, now(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn is_past(since: u64, pause: Duration) -> bool {
    u128::from(now().saturating_sub(since)) >= pause.as_millis()
}

/// Never zero, which stands for "never".
fn now() -> u64 {
    u64::try_from(CLOCK.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}
