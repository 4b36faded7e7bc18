//! The client's terminal: its size, its name, and the little line discipline that `mini` plays for it.
//!
//! A client with a pty puts its own terminal in raw mode and leaves newlines and ^C to the server's side (RFC 4254 §6.2).
//! For text that is done here; a process with a TTY of its own does it itself, hence [`Terminal::enter_raw`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::watch;

use crate::command::Look;

/// Interrupt, ^C.
const ETX: u8 = 3;
/// End of input, ^D.
const EOT: u8 = 4;
/// No terminal type is longer (terminfo names are 1 to 32 characters in practice).
const MAX_TERM_BYTES: usize = 64;

/// A terminal that the client asked for.
pub struct Terminal {
    pub cols: u32,
    pub rows: u32,
    /// The value for `TERM`, such as `xterm-256color`.
    pub term: String,
    /// New sizes as (columns, rows), the newest only.
    pub resizes: watch::Receiver<(u32, u32)>,
    pub(super) discipline: Discipline,
}

/// Tells whether bytes are still translated for a terminal; shared by both directions of a channel.
#[derive(Clone, Default)]
pub(super) struct Discipline {
    raw: Arc<AtomicBool>,
}

/// What a chunk of typed bytes means while the discipline is on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub bytes: Bytes,
    /// ^D: the input ends here.
    pub ended: bool,
    /// ^C
    pub interrupted: bool,
}

// === impl Terminal ===

impl Terminal {
    /// Passes bytes untouched from here on, in both directions: for a process that has a TTY of its own.
    pub fn enter_raw(&self) {
        self.discipline.turn_off();
    }

    /// Returns what this terminal can show. A client that knows no size sends zeros (RFC 4254 §6.2).
    #[must_use]
    pub fn look(&self) -> Look {
        let width = usize::try_from(self.cols).ok().filter(|cols| *cols > 0);
        Look { json: false, colour: self.term != "dumb", width }
    }
}

/// Returns a terminal type fit for an environment; an odd one becomes `dumb`.
pub(super) fn tame(term: &str) -> String {
    let fits = !term.is_empty() && term.len() <= MAX_TERM_BYTES && term.bytes().all(|b| b.is_ascii_graphic());
    if fits { term.to_owned() } else { "dumb".to_owned() }
}

// === impl Discipline ===

impl Discipline {
    /// Translates nothing from here on.
    pub fn turn_off(&self) {
        self.raw.store(true, Ordering::Release);
    }

    pub fn is_on(&self) -> bool {
        !self.raw.load(Ordering::Acquire)
    }

    /// Ends lines with `\r\n`. `last` carries the byte before this chunk, so that a `\r\n` that is there stays one.
    pub fn end_lines(text: &[u8], last: &mut u8) -> Bytes {
        let mut out = Vec::with_capacity(text.len() + text.len() / 32 + 1);
        for &byte in text {
            if byte == b'\n' && *last != b'\r' {
                out.push(b'\r');
            }
            out.push(byte);
            *last = byte;
        }
        out.into()
    }

    /// Reads typed bytes: Enter is `\n`, ^D ends, ^C interrupts; what follows either is dropped.
    pub fn read_typed(data: &[u8]) -> Typed {
        let stop = data.iter().position(|&b| b == ETX || b == EOT);
        let line = &data[..stop.unwrap_or(data.len())];
        let bytes: Vec<u8> = line.iter().map(|&b| if b == b'\r' { b'\n' } else { b }).collect();
        let key = stop.map(|at| data[at]);
        Typed { bytes: bytes.into(), ended: key == Some(EOT), interrupted: key == Some(ETX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_with_one_carriage_return() {
        let mut last = 0;

        let first = Discipline::end_lines(b"a\nb\r", &mut last);
        let second = Discipline::end_lines(b"\nc\n\n", &mut last);

        assert_eq!(&first[..], b"a\r\nb\r");
        assert_eq!(&second[..], b"\nc\r\n\r\n");
    }

    #[test]
    fn typed_keys_become_lines_an_end_and_an_interrupt() {
        assert_eq!(Discipline::read_typed(b"yes\r"), Typed { bytes: "yes\n".into(), ended: false, interrupted: false });
        assert_eq!(Discipline::read_typed(b"a\x04b"), Typed { bytes: "a".into(), ended: true, interrupted: false });
        assert_eq!(Discipline::read_typed(b"\x03\x04"), Typed { bytes: "".into(), ended: false, interrupted: true });
    }

    #[test]
    fn an_odd_terminal_name_is_dumb() {
        assert_eq!(tame("xterm-256color"), "xterm-256color");
        for odd in ["", "x\u{1b}[2J", "a b", &"x".repeat(65)] {
            assert_eq!(tame(odd), "dumb");
        }
    }
}
