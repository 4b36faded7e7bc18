//! How long answers took: counts in buckets that grow by a quarter of an octave, fine enough for a p99 and small enough for each core.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps of each doubling: a bucket is at most a quarter wider than its beginning.
const STEPS: usize = 4;
/// The first doubling begins here: 4 units of 1/32 ms. Below it all is one bucket.
const FIRST_UNITS: u64 = 4;
/// From 125 µs to 65.5 s.
const DOUBLINGS: usize = 19;
/// One before and one behind the doublings.
const BUCKETS: usize = DOUBLINGS * STEPS + 2;

/// The living counts of one core.
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

/// How long answers took, as it was at one moment; the difference of two moments is one, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    buckets: [u64; BUCKETS],
    sum_micros: u64,
}

// === impl Histogram ===

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_micros: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(super) fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, latency: &mut Latency) {
        for (sum, count) in latency.buckets.iter_mut().zip(&self.buckets) {
            *sum += count.load(Ordering::Relaxed);
        }
        latency.sum_micros = latency.sum_micros.wrapping_add(self.sum_micros.load(Ordering::Relaxed));
    }
}

// === impl Latency ===

impl Default for Latency {
    fn default() -> Self {
        Latency { buckets: [0; BUCKETS], sum_micros: 0 }
    }
}

impl Latency {
    /// Returns how many answers were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// Returns the time within which `share` of the answers came, as 0.99; the upper end of their bucket. `None` without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rank, and a share of it
        let rank = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let reached = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(end_of(reached.min(BUCKETS - 2))))
    }

    /// Returns the ends of the doublings from half a millisecond on, each with the answers that came within it: what a scraper adds up.
    pub fn cumulated(&self) -> impl Iterator<Item = (Duration, u64)> {
        // Half a millisecond is the end of the second doubling.
        (2..=DOUBLINGS).map(|doublings| {
            let buckets = 1 + doublings * STEPS;
            (Duration::from_micros(end_of(buckets - 1)), self.buckets[..buckets].iter().sum())
        })
    }

    /// Returns what was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Latency) -> Latency {
        let buckets = std::array::from_fn(|at| self.buckets[at].saturating_sub(earlier.buckets[at]));
        Latency { buckets, sum_micros: self.sum_micros.saturating_sub(earlier.sum_micros) }
    }
}

/// Finds the bucket of a length of time by its two highest bits behind the first.
fn bucket_of(micros: u64) -> usize {
    // 1/32 ms; a length that overflows is in the last bucket anyway.
    let units = micros.saturating_mul(4) / 125;
    if units < FIRST_UNITS {
        return 0;
    }
    let doubling = units.ilog2() as usize - 2;
    let step = usize::try_from(units >> doubling & 3).expect("two bits");
    (1 + doubling * STEPS + step).min(BUCKETS - 1)
}

/// Returns where a bucket ends, in microseconds; not for the last one, which does not.
fn end_of(bucket: usize) -> u64 {
    let Some(behind) = bucket.checked_sub(1) else { return FIRST_UNITS * 125 / 4 };
    let units = (STEPS + behind % STEPS + 1) << (behind / STEPS);
    units as u64 * 125 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lengths: impl IntoIterator<Item = Duration>) -> Latency {
        let (histogram, mut latency) = (Histogram::default(), Latency::default());
        lengths.into_iter().for_each(|length| histogram.count(length));
        histogram.add_to(&mut latency);
        latency
    }

    #[test]
    fn every_length_is_in_the_bucket_that_it_fits() {
        let mut before = 0;
        for micros in (0..2_000).chain((2_000..70_000_000).step_by(997)) {
            let bucket = bucket_of(micros);
            assert!(bucket >= before, "{micros} µs went back from {before} to {bucket}");
            if bucket < BUCKETS - 1 {
                assert!(micros <= end_of(bucket), "{micros} µs is behind the end of {bucket}");
            }
            if bucket > 0 {
                assert!(micros + 1 >= end_of(bucket - 1), "{micros} µs is before the beginning of {bucket}");
            }
            before = bucket;
        }
        assert_eq!((bucket_of(u64::MAX), before), (BUCKETS - 1, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_right_to_a_quarter() {
        let latency = counted((1..=1000).map(Duration::from_millis));

        for (share, truth) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let seen = latency.quantile(share).unwrap().as_secs_f64() * 1000.0;
            assert!((truth..=truth * 1.25).contains(&seen), "{share}: {seen} ms instead of {truth} ms");
        }
        assert_eq!(latency.sum(), Duration::from_millis(500_500));
        assert_eq!(Latency::default().quantile(0.5), None);
        assert_eq!(counted([Duration::from_hours(2)]).quantile(0.5), Some(Duration::from_millis(65_536)));
    }

    #[test]
    fn what_a_scraper_adds_up_never_falls_and_begins_at_half_a_millisecond() {
        let latency = counted([400, 600, 3_000, 70_000_000].map(Duration::from_micros));

        let ends: Vec<_> = latency.cumulated().collect();

        assert_eq!(ends[0], (Duration::from_micros(500), 1));
        assert_eq!(ends[1], (Duration::from_millis(1), 2));
        assert_eq!(ends.last(), Some(&(Duration::from_millis(65_536), 3)));
        assert!(ends.is_sorted() && ends.len() == 18);
        assert_eq!(latency.count(), 4);
    }

    #[test]
    fn two_moments_have_a_difference() {
        let (early, late) = (counted([Duration::from_millis(1)]), counted([1, 5, 5].map(Duration::from_millis)));

        let between = late.since(&early);

        assert_eq!((between.count(), between.sum()), (2, Duration::from_millis(10)));
    }
}
