//! One timer for one wait after the other, as requests on a connection are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is moved only where it must be: to an earlier deadline, or when it fired too early. Deadlines mostly move on with each
/// request, and putting a timer into the runtime's wheel and taking it out again each time would cost more than the wait itself.
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Alarm ===

impl Alarm {
    /// Resolves at the deadline; the task is woken for it, and now and then for an earlier one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_in_time_whether_the_deadline_before_was_later_or_earlier() {
        let (begun, mut alarm) = (Instant::now(), Alarm::default());
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(poll_fn(|cx| Poll::Ready(alarm.poll(cx, after(60)))).await.is_pending());

        for deadline in [10, 30, 31] {
            poll_fn(|cx| alarm.poll(cx, after(deadline))).await;

            assert_eq!(begun.elapsed().as_secs(), deadline);
        }
    }
}
