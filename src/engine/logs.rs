//! What a container printed, line by line with the engine's own time.

use bollard::container::LogOutput;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Engine;
use super::line::clean;
use crate::error::Result;
use crate::model::limits::MAX_LINE_BYTES;
use crate::model::{ContainerId, Stamp};

/// A line that an app printed, without terminal escapes, at most `MAX_LINE_BYTES` long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppLine {
    pub at: Stamp,
    /// The same moment in nanoseconds since 1970: what tells two lines apart when a stream is opened again.
    pub nanos: i128,
    pub text: String,
    pub stderr: bool,
}

/// Puts together lines that the engine hands out in pieces of 16 KiB, each with a time of its own.
#[derive(Default)]
struct Joiner {
    stdout: Option<AppLine>,
    stderr: Option<AppLine>,
}

impl Engine {
    /// Returns the last `lines` lines of a container, running or not.
    pub async fn tail(&self, container: &ContainerId, lines: usize) -> Result<Vec<AppLine>> {
        let options = options(false, None, Some(lines));
        let pieces: Vec<LogOutput> =
            self.call(|docker| async move { docker.logs(container.as_str(), Some(options)).try_collect().await }).await?;
        let mut joiner = Joiner::default();
        let mut told: Vec<AppLine> = pieces.into_iter().filter_map(|piece| joiner.push(piece)).collect();
        told.extend(joiner.finish());
        Ok(told)
    }

    /// Follows a container's output: the last `tail` lines (all when `None`) since `since`, then what comes.
    ///
    /// Ends when the container dies or the engine goes away; the caller opens it again with the last line's time and drops the
    /// lines that it has (`since` is in whole seconds).
    pub fn follow(&self, container: &ContainerId, since: Option<Stamp>, tail: Option<usize>) -> BoxStream<'static, AppLine> {
        let docker = match self.docker() {
            Ok(docker) => docker,
            Err(err) => {
                tracing::debug!(container.id = %container, error = ?err, "no output can be followed");
                return stream::empty().boxed();
            }
        };
        let pieces = docker.logs(container.as_str(), Some(options(true, since, tail)));
        let pieces = pieces.map_ok(Some).take_while(|piece| std::future::ready(piece.is_ok())).filter_map(|piece| async { piece.ok() });
        let ended = pieces.chain(stream::once(async { None }));
        ended.scan(Joiner::default(), |joiner, piece| std::future::ready(Some(stream::iter(joiner.next(piece))))).flatten().boxed()
    }
}

fn options(follow: bool, since: Option<Stamp>, tail: Option<usize>) -> LogsOptions {
    let since = since.map_or(0, |at| i32::try_from(at.as_millis() / 1000).unwrap_or(i32::MAX));
    let tail = tail.map_or("all".to_owned(), |lines| lines.to_string());
    LogsOptionsBuilder::default().follow(follow).stdout(true).stderr(true).timestamps(true).since(since).tail(&tail).build()
}

// === impl Joiner ===

impl Joiner {
    /// Takes a piece, or the end, and returns the lines that it completes.
    fn next(&mut self, piece: Option<LogOutput>) -> Vec<AppLine> {
        match piece {
            Some(piece) => self.push(piece).into_iter().collect(),
            None => self.finish(),
        }
    }

    fn push(&mut self, piece: LogOutput) -> Option<AppLine> {
        let is_stderr = matches!(piece, LogOutput::StdErr { .. });
        let message = piece.into_bytes();
        let line = AppLine::read(&message, is_stderr)?;
        let partial = if is_stderr { &mut self.stderr } else { &mut self.stdout };
        match partial {
            Some(begun) => begun.extend(&line.text),
            None => *partial = Some(line),
        }
        if message.ends_with(b"\n") { partial.take() } else { None }
    }

    fn finish(&mut self) -> Vec<AppLine> {
        [self.stdout.take(), self.stderr.take()].into_iter().flatten().collect()
    }
}

// === impl AppLine ===

impl AppLine {
    /// Parses `2026-01-31T12:00:00.123456789Z text\n`.
    fn read(message: &[u8], stderr: bool) -> Option<Self> {
        let space = message.iter().position(|byte| *byte == b' ')?;
        let (time, text) = message.split_at(space);
        let moment = OffsetDateTime::parse(std::str::from_utf8(time).ok()?, &Rfc3339).ok()?;
        let nanos = moment.unix_timestamp_nanos();
        let at = Stamp::from_millis(i64::try_from(nanos / 1_000_000).unwrap_or_default());
        Some(AppLine { at, nanos, text: clean(&text[1..]), stderr })
    }

    fn extend(&mut self, rest: &str) {
        let room = MAX_LINE_BYTES.saturating_sub(self.text.len());
        self.text.push_str(&rest[..rest.floor_char_boundary(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> LogOutput {
        LogOutput::StdOut { message: text.to_owned().into() }
    }

    #[test]
    fn a_line_keeps_its_nanoseconds() {
        let line = AppLine::read(b"2026-01-31T12:00:00.123456789Z \x1b[1mhello\x1b[0m\n", true).unwrap();

        assert_eq!(line.at.to_string(), "2026-01-31T12:00:00.123Z");
        assert_eq!(line.nanos % 1_000_000_000, 123_456_789);
        assert_eq!((line.text.as_str(), line.stderr), ("hello", true));
    }

    #[test]
    fn pieces_of_a_long_line_are_joined_and_capped() {
        let mut joiner = Joiner::default();
        let half = "é".repeat(MAX_LINE_BYTES / 2);

        assert_eq!(joiner.push(piece(&format!("2026-01-31T12:00:00.1Z {half}"))), None);
        assert_eq!(joiner.push(piece(&format!("2026-01-31T12:00:00.2Z x{half}"))), None);
        let line = joiner.push(piece("2026-01-31T12:00:00.3Z tail\n")).unwrap();

        assert_eq!(line.text.len(), MAX_LINE_BYTES);
        assert_eq!(line.nanos % 1_000_000_000, 100_000_000);
    }

    #[test]
    fn an_empty_line_is_a_line() {
        assert_eq!(Joiner::default().push(piece("2026-01-31T12:00:00Z \n")).unwrap().text, "");
    }
}
