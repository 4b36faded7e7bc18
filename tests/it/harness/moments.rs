//! Moments that are spread over a length of time, and the same in each run.

use std::time::Duration;

/// A linear congruence from a fixed seed, without an end.
pub struct Moments {
    state: u64,
    within: Duration,
}

impl Moments {
    /// Moments from 0 up to `within`, in whole milliseconds.
    pub fn within(within: Duration, seed: u64) -> Self {
        Moments { state: seed, within }
    }
}

impl Iterator for Moments {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let span = u64::try_from(self.within.as_millis()).expect("a test's span is short");
        Some(Duration::from_millis((self.state >> 33) % span))
    }
}
