//! What is told to somebody who may listen slowly: a queue of bounded size that leaves out the oldest, and says how much.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::limits::BACKLOG_BYTES;

/// What one entry takes besides its text.
const ENTRY_BYTES: usize = 64;

/// The end that tells and never waits; a clone tells the same listener.
pub struct Teller<T> {
    shared: Arc<Shared<T>>,
}

/// The end that listens.
pub struct Listener<T> {
    shared: Arc<Shared<T>>,
}

/// What has come since the listener looked last, in its order.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// How many were left out before these.
    pub skipped: u64,
    pub items: Vec<T>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    arrived: Notify,
}

struct Queue<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    skipped: u64,
    tellers: usize,
    is_heard: bool,
}

/// Makes a queue of at most [`BACKLOG_BYTES`].
#[must_use]
pub fn backlog<T>() -> (Teller<T>, Listener<T>) {
    let queue = Queue { waiting: VecDeque::new(), bytes: 0, skipped: 0, tellers: 1, is_heard: true };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), arrived: Notify::new() });
    (Teller { shared: Arc::clone(&shared) }, Listener { shared })
}

/// Says in a line's place that lines were left out.
#[must_use]
pub fn skipped(count: u64) -> String {
    format!("(skipped {count} {})", if count == 1 { "line" } else { "lines" })
}

// === impl Shared ===

impl<T> Shared<T> {
    /// A panic elsewhere leaves nothing half done in here.
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Queue ===

impl<T> Queue<T> {
    /// Leaves out the oldest that may be left out.
    fn fit(&mut self) {
        while self.bytes > BACKLOG_BYTES {
            let Some(oldest) = self.waiting.iter().position(|(_, bytes)| *bytes > 0) else { return };
            let left_out = self.waiting.remove(oldest).map_or(0, |(_, bytes)| bytes);
            self.bytes -= left_out;
            self.skipped += 1;
        }
    }
}

// === impl Teller ===

impl<T> Teller<T> {
    /// Tells a line of `text_bytes`; when too many wait, the oldest ones are left out.
    pub fn tell(&self, item: T, text_bytes: usize) {
        self.push(item, text_bytes + ENTRY_BYTES);
    }

    /// Tells what is never left out, such as one of a few steps.
    pub fn tell_surely(&self, item: T) {
        self.push(item, 0);
    }

    fn push(&self, item: T, bytes: usize) {
        let mut queue = self.shared.queue();
        if !queue.is_heard {
            return;
        }
        queue.bytes += bytes;
        queue.waiting.push_back((item, bytes));
        queue.fit();
        drop(queue);
        self.shared.arrived.notify_one();
    }
}

impl<T> Clone for Teller<T> {
    fn clone(&self) -> Self {
        self.shared.queue().tellers += 1;
        Teller { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.shared.queue().tellers -= 1;
        self.shared.arrived.notify_one();
    }
}

// === impl Listener ===

impl<T> Listener<T> {
    /// Waits for what comes next; `None` when all has been heard and nobody is left to tell more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Batch<T>> {
        loop {
            {
                let mut queue = self.shared.queue();
                if !queue.waiting.is_empty() {
                    queue.bytes = 0;
                    let items = std::mem::take(&mut queue.waiting).into_iter().map(|(item, _)| item).collect();
                    return Some(Batch { skipped: std::mem::take(&mut queue.skipped), items });
                }
                if queue.tellers == 0 || !queue.is_heard {
                    return None;
                }
            }
            self.shared.arrived.notified().await;
        }
    }

    /// Takes no more than what waits already.
    pub fn close(&mut self) {
        self.shared.queue().is_heard = false;
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.is_heard = false;
        queue.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_who_is_late_hears_the_newest_and_how_many_it_missed() {
        let (teller, mut listener) = backlog();
        teller.tell_surely("a step".to_owned());

        for number in 0..10 {
            teller.tell(format!("line {number}"), BACKLOG_BYTES / 4);
        }
        drop(teller);

        let heard = listener.next().await.unwrap();
        assert_eq!(heard.skipped, 7);
        assert_eq!(heard.items, ["a step", "line 7", "line 8", "line 9"]);
        assert_eq!(listener.next().await, None);
    }

    #[tokio::test]
    async fn what_waits_is_heard_after_the_end_and_what_comes_later_is_not() {
        let (teller, mut listener) = backlog();
        teller.clone().tell("before", 6);

        listener.close();
        teller.tell("after", 5);

        assert_eq!(listener.next().await.unwrap().items, ["before"]);
        assert_eq!(listener.next().await, None);
    }

    #[tokio::test]
    async fn a_listener_that_left_costs_nothing() {
        let (teller, listener) = backlog();
        teller.tell(1, 8);

        drop(listener);
        teller.tell(2, 8);

        assert!(teller.shared.queue().waiting.is_empty());
    }
}
