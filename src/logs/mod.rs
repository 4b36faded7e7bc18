//! What apps and `mini` said: one bounded log an app, in segments that outlive containers.

mod follow;
mod line;
mod merge;
mod outputs;
mod record;
mod requests;
mod segment;
mod strand;
#[cfg(test)]
mod trial;

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::model::AppId;
use crate::model::Stamp;
use crate::model::limits::{ACCESS_SEGMENTS, ARCHIVED_LINES, LOG_SEGMENT_BYTES, LOG_SEGMENTS};
use segment::{Segments, Shape, Wanted};
use strand::Strand;

pub use follow::Follow;
pub use line::{LogLine, Origin, Source};
pub use merge::merge;
pub use outputs::{OutputLines, OutputWriter, Outputs};
pub use requests::RequestLines;

const SHAPE: Shape = Shape { segment_bytes: LOG_SEGMENT_BYTES, segments: LOG_SEGMENTS };

/// All apps' logs below `<data>/logs`; clones are cheap and share them.
///
/// Lines are not synced one by one: the last ones before a power loss may be missing, nothing else.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    shape: Shape,
    outputs: Outputs,
    /// `None` for a removed app: its id does not come back, and a late writer must not either.
    apps: Mutex<HashMap<AppId, Option<Arc<AppLog>>>>,
}

/// A flood of requests takes no other lines away: theirs are apart, below the others' folder.
struct AppLog {
    said: Strand,
    requests: Strand,
}

// === impl Logs ===

impl Logs {
    /// Opens `<data_dir>/logs` and makes it where it is missing; blocks.
    pub fn open(data_dir: &Path) -> Result<Logs> {
        Self::with_shape(data_dir, SHAPE)
    }

    fn with_shape(data_dir: &Path, shape: Shape) -> Result<Logs> {
        let dir = data_dir.join("logs");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|err| Error::setup(format!("the logs `{}` cannot be written: {err}", dir.display())).because(err))?;
        let outputs = Outputs::open(data_dir)?;
        Ok(Logs { inner: Arc::new(Inner { dir, shape, outputs, apps: Mutex::default() }) })
    }

    /// Returns where the output of deploys is kept.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.inner.outputs
    }

    /// Appends one line; see [`Logs::append_all`].
    pub async fn append(&self, app: AppId, line: LogLine) -> Result<()> {
        self.append_all(app, vec![line]).await
    }

    /// Appends lines in their order and shows them to followers, who see them even when the disk takes none.
    ///
    /// The first failure is an error, so that it is logged once; those that follow it are counted, and the count is
    /// written as soon as the disk takes lines again.
    pub async fn append_all(&self, app: AppId, lines: Vec<LogLine>) -> Result<()> {
        self.blocking(app, move |log| log.said.append(lines)).await
    }

    /// As [`Logs::append_all`], for what the proxy tells of requests.
    pub async fn append_requests(&self, app: AppId, lines: RequestLines) -> Result<()> {
        self.blocking(app, move |log| log.requests.append_requests(&lines)).await
    }

    /// Appends lines that followers have seen elsewhere, such as what a container printed before it is removed.
    pub async fn archive(&self, app: AppId, lines: Vec<LogLine>) -> Result<()> {
        self.blocking(app, move |log| log.said.archive(&lines)).await
    }

    /// Returns the last `n` lines by time, oldest first; an app without a log has none.
    pub async fn tail(&self, app: AppId, n: usize) -> Result<Vec<LogLine>> {
        self.blocking(app, move |log| log.tail_and_follow(n, &|_| true).map(|(lines, _)| lines)).await
    }

    /// Follows the lines appended from now on.
    #[must_use]
    pub fn follow(&self, app: AppId) -> Follow {
        self.inner.log_of(app).follow(true)
    }

    /// Returns the last `n` lines that are `wanted` and follows exactly behind them, whatever comes: no line is missed or seen twice.
    pub async fn tail_and_follow(
        &self,
        app: AppId,
        n: usize,
        wanted: impl Fn(&LogLine) -> bool + Send + 'static,
    ) -> Result<(Vec<LogLine>, Follow)> {
        self.blocking(app, move |log| log.tail_and_follow(n, &wanted)).await
    }

    /// Removes an app's log and ends its followers; what is appended by late writers is dropped.
    pub async fn remove(&self, app: AppId) -> Result<()> {
        let logs = self.clone();
        self.blocking(app.clone(), move |log| {
            log.remove()?;
            lock(&logs.inner.apps).insert(app, None);
            Ok(())
        })
        .await
    }

    /// Puts an app's segments as they are now into the folder `into`, which it makes when there are any: hard links, which grow on.
    pub async fn stage(&self, app: AppId, into: PathBuf) -> Result<()> {
        self.blocking(app, move |log| log.stage(&into)).await
    }

    async fn blocking<T: Send + 'static>(&self, app: AppId, work: impl FnOnce(&AppLog) -> Result<T> + Send + 'static) -> Result<T> {
        let log = self.inner.log_of(app);
        let task = tokio::task::spawn_blocking(move || work(&log));
        task.await.unwrap_or_else(|err| Err(Error::failed("the server stopped in the middle of this").because(err)))
    }
}

// === impl Inner ===

impl Inner {
    fn log_of(&self, app: AppId) -> Arc<AppLog> {
        let dir = self.dir.join(app.as_str());
        let log = |removed| Arc::new(AppLog::new(&dir, self.shape, removed));
        lock(&self.apps).entry(app).or_insert_with(|| Some(log(false))).clone().unwrap_or_else(|| log(true))
    }
}

// === impl AppLog ===

impl AppLog {
    fn new(dir: &Path, shape: Shape, removed: bool) -> Self {
        let of_requests = Shape { segments: ACCESS_SEGMENTS, ..shape };
        AppLog {
            said: Strand::new(Segments::new(dir.to_owned(), shape), removed),
            requests: Strand::new(Segments::new(dir.join("requests"), of_requests), removed),
        }
    }

    fn follow(&self, wants_requests: bool) -> Follow {
        Follow::new(self.said.follow(), wants_requests.then(|| self.requests.follow()))
    }

    fn tail_and_follow(&self, n: usize, wanted: Wanted<'_>) -> Result<(Vec<LogLine>, Follow)> {
        let wants_requests = wanted(&LogLine::new(Stamp::now(), RequestLines::source(), ""));
        let (said, requests) = (self.said.hold(), self.requests.hold());
        // What a container said is archived when it goes, behind younger lines of mini's own.
        let said = said.tail(n.saturating_add(ARCHIVED_LINES), wanted)?;
        let asked = if wants_requests { requests.tail(n, wanted)? } else { Vec::new() };
        Ok((merge(vec![said, asked], n), self.follow(wants_requests)))
    }

    /// Requests are told to people who look, and are not what a backup is for.
    fn stage(&self, into: &Path) -> Result<()> {
        // Held, no segment goes.
        self.said.hold().stage(into)
    }

    fn remove(&self) -> Result<()> {
        self.requests.remove()?;
        self.said.remove()
    }
}

/// Nothing within these locks can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
