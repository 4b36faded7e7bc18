//! A call and its reply: one value for every door.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Answer, Check, Command};
use crate::error::{Error, Kind, Result};
use crate::model::limits::MAX_INPUT_BYTES;
use crate::model::{AppName, ContainerId, Stage, Stamp, Version};

/// One command with the streams it came with.
pub struct Call {
    pub command: Command,
    pub input: Input,
    /// The caller's terminal, if there is one.
    pub terminal: Option<Terminal>,
    /// The terminal's latest size, once it has changed.
    pub resizes: Resizes,
    /// Cancelled when the caller has left.
    pub cancelled: CancellationToken,
}

/// Columns and rows of a terminal each time they change; what it held at first is of no meaning.
pub type Resizes = watch::Receiver<(u32, u32)>;

/// What a session sends to a command that reads.
pub struct Input(Box<dyn AsyncRead + Send + Unpin>);

/// The caller's terminal, in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    pub cols: u32,
    pub rows: u32,
    pub term: String,
}

/// What comes back: a value, events until an explicit end, or a program's own output.
pub enum Reply {
    Value(Answer),
    Lines(Lines),
    Attached(Attached),
}

/// A program that speaks with the caller: it reads the call's input and notices its resizes.
pub struct Attached {
    /// Whether the program has a terminal: all of its output is then on stdout, and the caller's own terminal should be raw.
    pub has_terminal: bool,
    /// Ends with [`Output::Exited`], or with an `Err`.
    pub output: mpsc::Receiver<Result<Output>>,
}

/// What an attached program wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
    /// The program's exit code; 128 and the signal's number for one that was killed.
    Exited(u8),
}

/// A stream of events. It ends with the sender: an `Err` is the last item of a stream that failed.
pub type Lines = mpsc::Receiver<Result<Event>>;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A log line: data.
    Log(LogRecord),
    /// Progress: talk.
    Talk(String),
    /// A result: data.
    Say(String),
    /// Where a deploy is, for those who draw it; people who read the talk see it there.
    Stage(Stage),
    /// A release went live: data.
    Released(Released),
    /// Something that was checked: data.
    Check(Check),
}

/// What a deploy says while an upload is taken in; a client that shows the upload itself leaves it out.
pub const RECEIVING: &str = "Receiving the source";

/// A release that answers from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    pub app: AppName,
    pub version: Version,
    pub url: String,
    /// Its first process; `None` when every process type is scaled to 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerId>,
}

/// A log line as every door shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    pub at: Stamp,
    /// `app[web.1]`, `mini[build]`, …
    pub source: String,
    pub text: String,
}

/// How a call ended, as it travels to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<EndError>,
}

/// An error as it travels: what a person reads, never the cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndError {
    pub kind: Kind,
    pub sentence: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

// === impl Call ===

impl Call {
    /// Makes a call of somebody who has no terminal.
    pub fn new(command: Command, input: Input, cancelled: CancellationToken) -> Self {
        Call { command, input, terminal: None, resizes: watch::channel((0, 0)).1, cancelled }
    }
}

// === impl Input ===

impl Input {
    /// Returns the stream itself, for what is more than a few lines of text.
    #[must_use]
    pub fn into_reader(self) -> Box<dyn AsyncRead + Send + Unpin> {
        self.0
    }

    pub fn new(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Input(Box::new(reader))
    }

    /// Reads all of the input as text, at most [`MAX_INPUT_BYTES`].
    pub async fn read_text(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        let limit = MAX_INPUT_BYTES as u64 + 1;
        (&mut self.0).take(limit).read_to_end(&mut bytes).await.map_err(|err| Error::failed("the input was cut").because(err))?;
        if bytes.len() > MAX_INPUT_BYTES {
            return Err(Error::usage(format!("the input is over {} KiB", MAX_INPUT_BYTES / 1024)));
        }
        String::from_utf8(bytes).map_err(|err| Error::usage("the input is not UTF-8 text").because(err))
    }
}

// === impl LogRecord ===

impl fmt::Display for LogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.source, self.text)
    }
}

// === impl End ===

impl End {
    /// Makes the end of a call from its result.
    pub fn of(result: &Result<()>) -> Self {
        match result {
            Ok(()) => End { code: 0, error: None },
            Err(err) => End {
                code: err.exit_code(),
                error: Some(EndError {
                    kind: err.kind(),
                    sentence: err.sentence().to_owned(),
                    details: err.detail_lines().to_vec(),
                    hint: err.next_step().map(str::to_owned),
                }),
            },
        }
    }

    /// Turns a received end back into a result.
    pub fn into_result(self) -> Result<()> {
        let Some(error) = self.error else { return Ok(()) };
        Err(Error::new(error.kind, error.sentence).details(error.details).maybe_hint(error.hint))
    }
}
