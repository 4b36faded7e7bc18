//! Lines of many requests on their way to the disk: put together once, written as few pieces.

use super::{LogLine, Source};
use crate::model::Stamp;

/// One write; a segment may be fuller than it should by as much.
const CHUNK_BYTES: usize = 64 << 10;

/// Lines of requests to one app, in the form in which they stand in the file.
#[derive(Default)]
pub struct RequestLines {
    text: String,
    ends: Vec<usize>,
    /// Many come within a millisecond, whose print is the dearest part of a line.
    moment: Option<(Stamp, String)>,
}

// === impl RequestLines ===

impl RequestLines {
    /// The source that these lines have.
    #[must_use]
    pub fn source() -> Source {
        Source::mini("router")
    }

    /// Adds a line; `text` holds no control characters.
    pub fn push(&mut self, at: Stamp, text: &str) {
        debug_assert!(!text.contains(char::is_control), "a request forges lines: {text:?}");
        let is_now = self.moment.as_ref().is_some_and(|(moment, _)| *moment == at);
        if !is_now {
            self.moment = Some((at, format!("{at} {}: ", Self::source())));
        }
        self.text.extend(self.moment.iter().map(|(_, print)| print.as_str()));
        self.text += text;
        self.text.push('\n');
        self.ends.push(self.text.len());
    }

    pub(super) fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Returns the moment of the first line.
    pub(super) fn begin(&self) -> Option<Stamp> {
        self.as_lines().next().map(|line| line.at)
    }

    /// Returns whole lines, many at a time.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &str> {
        let mut rest = &self.ends[..];
        let mut begin = 0;
        std::iter::from_fn(move || {
            let fitting = rest.partition_point(|end| end - begin <= CHUNK_BYTES).max(1);
            let end = *rest.get(fitting.min(rest.len()).checked_sub(1)?)?;
            rest = &rest[fitting.min(rest.len())..];
            let chunk = &self.text[begin..end];
            begin = end;
            Some(chunk)
        })
    }

    /// Returns them one by one.
    pub(super) fn as_lines(&self) -> impl Iterator<Item = LogLine> {
        self.text.lines().filter_map(|line| line.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_pieces_that_end_where_a_line_does() {
        let mut lines = RequestLines::default();
        assert_eq!(lines.chunks().count(), 0);
        let long = "x".repeat(1000);
        for at in 0..200 {
            lines.push(Stamp::from_millis(at / 3), &long);
        }
        lines.push(Stamp::from_millis(99), &"y".repeat(CHUNK_BYTES + 1));

        let chunks: Vec<&str> = lines.chunks().collect();

        assert!(chunks.iter().all(|chunk| chunk.ends_with('\n')) && chunks.len() < 6);
        assert_eq!(chunks.concat(), lines.text);
        assert_eq!(lines.count(), 201);
        assert_eq!(lines.begin(), Some(Stamp::from_millis(0)));
        assert_eq!(lines.as_lines().nth(4).unwrap().to_string(), format!("1970-01-01T00:00:00.001Z mini[router]: {long}"));
    }
}
