//! Wrong tokens, counted by the address they come from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::limits::{TOKEN_FAILURES, TOKEN_FAILURES_TIME};
use crate::model::network_of;

/// Addresses remembered at once. A crowd larger than this is counted less exactly, and 256 random bits are guessed by none.
const MAX_ADDRESSES: usize = 10_000;

/// Counts failures in windows that begin with the first one. Good tokens are never asked for here: whoever shares an office, or
/// an attacker's network, is not locked out with him.
#[derive(Default)]
pub(super) struct Failures {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

struct Window {
    since: Instant,
    count: u32,
}

// === impl Failures ===

impl Failures {
    /// Counts a failure; returns how long to wait once there were too many.
    pub fn count(&self, address: IpAddr) -> Option<Duration> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let address = network_of(address);
        if windows.len() >= MAX_ADDRESSES && !windows.contains_key(&address) {
            make_place(&mut windows, now);
        }
        let window = windows.entry(address).or_insert(Window { since: now, count: 0 });
        if window.left(now).is_zero() {
            *window = Window { since: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        (window.count > TOKEN_FAILURES).then(|| window.left(now))
    }
}

/// Forgets windows that are over; where all are open, the oldest.
fn make_place(windows: &mut HashMap<IpAddr, Window>, now: Instant) {
    windows.retain(|_, window| !window.left(now).is_zero());
    if windows.len() >= MAX_ADDRESSES {
        let oldest = windows.iter().min_by_key(|(_, window)| window.since).map(|(address, _)| *address);
        oldest.and_then(|address| windows.remove(&address));
    }
}

// === impl Window ===

impl Window {
    fn left(&self, now: Instant) -> Duration {
        TOKEN_FAILURES_TIME.saturating_sub(now.duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_for_one_address_and_one_minute() {
        let failures = Failures::default();

        let first: Vec<bool> = (0..TOKEN_FAILURES).map(|_| failures.count(ip("2001:db8::1")).is_some()).collect();

        assert!(!first.contains(&true));
        assert_eq!(failures.count(ip("2001:db8::2")), Some(TOKEN_FAILURES_TIME), "the same /64 has another limit");
        assert_eq!(failures.count(ip("2001:db8:0:1::1")), None);
        tokio::time::advance(TOKEN_FAILURES_TIME).await;
        assert_eq!(failures.count(ip("2001:db8::1")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_not_remembered_for_ever() {
        let failures = Failures::default();

        for number in 0..20_000_u32 {
            failures.count(std::net::Ipv4Addr::from_bits(number).into());
        }

        assert_eq!(failures.windows.lock().unwrap().len(), MAX_ADDRESSES);
    }
}
