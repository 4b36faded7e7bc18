//! One run of an app's lines on disk, with those who follow it. An app has two: what was said, and its requests.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::follow::{WAITING_LINES, skipped};
use super::segment::{Segments, Wanted};
use super::{LogLine, RequestLines};
use crate::error::{Error, Result};

/// Appended lines, in bounded segments, and those who follow them.
pub(super) struct Strand {
    writer: Mutex<Writer>,
    followers: broadcast::Sender<LogLine>,
}

pub(super) struct Writer {
    segments: Segments,
    /// Lines that did not reach the disk since the last one that did.
    lost: u64,
    removed: bool,
}

// === impl Strand ===

impl Strand {
    pub fn new(segments: Segments, removed: bool) -> Self {
        let writer = Mutex::new(Writer { segments, lost: 0, removed });
        Strand { writer, followers: broadcast::Sender::new(WAITING_LINES) }
    }

    /// Holds the writer: nothing is appended, and no follower told, meanwhile.
    pub fn hold(&self) -> MutexGuard<'_, Writer> {
        // Nothing within this lock can be left half done by a panic.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends lines and shows them to followers, whether the disk takes them or not.
    pub fn append(&self, lines: Vec<LogLine>) -> Result<()> {
        let mut writer = self.hold();
        let mut result = Ok(());
        for line in lines {
            result = result.and(writer.append(&line));
            // Within the lock, so that followers see the order of the file. Nobody listening is no failure.
            let _ = self.followers.send(line);
        }
        result
    }

    /// Appends lines that followers have seen elsewhere.
    pub fn archive(&self, lines: &[LogLine]) -> Result<()> {
        let mut writer = self.hold();
        lines.iter().try_for_each(|line| writer.append(line))
    }

    /// Appends lines of requests as few writes.
    pub fn append_requests(&self, lines: &RequestLines) -> Result<()> {
        let mut writer = self.hold();
        let result = writer.append_requests(lines);
        if self.followers.receiver_count() > 0 {
            for line in lines.as_lines() {
                let _ = self.followers.send(line);
            }
        }
        result
    }

    /// Follows what is appended from now on.
    pub fn follow(&self) -> broadcast::Receiver<LogLine> {
        self.followers.subscribe()
    }

    /// Removes all of it; what late writers append is dropped.
    pub fn remove(&self) -> Result<()> {
        let mut writer = self.hold();
        writer.removed = true;
        writer.segments.remove().map_err(|err| Error::unavailable("the app's log cannot be removed").because(err))
    }
}

// === impl Writer ===

impl Writer {
    /// Returns the last `n` wanted lines, as they stand in the file.
    pub fn tail(&self, n: usize, wanted: Wanted<'_>) -> Result<Vec<LogLine>> {
        self.segments.tail(n, wanted).map_err(|err| Error::unavailable("the app's log cannot be read").because(err))
    }

    pub fn stage(&self, into: &Path) -> Result<()> {
        self.segments.stage(into).map_err(|err| Error::failed("the app's log could not be read for the backup").because(err))
    }

    fn append(&mut self, line: &LogLine) -> Result<()> {
        self.write(1, |segments, lost| {
            if lost > 0 {
                // With the time of the line behind it: the tail goes by time.
                segments.append(&format!("{}\n", skipped(lost, line.at)))?;
            }
            segments.append(&format!("{line}\n"))
        })
    }

    fn append_requests(&mut self, lines: &RequestLines) -> Result<()> {
        self.write(lines.count(), |segments, lost| {
            if let Some(at) = lines.begin().filter(|_| lost > 0) {
                segments.append(&format!("{}\n", skipped(lost, at)))?;
            }
            lines.chunks().try_for_each(|chunk| segments.append(chunk))
        })
    }

    /// The first failure is an error, so that it is told once; those that follow it are counted, and told when the disk takes lines.
    fn write(&mut self, count: u64, write: impl FnOnce(&mut Segments, u64) -> std::io::Result<()>) -> Result<()> {
        if self.removed {
            return Ok(());
        }
        let lost = std::mem::take(&mut self.lost);
        write(&mut self.segments, lost).or_else(|err| {
            self.lost = lost + count;
            if lost > 0 { Ok(()) } else { Err(Error::unavailable("the app's log cannot be written").because(err)) }
        })
    }
}
