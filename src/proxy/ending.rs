//! The end of connections, in two calls: finish what you have begun; and now.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// What connections are called to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    GoOn,
    /// Finish what you have begun, and take nothing new.
    Finish,
    /// End at once.
    Cut,
}

/// Connections of one core that end together.
pub(super) struct Cohort {
    pub(super) tasks: TaskTracker,
    call: Cell<Call>,
    bell: Arc<Notify>,
}

/// Resolves when a cohort is called at least so far. Its ear is put to the bell once and then costs a look at a cell each time it
/// is polled, which is at every wake of its connection.
pub(super) struct Until {
    cohort: Rc<Cohort>,
    call: Call,
    heard: Call,
    ring: Option<Pin<Box<OwnedNotified>>>,
}

// === impl Cohort ===

impl Cohort {
    /// Makes a cohort that was called to `call` already.
    pub(super) fn new(call: Call) -> Rc<Cohort> {
        Rc::new(Cohort { tasks: TaskTracker::new(), call: Cell::new(call), bell: Arc::default() })
    }

    /// Calls all members; what was called does not become less.
    pub(super) fn call(&self, call: Call) {
        self.call.set(call.max(self.call.get()));
        self.bell.notify_waiters();
    }

    pub(super) fn is_called(&self, call: Call) -> bool {
        self.call.get() >= call
    }

    pub(super) fn until(self: &Rc<Self>, call: Call) -> Until {
        Until { cohort: Rc::clone(self), call, heard: Call::GoOn, ring: None }
    }

    /// Waits until all have ended, and cuts those that have not after `grace`.
    pub(super) async fn end(&self, grace: Duration) {
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::info!(connections = self.tasks.len(), "cutting what is still running");
            self.call(Call::Cut);
            self.tasks.wait().await;
        }
    }
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let called = self.cohort.call.get();
        if called >= self.call {
            return Poll::Ready(());
        }
        if self.ring.is_none() || called != self.heard {
            self.heard = called;
            let mut ring = Box::pin(Arc::clone(&self.cohort.bell).notified_owned());
            // Puts the ear to the bell; nobody rings between the look at the cell and this, on one thread.
            let _ = ring.as_mut().poll(cx);
            self.ring = Some(ring);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_reaches_those_who_wait_for_it_and_no_others() {
        let cohort = Cohort::new(Call::GoOn);
        let (mut finish, mut cut) = (cohort.until(Call::Finish), cohort.until(Call::Cut));
        let soon = Duration::from_millis(1);
        assert!(timeout(soon, &mut finish).await.is_err() && timeout(soon, &mut cut).await.is_err());

        cohort.call(Call::Finish);
        assert!(timeout(soon, finish).await.is_ok());
        assert!(timeout(soon, &mut cut).await.is_err());

        cohort.call(Call::Cut);
        assert!(timeout(soon, cut).await.is_ok());
        assert!(timeout(soon, cohort.until(Call::Finish)).await.is_ok());
    }
}
