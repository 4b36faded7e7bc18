//! Following a log: the lines from now on, for as long as somebody reads.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::broadcast;
use tokio_stream::Stream;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::{LogLine, Source};
use crate::model::Stamp;

/// Lines that wait for a slow reader; older ones are skipped, the writer never waits.
pub(super) const WAITING_LINES: usize = 1024;

/// A stream of the lines appended from now on; ends when the app's log is removed.
///
/// A reader that falls behind sees `mini[logs]: (skipped 12 lines)` in the place of what it missed.
pub struct Follow {
    said: BroadcastStream<LogLine>,
    /// Apart, so that a flood of them makes nobody miss what was said.
    requests: Option<BroadcastStream<LogLine>>,
}

// === impl Follow ===

impl Follow {
    pub(super) fn new(said: broadcast::Receiver<LogLine>, requests: Option<broadcast::Receiver<LogLine>>) -> Self {
        Follow { said: BroadcastStream::new(said), requests: requests.map(BroadcastStream::new) }
    }
}

impl Stream for Follow {
    type Item = LogLine;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LogLine>> {
        if let said @ Poll::Ready(_) = poll_lines(&mut self.said, cx) {
            return said;
        }
        match self.requests.as_mut().map(|requests| poll_lines(requests, cx)) {
            Some(Poll::Ready(None)) => self.requests = None,
            Some(Poll::Ready(line)) => return Poll::Ready(line),
            Some(Poll::Pending) | None => {}
        }
        Poll::Pending
    }
}

fn poll_lines(lines: &mut BroadcastStream<LogLine>, cx: &mut Context<'_>) -> Poll<Option<LogLine>> {
    let next = Pin::new(lines).poll_next(cx);
    next.map(|next| next.map(|line| line.unwrap_or_else(|BroadcastStreamRecvError::Lagged(count)| skipped(count, Stamp::now()))))
}

/// Makes the line that stands for `count` lost ones before `at`.
pub(super) fn skipped(count: u64, at: Stamp) -> LogLine {
    LogLine::new(at, Source::mini("logs"), &format!("(skipped {count} lines)"))
}
