//! What the requests of one app came to: counted on each core by itself, added up by who reads.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::latency::{Histogram, Latency};
use super::recent::{History, Recent};
use crate::model::AppId;

/// The counters of one app since this process knows it.
///
/// Each core counts on cache lines of its own, so that no request waits for another core's; a reader adds them up.
pub struct Meter {
    app: AppId,
    shards: Box<[Shard]>,
    history: History,
}

/// What an app's requests came to at one moment; apart from what is open, it only ever grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Requests that ended, by the hundreds of their status: 1xx (websockets) to 5xx.
    pub classes: [u64; 5],
    pub traffic: Traffic,
    /// From a request's head to its answer's.
    pub latency: Latency,
    /// Bytes of request bodies, and what came through websockets.
    pub received_bytes: u64,
    /// Bytes of answers' bodies, and what went through websockets.
    pub sent_bytes: u64,
    /// Requests that have not ended, websockets among them.
    pub in_flight: u64,
    pub websockets: u64,
    /// Access lines that found no place.
    pub lost_lines: u64,
}

/// Requests of one app since this process knows it; only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Answers completed.
    pub served: u64,
    /// Requests that the proxy answered itself with 502, 503 or 504, and answers that were cut.
    pub failed: u64,
}

/// One request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub status: u16,
    /// From its head to its answer's; `None` when there was none.
    pub first_byte: Option<Duration>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// One core's counters. Two cache lines are fetched at once on x86-64.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    classes: [AtomicU64; 5],
    served: AtomicU64,
    failed: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    /// A request may begin on one core and end on another: only the sum is true.
    in_flight: AtomicI64,
    websockets: AtomicI64,
    lost_lines: AtomicU64,
    latency: Histogram,
}

/// More cores than these share.
const MOST_SHARDS: usize = 64;

static SHARDS: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_SHARDS).next_power_of_two());
static NEXT_CORE: AtomicUsize = AtomicUsize::new(0);

// === impl Meter ===

impl Meter {
    #[must_use]
    pub fn new(app: AppId) -> Meter {
        Meter { app, shards: (0..*SHARDS).map(|_| Shard::default()).collect(), history: History::new(Instant::now()) }
    }

