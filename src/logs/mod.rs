//! What apps and `mini` said: one bounded log an app, in segments that outlive containers.

mod follow;
mod line;
mod merge;
mod outputs;
mod record;
mod segment;
#[cfg(test)]
mod trial;

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::error::{Error, Result};
use crate::model::AppId;
use crate::model::limits::{ARCHIVED_LINES, LOG_SEGMENT_BYTES, LOG_SEGMENTS};
use segment::{Segments, Shape, Wanted};

pub use follow::Follow;
pub use line::{LogLine, Origin, Source};
pub use merge::merge;
pub use outputs::{OutputLines, OutputWriter, Outputs};

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

struct AppLog {
    writer: Mutex<Writer>,
    followers: broadcast::Sender<LogLine>,
}

struct Writer {
    segments: Segments,
    /// Lines that did not reach the disk since the last one that did.
    lost: u64,
    removed: bool,
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
        self.blocking(app, move |log| log.append(lines)).await
    }

    /// Appends lines that followers have seen elsewhere, such as what a container printed before it is removed.
    pub async fn archive(&self, app: AppId, lines: Vec<LogLine>) -> Result<()> {
        self.blocking(app, move |log| log.archive(&lines)).await
    }

    /// Returns the last `n` lines by time, oldest first; an app without a log has none.
    pub async fn tail(&self, app: AppId, n: usize) -> Result<Vec<LogLine>> {
        self.blocking(app, move |log| lock(&log.writer).tail(n, &|_| true)).await
    }

    /// Follows the lines appended from now on.
    #[must_use]
    pub fn follow(&self, app: AppId) -> Follow {
        Follow::new(self.inner.log_of(app).followers.subscribe())
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
        let log = |removed| Arc::new(AppLog::new(Segments::new(dir.clone(), self.shape), removed));
        lock(&self.apps).entry(app).or_insert_with(|| Some(log(false))).clone().unwrap_or_else(|| log(true))
    }
}

// === impl AppLog ===

impl AppLog {
    fn new(segments: Segments, removed: bool) -> Self {
        let writer = Mutex::new(Writer { segments, lost: 0, removed });
        AppLog { writer, followers: broadcast::Sender::new(follow::WAITING_LINES) }
    }

    fn append(&self, lines: Vec<LogLine>) -> Result<()> {
        let mut writer = lock(&self.writer);
        let mut result = Ok(());
        for line in lines {
            result = result.and(writer.append(&line));
            // Within the lock, so that followers see the order of the file. Nobody listening is no failure.
            let _ = self.followers.send(line);
        }
        result
    }

    fn archive(&self, lines: &[LogLine]) -> Result<()> {
        let mut writer = lock(&self.writer);
        lines.iter().try_for_each(|line| writer.append(line))
    }

    fn tail_and_follow(&self, n: usize, wanted: Wanted<'_>) -> Result<(Vec<LogLine>, Follow)> {
        let writer = lock(&self.writer);
        let lines = writer.tail(n, wanted)?;
        Ok((lines, Follow::new(self.followers.subscribe())))
    }

    fn stage(&self, into: &Path) -> Result<()> {
        // Within the lock no segment goes.
        let writer = lock(&self.writer);
        writer.segments.stage(into).map_err(|err| Error::failed("the app's log could not be read for the backup").because(err))
    }

    fn remove(&self) -> Result<()> {
        let mut writer = lock(&self.writer);
        writer.removed = true;
        writer.segments.remove().map_err(|err| Error::unavailable("the app's log cannot be removed").because(err))
    }
}

// === impl Writer ===

impl Writer {
    fn append(&mut self, line: &LogLine) -> Result<()> {
        if self.removed {
            return Ok(());
        }
        match self.write(line) {
            Ok(()) => Ok(()),
            Err(err) => {
                self.lost += 1;
                if self.lost > 1 { Ok(()) } else { Err(Error::unavailable("the app's log cannot be written").because(err)) }
            }
        }
    }

    fn write(&mut self, line: &LogLine) -> std::io::Result<()> {
        if self.lost > 0 {
            // With the time of the line behind it: the tail goes by time.
            self.segments.append(&format!("{}\n", follow::skipped(self.lost, line.at)))?;
            self.lost = 0;
        }
        self.segments.append(&format!("{line}\n"))
    }

    fn tail(&self, n: usize, wanted: Wanted<'_>) -> Result<Vec<LogLine>> {
        // What a container said is archived when it goes, behind younger lines of mini's own.
        let lines = self.segments.tail(n.saturating_add(ARCHIVED_LINES), wanted);
        let lines = lines.map_err(|err| Error::unavailable("the app's log cannot be read").because(err))?;
        Ok(merge(vec![lines], n))
    }
}

/// Nothing within these locks can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
