//! The last minute of an app's requests: readings of its meter, taken at times.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Reading;

/// How far back it is looked.
const SPAN: Duration = Duration::from_mins(1);

/// Readings of the last minute, oldest first.
pub(super) struct History {
    /// When all was zero.
    begun: Instant,
    samples: Mutex<VecDeque<(Instant, Reading)>>,
}

/// What an app's requests came to within the last minute, or since it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    pub span: Duration,
    pub reading: Reading,
}

// === impl History ===

impl History {
    pub(super) fn new(begun: Instant) -> History {
        History { begun, samples: Mutex::default() }
    }

    /// Keeps a reading, and forgets those from which on more than a minute has passed.
    pub(super) fn sample(&self, now: Instant, reading: Reading) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back((now, reading));
        while samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= SPAN) {
            samples.pop_front();
        }
    }

    /// Returns what came from the oldest kept reading to this one; without any, since the beginning.
    pub(super) fn until(&self, now: Instant, reading: &Reading) -> Recent {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        match samples.iter().find(|(at, _)| now.duration_since(*at) <= SPAN) {
            Some((at, oldest)) => Recent { span: now.duration_since(*at), reading: reading.since(oldest) },
            None => Recent { span: now.duration_since(self.begun), reading: reading.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(requests: u64) -> Reading {
        Reading { classes: [0, requests, 0, 0, 0], ..Reading::default() }
    }

    #[test]
    fn the_last_minute_is_what_came_since_its_first_reading() {
        let begin = Instant::now();
        let history = History::new(begin);
        let at = |seconds| begin + Duration::from_secs(seconds);
        let early = history.until(at(3), &reading(3));
        assert_eq!((early.span, early.reading.requests()), (Duration::from_secs(3), 3));

        for seconds in (0..=100).step_by(5) {
            history.sample(at(seconds), reading(seconds * 10));
        }

        let recent = history.until(at(102), &reading(1020));
        assert_eq!((recent.span, recent.reading.requests()), (Duration::from_secs(57), 570));
        assert_eq!(history.samples.lock().unwrap().len(), 13, "a minute of them is kept");
    }
}
