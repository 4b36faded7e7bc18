//! Lines that come by several ways, put in the order of their times before a reader sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::logs::LogLine;
use crate::model::Stamp;

/// How long a line waits for older ones: build lines come in batches, the engine's lines over a socket.
const WAIT: Duration = Duration::from_millis(300);

/// Lines that wait at once; of more, the oldest go on.
const WAITING_LINES: usize = 1024;

/// Hands lines on in the order of their times, each at most [`WAIT`] after it came; ends with what `arriving` held.
pub(super) async fn in_order(mut arriving: mpsc::Receiver<LogLine>, ordered: mpsc::Sender<LogLine>) {
    let mut waiting = BTreeMap::<(Stamp, u64), (Instant, LogLine)>::new();
    let mut number = 0_u64;
    loop {
        let is_full = waiting.len() >= WAITING_LINES;
        let oldest = waiting.first_entry();
        let due = oldest.as_ref().map(|oldest| oldest.get().0);
        // Without a timer: even that of a moment that has passed fires a little later, and lines go on coming.
        if let Some(oldest) = oldest.filter(|oldest| is_full || oldest.get().0 <= Instant::now()) {
            if ordered.send(oldest.remove().1).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            line = arriving.recv() => match line {
                Some(line) => {
                    // Lines of one moment stay in the order in which they came.
                    number += 1;
                    waiting.insert((line.at, number), (Instant::now() + WAIT, line));
                }
                None => break,
            },
        }
    }
    for (_, line) in waiting.into_values() {
        if ordered.send(line).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::task::unconstrained;

    use super::*;
    use crate::logs::Source;

    fn line(at: i64, text: &str) -> LogLine {
        LogLine::new(Stamp::from_millis(at), Source::app("web.1"), text)
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_line_stands_where_it_belongs_and_no_line_waits_for_ever() {
        let (arrive, arriving) = mpsc::channel(8);
        let (ordered, mut shown) = mpsc::channel::<LogLine>(8);
        let begun = Instant::now();
        let feed = async {
            for line in [line(20, "b"), line(20, "c"), line(10, "a")] {
                arrive.send(line).await.unwrap();
            }
            let mut seen = Vec::new();
            for _ in 0..3 {
                seen.push(shown.recv().await.unwrap().text().to_owned());
            }
            assert_eq!(seen, ["a", "b", "c"]);
            assert!(begun.elapsed() < 2 * WAIT);
            arrive.send(line(30, "last")).await.unwrap();
            drop(arrive);
            assert_eq!(shown.recv().await.unwrap().text(), "last");
            assert!(shown.recv().await.is_none());
        };

        tokio::join!(in_order(arriving, ordered), feed);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_only_so_many_lines_wait() {
        let (arrive, arriving) = mpsc::channel(10 * WAITING_LINES);
        let (ordered, mut shown) = mpsc::channel(10 * WAITING_LINES);
        for at in 0..5 * WAITING_LINES {
            arrive.try_send(line(i64::try_from(at).unwrap(), "more")).unwrap();
        }

        assert!(unconstrained(in_order(arriving, ordered)).now_or_never().is_none());

        let mut count = 0;
        while shown.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 4 * WAITING_LINES + 1);
    }
}
