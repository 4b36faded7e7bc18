//! One ordered stream of what an app and mini said, that goes on over deploys and restarts.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::order::in_order;
use super::permit::Permit;
use crate::command::{Event, LogRecord, LogSource, Reply, Selection};
use crate::deploy::Deployer;
use crate::engine::{AppLine, ContainerSummary};
use crate::error::{Error, Result};
use crate::logs::{Follow, LogLine, Origin, Source, merge};
use crate::model::limits::LOG_TAIL_TIME;
use crate::model::{AppId, ContainerId, Stamp};

type Events = mpsc::Sender<Result<Event>>;

impl Platform {
    pub(super) async fn logs(
        &self,
        permit: &Permit,
        follow: bool,
        lines: usize,
        selection: Selection,
        cancelled: CancellationToken,
    ) -> Result<Reply> {
        let follower = Follower { deployer: self.deployer.clone(), app: permit.app().id.clone(), selection };
        // What comes is listened to before what was is read, so that no line falls between.
        let starts = follower.deployer.starts();
        let place = self.tails.clone().acquire_owned().await.map_err(|err| Error::busy("mini is stopping").because(err))?;
        let Past { told, last, mini_said } = follower.past(lines).await?;
        let (events, reader) = mpsc::channel(256);
        let stopping = self.deployer.stopping().clone();
        self.deployer.in_background(async move {
            let work = async {
                let telling = async {
                    for line in told {
                        send(&events, line).await;
                    }
                };
                if tokio::time::timeout(LOG_TAIL_TIME, telling).await.is_err() {
                    let err = Error::busy("these lines were not read in time").hint("ask for fewer: logs APP -n 1000");
                    let _ = events.send(Err(err)).await;
                    return;
                }
                drop(place);
                if follow {
                    follower.follow(last, mini_said, starts, &events).await;
                }
            };
            tokio::select! {
                () = work => {}
                () = cancelled.cancelled() => {}
                () = events.closed() => {}
                () = stopping.cancelled() => {
                    let err = Error::unavailable("mini is restarting: the logs go on after it").hint("ask again in a moment");
                    let _ = events.send(Err(err)).await;
                }
            }
        });
        Ok(Reply::Lines(reader))
    }
}

/// Reads one app's logs.
struct Follower {
    deployer: Deployer,
    app: AppId,
    selection: Selection,
}

/// What was said, and from where a follower goes on: each line is in one of them.
struct Past {
    told: Vec<LogLine>,
    last: Last,
    mini_said: Follow,
}

/// How far each container has been read.
type Last = HashMap<ContainerId, Mark>;

/// The moments, in nanoseconds, up to which a container's stdout and stderr have been read.
///
/// One each: the engine takes the time of a line before it takes its turn to write it, so only one stream by itself is in order.
#[derive(Clone, Copy)]
struct Mark {
    stdout: i128,
    stderr: i128,
}

// === impl Follower ===

impl Follower {
    /// Returns the last `lines` lines of all that is asked for, and from where to go on.
    async fn past(&self, lines: usize) -> Result<Past> {
        let rooms = self.deployer.rooms();
        let (mut last, mut told) = (Last::new(), Vec::new());
        for container in self.containers().await {
            let lines = rooms.engine.tail(&container.id, lines.max(1)).await.unwrap_or_default();
            last.insert(container.id.clone(), Mark::behind(&lines));
            let lines = lines.into_iter().map(|line| of_container(&container, &line));
            told.push(lines.filter(|line| wants(&self.selection, line)).collect::<Vec<_>>());
        }
        // Read after the containers, or one that is retired meanwhile would be in neither; so it may be in both.
        let selection = self.selection.clone();
        let wanted = move |line: &LogLine| wants(&selection, line);
        let (mut kept, mini_said) = rooms.logs.tail_and_follow(self.app.clone(), lines, wanted).await?;
        let told_live: HashSet<String> = told.iter().flatten().map(ToString::to_string).collect();
        kept.retain(|line| !told_live.contains(&line.to_string()));
        told.insert(0, kept);
        Ok(Past { told: merge(told, lines), last, mini_said })
    }

    /// Lists the containers whose lines are asked for. Without an engine there are the segments: better than nothing.
    async fn containers(&self) -> Vec<ContainerSummary> {
        if matches!(self.selection.source, Some(source) if source != LogSource::App) {
            return Vec::new();
        }
        let engine = &self.deployer.rooms().engine;
        let listed = match engine.check().await {
            Ok(_) => engine.list().await,
            Err(err) => Err(err),
        };
        let all = listed.unwrap_or_else(|err| {
            tracing::warn!(?err, "the engine's logs cannot be read");
            Vec::new()
        });
        // What an attached program prints is its caller's.
        let is_wanted = |container: &ContainerSummary| {
            container.app == self.app && !container.attached && self.selection.wants_app(&container.process_name())
        };
        all.into_iter().filter(is_wanted).collect()
    }

