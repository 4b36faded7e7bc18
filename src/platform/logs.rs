//! One ordered stream of what an app and mini said, that goes on over deploys and restarts.

use std::collections::HashMap;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Event, LogRecord, Reply};
use crate::deploy::Deployer;
use crate::engine::{AppLine, ContainerSummary};
use crate::error::Result;
use crate::logs::{LogLine, Source, merge};
use crate::model::{AppId, ContainerId};

type Events = mpsc::Sender<Result<Event>>;

impl Platform {
    pub(super) async fn logs(&self, permit: &Permit, follow: bool, lines: usize, cancelled: CancellationToken) -> Result<Reply> {
        let app = permit.app().id.clone();
        let follower = Follower::new(self.deployer.clone(), app);
        // What comes is listened to before what was is read, so that no line falls between.
        let mini_said = follower.deployer.rooms().logs.follow(follower.app.clone());
        let starts = follower.deployer.starts();
        let (past, last) = follower.past(lines).await?;
        let (events, reader) = mpsc::channel(256);
        self.deployer.in_background(async move {
            let work = async {
                for line in past {
                    send(&events, line).await;
                }
                if follow {
                    follower.follow(last, mini_said, starts, &events).await;
                }
            };
            tokio::select! {
                () = work => {}
                () = cancelled.cancelled() => {}
                () = events.closed() => {}
            }
        });
        Ok(Reply::Lines(reader))
    }
}

/// Reads one app's logs.
struct Follower {
    deployer: Deployer,
    app: AppId,
}

/// The moment of the last line that was read of each container, in nanoseconds.
type Last = HashMap<ContainerId, i128>;

// === impl Follower ===

impl Follower {
    fn new(deployer: Deployer, app: AppId) -> Self {
        Follower { deployer, app }
    }

    /// Returns the last `lines` lines of everything, and how far each container has been read.
    async fn past(&self, lines: usize) -> Result<(Vec<LogLine>, Last)> {
        let rooms = self.deployer.rooms();
        let mut parts = vec![rooms.logs.tail(self.app.clone(), lines).await?];
        let mut last = Last::new();
        for container in self.containers().await {
            let told = rooms.engine.tail(&container.id, lines.max(1)).await.unwrap_or_default();
            last.insert(container.id.clone(), told.last().map_or(i128::MIN, |line| line.nanos));
            parts.push(told.into_iter().map(|line| of_container(&container, &line)).collect());
        }
        Ok((merge(parts, lines), last))
    }

    /// Without an engine there are the segments: better than nothing.
    async fn containers(&self) -> Vec<ContainerSummary> {
        let engine = &self.deployer.rooms().engine;
        let listed = match engine.check().await {
            Ok(_) => engine.list().await,
            Err(err) => Err(err),
        };
        let all = listed.unwrap_or_else(|err| {
            tracing::warn!(?err, "the engine's logs cannot be read");
            Vec::new()
        });
        all.into_iter().filter(|container| container.app == self.app).collect()
    }

    /// Sends what comes, from mini and from every container that the app has and will have, until the reader leaves.
    async fn follow(
        &self,
        mut last: Last,
        mut mini_said: impl futures_util::Stream<Item = LogLine> + Unpin,
        mut starts: tokio::sync::watch::Receiver<u64>,
        events: &Events,
    ) {
        let mut readers = JoinSet::new();
        let mut attached = Vec::new();
        loop {
            for container in self.containers().await {
                if !attached.contains(&container.id) {
                    attached.push(container.id.clone());
                    let from = last.remove(&container.id).unwrap_or(i128::MIN);
                    readers.spawn(read_container(self.deployer.clone(), container, from, events.clone()));
                }
            }
            loop {
                tokio::select! {
                    line = mini_said.next() => match line {
                        Some(line) => send(events, line).await,
                        None => return,
                    },
                    _ = starts.changed() => break,
                }
            }
        }
    }
}

/// Follows one container over its restarts until it is removed.
async fn read_container(deployer: Deployer, container: ContainerSummary, mut from: i128, events: Events) {
    let engine = &deployer.rooms().engine;
    loop {
        let since = (from > i128::MIN).then(|| stamp_of(from));
        let mut lines = engine.follow(&container.id, since, None);
        while let Some(line) = lines.next().await {
            if line.nanos > from {
                from = line.nanos;
                send(&events, of_container(&container, &line)).await;
            }
        }
        // The stream ends with the process; the engine may start it again.
        match engine.inspect(&container.id).await {
            Ok(Some(_)) => tokio::time::sleep(REOPEN_PAUSE).await,
            Ok(None) | Err(_) => return,
        }
    }
}

/// How long a container that ended is left alone before its output is asked for again.
const REOPEN_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

fn stamp_of(nanos: i128) -> crate::model::Stamp {
    crate::model::Stamp::from_millis(i64::try_from(nanos / 1_000_000).unwrap_or(0))
}

fn of_container(container: &ContainerSummary, line: &AppLine) -> LogLine {
    LogLine::new(line.at, Source::app(&format!("{}.{}", container.process, container.index)), &line.text)
}

async fn send(events: &Events, line: LogLine) {
    let record = LogRecord { at: line.at, source: line.source.to_string(), text: line.text().to_owned() };
    // A reader that left ends this by `events.closed()`.
    let _ = events.send(Ok(Event::Log(record))).await;
}
