//! Where requests of an app wait while nothing of it answers for a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// The requests of one app that wait for its next change.
#[derive(Debug)]
pub struct WaitingRoom {
    changes: watch::Sender<()>,
    taken: AtomicUsize,
}

/// One request that waits; it sees every change since it came. Dropping it makes room.
#[derive(Debug)]
pub struct Waiting {
    room: Arc<WaitingRoom>,
    changes: watch::Receiver<()>,
}

// === impl WaitingRoom ===

impl Default for WaitingRoom {
    fn default() -> Self {
        WaitingRoom { changes: watch::Sender::new(()), taken: AtomicUsize::new(0) }
    }
}

impl WaitingRoom {
    /// Lets a request in, unless `at_most` wait already. Look the route up *after* this: earlier changes are not told.
    #[must_use]
    pub fn enter(self: &Arc<Self>, at_most: usize) -> Option<Waiting> {
        let more = |taken: usize| (taken < at_most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Waiting { room: Arc::clone(self), changes: self.changes.subscribe() })
    }

    /// Returns how many wait.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn wake(&self) {
        self.changes.send_replace(());
    }
}

// === impl Waiting ===

impl Waiting {
    /// Waits for the next change of the app; one that came since the last wait counts.
    pub async fn changed(&mut self) {
        self.changes.changed().await.expect("the room, which we hold, owns the sender");
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_between_the_look_and_the_wait_is_not_missed() {
        let room = Arc::new(WaitingRoom::default());
        room.wake();
        let mut waiting = room.enter(1).unwrap();
        assert!(timeout(Duration::from_secs(1), waiting.changed()).await.is_err());

        room.wake();

        assert!(timeout(Duration::from_secs(1), waiting.changed()).await.is_ok());
        assert!(timeout(Duration::from_secs(1), waiting.changed()).await.is_err());
    }

    #[test]
    fn who_leaves_makes_room() {
        let room = Arc::new(WaitingRoom::default());
        let first = room.enter(1).unwrap();
        assert!(room.enter(1).is_none());

        drop(first);

        assert!(room.enter(1).is_some());
        assert_eq!(room.taken(), 0);
    }
}