    /// Sends what comes, by its time, until the reader leaves or the app is destroyed.
    async fn follow(&self, last: Last, mini_said: Follow, starts: watch::Receiver<u64>, events: &Events) {
        let (arrive, arriving) = mpsc::channel(256);
        let (ordered, mut lines) = mpsc::channel(256);
        let show = async {
            while let Some(line) = lines.recv().await {
                send(events, line).await;
            }
        };
        tokio::join!(self.gather(last, mini_said, starts, arrive), in_order(arriving, ordered), show);
    }

    /// Collects what comes, from mini and from every container that the app has and will have.
    async fn gather(&self, mut last: Last, mut mini_said: Follow, mut starts: watch::Receiver<u64>, arrive: mpsc::Sender<LogLine>) {
        let mut readers = JoinSet::new();
        let mut attached = Vec::new();
        loop {
            for container in self.containers().await {
                if !attached.contains(&container.id) {
                    attached.push(container.id.clone());
                    let read = last.remove(&container.id).unwrap_or(Mark::START);
                    readers.spawn(read_container(self.deployer.clone(), container, read, arrive.clone()));
                }
            }
            loop {
                tokio::select! {
                    line = mini_said.next() => match line {
                        Some(line) if wants(&self.selection, &line) => drop(arrive.send(line).await),
                        Some(_) => {}
                        None => return,
                    },
                    _ = starts.changed() => break,
                }
            }
        }
    }
}

// === impl Mark ===

impl Mark {
    const START: Mark = Mark { stdout: i128::MIN, stderr: i128::MIN };

    /// Marks the end of a tail. A stream that says nothing in it has said all before it.
    fn behind(lines: &[AppLine]) -> Mark {
        let mut mark = lines.first().map_or(Mark::START, |first| Mark { stdout: first.nanos, stderr: first.nanos });
        for line in lines {
            mark.pass(line);
        }
        mark
    }

    fn pass(&mut self, line: &AppLine) {
        *(if line.stderr { &mut self.stderr } else { &mut self.stdout }) = line.nanos;
    }

    fn is_before(self, line: &AppLine) -> bool {
        line.nanos > if line.stderr { self.stderr } else { self.stdout }
    }

    /// Returns a moment before which everything has been read.
    fn since(self) -> Option<Stamp> {
        let nanos = self.stdout.min(self.stderr);
        (nanos > i128::MIN).then(|| Stamp::from_millis(i64::try_from(nanos / 1_000_000).unwrap_or(0)))
    }
}

/// Follows one container over its restarts until it is removed.
async fn read_container(deployer: Deployer, container: ContainerSummary, mut read: Mark, arrive: mpsc::Sender<LogLine>) {
    let engine = &deployer.rooms().engine;
    loop {
        // `since` is in whole seconds: what is read already comes again, once, at the beginning.
        let before = read;
        let mut lines = engine.follow(&container.id, before.since(), None);
        while let Some(line) = lines.next().await {
            if before.is_before(&line) {
                read.pass(&line);
                if arrive.send(of_container(&container, &line)).await.is_err() {
                    return;
                }
            }
        }
        // The stream ends with the process, and another one says later things; the engine may start it again.
        read = Mark { stdout: read.stdout.max(read.stderr), stderr: read.stdout.max(read.stderr) };
        match engine.inspect(&container.id).await {
            Ok(Some(_)) => tokio::time::sleep(REOPEN_PAUSE).await,
            Ok(None) | Err(_) => return,
        }
    }
}

/// How long a container that ended is left alone before its output is asked for again.
const REOPEN_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

fn of_container(container: &ContainerSummary, line: &AppLine) -> LogLine {
    LogLine::new(line.at, Source::app(&container.process_name()), &line.text)
}

fn wants(selection: &Selection, line: &LogLine) -> bool {
    let is_wanted = match line.source.origin {
        Origin::App => selection.wants_app(line.source.process()),
        Origin::Mini => selection.wants_mini(line.source.process()),
    };
    is_wanted && selection.since.is_none_or(|since| line.at >= since)
}

async fn send(events: &Events, line: LogLine) {
    let record = LogRecord { at: line.at, source: line.source.to_string(), text: line.text().to_owned() };
    // A reader that left ends this by `events.closed()`.
    let _ = events.send(Ok(Event::Log(record))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nanos: i128, stderr: bool) -> AppLine {
        AppLine { at: Stamp::from_millis(0), nanos, text: String::new(), stderr }
    }

    #[test]
    fn a_line_of_one_stream_that_is_older_than_one_of_the_other_is_not_lost() {
        let mark = Mark::behind(&[line(3, false), line(9, false)]);

        assert!(mark.is_before(&line(8, true)));
        assert!(!mark.is_before(&line(8, false)));
        assert!(!mark.is_before(&line(2, true)), "older than the tail");
        assert!(Mark::START.since().is_none());
    }
}