    /// Returns whose requests are counted.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.app
    }

    /// Counts a request that has begun; [`Self::ended`] comes once for each.
    pub fn begun(&self) {
        self.shard().in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that has ended, however.
    pub fn ended(&self, request: &Ended) {
        let shard = self.shard();
        shard.in_flight.fetch_sub(1, Ordering::Relaxed);
        let class = usize::from(request.status / 100).clamp(1, shard.classes.len()) - 1;
        shard.classes[class].fetch_add(1, Ordering::Relaxed);
        if let Some(took) = request.first_byte {
            shard.latency.count(took);
        }
        for (sum, bytes) in [(&shard.received_bytes, request.received_bytes), (&shard.sent_bytes, request.sent_bytes)] {
            if bytes > 0 {
                sum.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    /// Counts a completed answer.
    pub fn answered(&self) {
        self.shard().served.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a 502, 503, 504 of the proxy's own, or a cut answer.
    pub fn failed(&self) {
        self.shard().failed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn websocket_opened(&self) {
        self.shard().websockets.fetch_add(1, Ordering::Relaxed);
    }

    pub fn websocket_closed(&self) {
        self.shard().websockets.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn line_lost(&self) {
        self.shard().lost_lines.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what a deploy tells: cheaper than [`Self::read`].
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let sum = |of: fn(&Shard) -> &AtomicU64| self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum();
        Traffic { served: sum(|shard| &shard.served), failed: sum(|shard| &shard.failed) }
    }

    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = Reading { traffic: self.traffic(), ..Reading::default() };
        let (mut in_flight, mut websockets) = (0, 0);
        for shard in &self.shards {
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            for (sum, class) in reading.classes.iter_mut().zip(&shard.classes) {
                *sum += load(class);
            }
            reading.received_bytes += load(&shard.received_bytes);
            reading.sent_bytes += load(&shard.sent_bytes);
            reading.lost_lines += load(&shard.lost_lines);
            in_flight += shard.in_flight.load(Ordering::Relaxed);
            websockets += shard.websockets.load(Ordering::Relaxed);
            shard.latency.add_to(&mut reading.latency);
        }
        // Between two shards a request may have ended that was not seen to begin.
        reading.in_flight = u64::try_from(in_flight).unwrap_or(0);
        reading.websockets = u64::try_from(websockets).unwrap_or(0);
        reading
    }

    /// Keeps a reading for [`Self::recent`].
    pub(super) fn sample(&self) {
        self.history.sample(Instant::now(), self.read());
    }

    /// Returns what the requests of the last minute came to.
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.history.until(Instant::now(), &self.read())
    }

    fn shard(&self) -> &Shard {
        &self.shards[core() & (self.shards.len() - 1)]
    }
}

/// A number of this thread's own: each core of the proxy has one thread.
fn core() -> usize {
    thread_local!(static CORE: Cell<Option<usize>> = const { Cell::new(None) });
    CORE.get().unwrap_or_else(|| {
        let core = NEXT_CORE.fetch_add(1, Ordering::Relaxed);
        CORE.set(Some(core));
        core
    })
}

// === impl Reading ===

impl Reading {
    /// Returns how many requests ended.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// Returns how many of them were answered with 5xx, by the app or in its place.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.classes[4]
    }

    /// Returns what came since `earlier`; what is open is open now.
    #[must_use]
    pub fn since(&self, earlier: &Reading) -> Reading {
        let less = |now: u64, before: u64| now.saturating_sub(before);
        Reading {
            classes: std::array::from_fn(|at| less(self.classes[at], earlier.classes[at])),
            traffic: Traffic {
                served: less(self.traffic.served, earlier.traffic.served),
                failed: less(self.traffic.failed, earlier.traffic.failed),
            },
            latency: self.latency.since(&earlier.latency),
            received_bytes: less(self.received_bytes, earlier.received_bytes),
            sent_bytes: less(self.sent_bytes, earlier.sent_bytes),
            lost_lines: less(self.lost_lines, earlier.lost_lines),
            in_flight: self.in_flight,
            websockets: self.websockets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u16) -> Ended {
        Ended { status, first_byte: Some(Duration::from_millis(3)), received_bytes: 2, sent_bytes: 10 }
    }

    #[test]
    fn cores_count_apart_and_are_read_together() {
        let meter = Meter::new(AppId::random());

        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for status in [101, 200, 204, 301, 404, 499, 502, 999] {
                        meter.begun();
                        meter.ended(&ended(status));
                    }
                    meter.answered();
                    meter.failed();
                    meter.begun();
                });
            }
        });

        let reading = meter.read();
        assert_eq!(reading.classes, [4, 8, 4, 8, 8]);
        assert_eq!((reading.requests(), reading.errors(), reading.in_flight), (32, 8, 4));
        assert_eq!((reading.received_bytes, reading.sent_bytes, reading.latency.count()), (64, 320, 32));
        assert_eq!(meter.traffic(), Traffic { served: 4, failed: 4 });
    }

    #[test]
    fn what_begins_on_one_core_may_end_on_another() {
        let meter = Meter::new(AppId::random());
        meter.begun();
        meter.websocket_opened();
        assert_eq!((meter.read().in_flight, meter.read().websockets), (1, 1));

        thread::scope(|scope| {
            scope.spawn(|| {
                meter.websocket_closed();
                meter.ended(&ended(101));
            });
        });

        assert_eq!((meter.read().in_flight, meter.read().websockets), (0, 0));
    }

    #[test]
    fn the_past_is_subtracted_and_what_is_open_is_not() {
        let meter = Meter::new(AppId::random());
        meter.begun();
        meter.ended(&ended(200));
        let before = meter.read();
        meter.begun();
        meter.ended(&ended(503));
        meter.begun();

        let between = meter.read().since(&before);

        assert_eq!((between.requests(), between.errors(), between.in_flight, between.sent_bytes), (1, 1, 1, 10));
        assert_eq!(between.latency.count(), 1);
    }
}
