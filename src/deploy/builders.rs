//! The queue for the builders: a few builds at once, the others in the order in which they came, each knowing its place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// All builders; clones share them.
#[derive(Clone)]
pub(super) struct Builders {
    inner: Arc<Inner>,
}

struct Inner {
    at_once: usize,
    /// Builds that run and builds that wait, by the order in which they came.
    queue: Mutex<VecDeque<u64>>,
    /// Counts the changes of the queue.
    changes: watch::Sender<u64>,
    last: Mutex<u64>,
}

/// A place in the queue; dropped, those behind move up.
pub(super) struct Place {
    builders: Builders,
    number: u64,
}

// === impl Builders ===

impl Builders {
    pub(super) fn new(at_once: usize) -> Self {
        let inner = Inner { at_once, queue: Mutex::default(), changes: watch::Sender::new(0), last: Mutex::default() };
        Builders { inner: Arc::new(inner) }
    }

    /// Takes the last place of the queue.
    pub(super) fn queue_up(&self) -> Place {
        let mut queue = locked(&self.inner.queue);
        let mut last = locked(&self.inner.last);
        *last += 1;
        queue.push_back(*last);
        Place { builders: self.clone(), number: *last }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Place ===

impl Place {
    /// Waits until a builder is free; `tell` hears how many builds come before this one, whenever that changes. Cancel-safe.
    pub(super) async fn wait(&self, mut tell: impl FnMut(usize)) {
        let mut changes = self.builders.inner.changes.subscribe();
        let mut told = None;
        loop {
            changes.mark_unchanged();
            let before = self.before();
            if before < self.builders.inner.at_once {
                return;
            }
            if told.replace(before) != Some(before) {
                tell(before);
            }
            // The sender lives as long as this place.
            let _ = changes.changed().await;
        }
    }

    fn before(&self) -> usize {
        locked(&self.builders.inner.queue).iter().position(|number| *number == self.number).unwrap_or(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.builders.inner.queue).retain(|number| *number != self.number);
        self.builders.inner.changes.send_modify(|changes| *changes += 1);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn builds_wait_in_their_order_and_are_told_their_place_when_it_changes() {
        let builders = Builders::new(2);
        let running = [builders.queue_up(), builders.queue_up()];
        for place in &running {
            place.wait(|_| panic!("a builder is free")).await;
        }
        let (third, fourth) = (builders.queue_up(), builders.queue_up());
        let told = RefCell::new(Vec::new());

        let mut third_waits = Box::pin(third.wait(|before| told.borrow_mut().push(("third", before))));
        let mut fourth_waits = Box::pin(fourth.wait(|before| told.borrow_mut().push(("fourth", before))));
        assert!(poll!(&mut third_waits).is_pending() && poll!(&mut fourth_waits).is_pending());
        assert!(poll!(&mut fourth_waits).is_pending(), "told once");
        let [first, second] = running;
        drop(second);
        assert!(poll!(&mut third_waits).is_ready() && poll!(&mut fourth_waits).is_pending());
        drop(first);
        assert!(poll!(&mut fourth_waits).is_ready());

        assert_eq!(*told.borrow(), [("third", 2), ("fourth", 3), ("fourth", 2)]);
    }

    #[tokio::test]
    async fn who_gives_up_lets_those_behind_move_up() {
        let builders = Builders::new(1);
        let running = builders.queue_up();
        let (second, third) = (builders.queue_up(), builders.queue_up());

        drop(second);
        drop(running);

        third.wait(|before| panic!("{before} builds before the only one")).await;
    }
}
