//! Lines that come by several ways, put in the order of their times before a reader sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::logs::LogLine;

/// How long a line waits for older ones: build lines come in batches, the engine's lines over a socket.
const WAIT: Duration = Duration::from_millis(300);

/// Lines that wait at once; of more, the oldest go on.
const WAITING_LINES: usize = 1024;

/// Hands lines on in the order of their times, each at most [`WAIT`] after it came; ends with what `arriving` held.
pub(super) async fn in_order(mut arriving: mpsc::Receiver<LogLine>, ordered: mpsc::Sender<LogLine>) {
    let mut waiting = BTreeMap::new();
    let mut number = 0_u64;
    loop {
        let now = Instant::now();
        let oldest = waiting.first_key_value().map(|(_, (due, _))| *due);
        let due = if waiting.len() < WAITING_LINES { oldest } else { Some(now) };
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {
                let Some((_, (_, line))) = waiting.pop_first() else { continue };
                if ordered.send(line).await.is_err() {
                    return;
                }
            }
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
    use super::*;
    use crate::logs::Source;
    use crate::model::Stamp;

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
}
