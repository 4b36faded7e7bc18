//! The verb that looks at everything the server stands on, and says what mends what is wrong.

mod host;
mod isolation;
mod reach;

use tokio::sync::mpsc;

use super::Platform;
use super::permit::Permit;
use crate::command::{Check, Event, Reply, Verdict};
use crate::error::Error;

/// Makes a check that came out well.
fn good(name: &str, seen: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Good, seen: seen.into(), mend: None }
}

/// Makes a check that may be meant so, or could not be done.
fn doubtful(name: &str, seen: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Doubtful, seen: seen.into(), mend: None }
}

/// Makes a check that found something wrong.
fn bad(name: &str, seen: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Bad, seen: seen.into(), mend: Some(mend.into()) }
}

/// Makes a bad check of an error: its hint is what mends it.
fn wrong(name: &str, err: &Error) -> Check {
    let mend = err.next_step().unwrap_or("look at the server's own log");
    let lines: Vec<&str> = std::iter::once(mend).chain(err.detail_lines().iter().map(String::as_str)).collect();
    bad(name, err.sentence(), lines.join("\n"))
}

impl Platform {
    /// Checks one thing after the other, each told as soon as it is known. It ends in an error if anything is bad.
    pub(super) fn doctor(&self, _permit: &Permit) -> Reply {
        let (events, lines) = mpsc::channel(64);
        let platform = self.clone();
        // A caller who leaves is no reason to leave a trial's container behind.
        self.deployer.in_background(async move {
            let (mut all, mut bad) = (0, 0);
            for part in 0..PARTS {
                for check in Box::pin(platform.examine(part)).await {
                    all += 1;
                    bad += usize::from(check.verdict == Verdict::Bad);
                    let _ = events.send(Ok(Event::Check(check))).await;
                }
            }
            if bad > 0 {
                let sentence = format!("{bad} of {all} checks found something wrong");
                let _ = events.send(Err(Error::failed(sentence).hint("mend what is marked ✗, then: ssh mini doctor"))).await;
            }
        });
        Reply::Lines(lines)
    }

    /// Makes the checks of one part; quick ones come first.
    async fn examine(&self, part: usize) -> Vec<Check> {
        match part {
            0 => vec![self.check_engine().await, self.check_git()],
            1 => vec![self.check_ssh().await, self.check_http().await],
            2 => self.check_disks().await,
            3 => vec![self.check_data_dir(), self.check_key(), self.check_database().await, self.check_clock()],
            4 => vec![self.check_names().await, self.check_reach().await],
            5 => vec![self.check_firewall().await],
            _ => self.check_isolation().await,
        }
    }
}

const PARTS: usize = 7;
