//! Bytes that a stranger's program printed become lines that are safe to show: no escapes, no control characters, a bounded length.

use crate::model::limits::MAX_LINE_BYTES;
use crate::model::plain;

/// Collects output into lines; a carriage return starts the line again, as on a terminal.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    returned: bool,
}

// === impl Lines ===

impl Lines {
    /// Takes a piece of output and returns the lines that it completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        bytes.iter().filter_map(|byte| self.take(*byte)).collect()
    }

    /// Returns what was printed without a line end.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.returned = false;
        (!self.partial.is_empty()).then(|| clean(&std::mem::take(&mut self.partial)))
    }

    fn take(&mut self, byte: u8) -> Option<String> {
        match byte {
            b'\n' => {
                self.returned = false;
                return Some(clean(&std::mem::take(&mut self.partial)));
            }
            b'\r' => self.returned = true,
            _ => {
                if std::mem::take(&mut self.returned) {
                    self.partial.clear();
                }
                if self.partial.len() < MAX_LINE_BYTES {
                    self.partial.push(byte);
                }
            }
        }
        None
    }
}

/// Makes the bytes of one line safe to show, as [`plain`]; what is beyond [`MAX_LINE_BYTES`] is not looked at.
pub(super) fn clean(bytes: &[u8]) -> String {
    plain(&String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_LINE_BYTES)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_marked_and_escapes_are_dropped() {
        let line = b"\x1b[31;1mred\x1b[0m\x1b]0;title\x07 \x1b(Bplain\x00\ttab\xff \xc2\x9b2J\xe2\x80\xaeevil";

        assert_eq!(clean(line), "red plain \ttab\u{fffd} evil");
    }

    #[test]
    fn a_progress_bar_keeps_its_last_state_and_crlf_is_one_line_end() {
        let mut lines = Lines::default();

        assert_eq!(lines.push(b"10%\r50%\r100%\r\nnext\r\n"), ["100%", "next"]);
        assert_eq!(lines.push(b"half"), Vec::<String>::new());
        assert_eq!(lines.push(b" done\nunfinished"), ["half done"]);
        assert_eq!(lines.finish().as_deref(), Some("unfinished"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_line_without_an_end_costs_bounded_memory() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];

        for _ in 0..8 {
            assert!(lines.push(&chunk).is_empty());
        }

        assert_eq!(lines.push(b"\n")[0].len(), MAX_LINE_BYTES);
    }
}
