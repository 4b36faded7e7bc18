//! The terminal at which somebody sits: its size, its raw mode, and a question whose answer stays dark.

use std::io::{BufRead, BufReader, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::command::Terminal;
use crate::error::{Error, Result};

/// The terminal in raw mode: every key goes to the program. Dropping it brings the old mode back.
pub struct RawMode {
    before: Termios,
}

/// The terminal's new size, each time it changes.
pub struct Resizes(Option<Signal>);

/// Returns the terminal if both ends of this process are one.
#[must_use]
pub fn attached() -> Option<Terminal> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    let (cols, rows) = size()?;
    Some(Terminal { cols, rows, term: std::env::var("TERM").unwrap_or_else(|_| "dumb".into()) })
}

/// Returns columns and rows of the terminal that stdout is, if it is one.
#[must_use]
pub fn size() -> Option<(u32, u32)> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(&stdout).ok()?;
    // A terminal that does not know its size says 0.
    let or = |given: u16, usual| if given == 0 { usual } else { u32::from(given) };
    Some((or(size.ws_col, 80), or(size.ws_row, 24)))
}

/// Asks at the terminal itself, wherever stdout leads, and shows nothing of what is typed. `None`: nobody is there.
pub fn ask_secret(question: &str) -> Result<Option<String>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let Ok(mut tty) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    let failed = |err: std::io::Error| Error::failed("the terminal could not be read").because(err);
    let before = tcgetattr(&tty).map_err(|err| failed(err.into()))?;
    let mut dark = before.clone();
    dark.local_modes.remove(LocalModes::ECHO);
    tty.write_all(question.as_bytes()).map_err(failed)?;
    tcsetattr(&tty, OptionalActions::Flush, &dark).map_err(|err| failed(err.into()))?;
    let mut typed = String::new();
    let read = BufReader::new(&tty).read_line(&mut typed);
    let restored = tcsetattr(&tty, OptionalActions::Flush, &before);
    let _ = tty.write_all(b"\n");
    read.map_err(failed)?;
    restored.map_err(|err| failed(err.into()))?;
    Ok(Some(typed.trim().to_owned()))
}

// === impl RawMode ===

impl RawMode {
    pub fn enter() -> Result<Self> {
        let failed = |err: rustix::io::Errno| Error::failed("the terminal cannot be handed over").because(err);
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).map_err(failed)?;
        Ok(RawMode { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone needs no mode.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}

// === impl Resizes ===

impl Resizes {
    /// Listens from now on (signal(7), `SIGWINCH`).
    pub fn listen() -> Result<Self> {
        let signal = signal(SignalKind::window_change());
        signal.map(|signal| Resizes(Some(signal))).map_err(|err| Error::failed("signals cannot be heard").because(err))
    }

    /// Returns what never has news.
    #[must_use]
    pub fn none() -> Self {
        Resizes(None)
    }

    /// Waits for the next size.
    pub async fn next(&mut self) -> (u32, u32) {
        loop {
            match &mut self.0 {
                None => return std::future::pending().await,
                Some(signal) => {
                    signal.recv().await;
                    if let Some(size) = size() {
                        return size;
                    }
                }
            }
        }
    }
}
