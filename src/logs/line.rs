//! One log line: when, who, what; always printable, always one line.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::model::{Stamp, plain};

/// Whose words a line holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The app's own output.
    App,
    /// What `mini` says about it.
    Mini,
}

/// Where a line comes from: `app[web.1]`, `mini[build]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Source {
    pub origin: Origin,
    process: String,
}

/// One line of an app's log, free of control characters; prints as `2026-01-31T12:00:00.123Z app[web.1]: text`.
///
/// As JSON: `{"at": "…", "origin": "app", "process": "web.1", "text": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    pub at: Stamp,
    #[serde(flatten)]
    pub source: Source,
    #[serde(serialize_with = "as_str")]
    text: Box<str>,
}

// === impl Source ===

impl Source {
    /// Names a process of the app, such as `web.1` or `run.3`.
    #[must_use]
    pub fn app(process: &str) -> Self {
        Source { origin: Origin::App, process: process_name(process) }
    }

    /// Names a part of `mini`: `build`, `release`, `router`.
    #[must_use]
    pub fn mini(process: &str) -> Self {
        Source { origin: Origin::Mini, process: process_name(process) }
    }

    #[must_use]
    pub fn process(&self) -> &str {
        &self.process
    }
}

/// Keeps what cannot break the line's form; 64 characters are more than any process has.
fn process_name(process: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    process.chars().take(64).map(fits).collect()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Origin::App => "app",
            Origin::Mini => "mini",
        };
        write!(f, "{origin}[{}]", self.process)
    }
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some(("app", process)) => Ok(Source::app(process)),
            Some(("mini", process)) => Ok(Source::mini(process)),
            _ => Err(Error::usage("this is not a log source")),
        }
    }
}

// === impl LogLine ===

impl LogLine {
    /// Makes a line of what may be hostile text: escapes go, control characters become spaces, the rest is cut
    /// at [`MAX_LINE_BYTES`](crate::model::limits::MAX_LINE_BYTES).
    #[must_use]
    pub fn new(at: Stamp, source: Source, text: &str) -> Self {
        LogLine { at, source, text: plain(text).into() }
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn as_str<S: Serializer>(text: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.source, self.text)
    }
}

/// Parses what [`LogLine`] prints: this is the form in the files.
impl FromStr for LogLine {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let (at, rest) = line.split_once(' ').ok_or_else(not_a_line)?;
        let (source, text) = rest.split_once(": ").ok_or_else(not_a_line)?;
        Ok(LogLine::new(Stamp::parse(at)?, source.parse()?, text))
    }
}

fn not_a_line() -> Error {
    Error::usage("this is not a log line")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_its_own_print() {
        let line = LogLine::new(Stamp::from_millis(1_769_860_800_123), Source::app("web.1"), "a: b\tc ü");

        assert_eq!(line.to_string(), "2026-01-31T12:00:00.123Z app[web.1]: a: b\tc ü");
        assert_eq!(line.to_string().parse::<LogLine>().unwrap(), line);
        let empty = LogLine::new(line.at, Source::mini("build"), "");
        assert_eq!(empty.to_string().parse::<LogLine>().unwrap(), empty);
    }

    #[test]
    fn a_line_is_flat_json() {
        let line = LogLine::new(Stamp::from_millis(1_769_860_800_123), Source::mini("build"), "x");

        let json = serde_json::to_string(&line).unwrap();

        assert_eq!(json, r#"{"at":"2026-01-31T12:00:00.123Z","origin":"mini","process":"build","text":"x"}"#);
    }

    #[test]
    fn a_process_cannot_forge_a_source() {
        let source = Source::app("web]: x\nmini[build");

        assert_eq!(source.to_string(), "app[web___x_mini_build]");
        assert!("root[x]".parse::<Source>().is_err());
    }
}
