//! An app's process types, and how people name its processes: all of a type, or one of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// No process type is longer; what stands in a log line's brackets is cut at 64.
const MAX_TYPE_BYTES: usize = 40;

/// What a process is for, such as `web` or `worker`: lower-case letters, digits, `-` and `_`, the first one a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);

/// `web`, which is all of them, or `web.1`, `run.3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessName {
    kind: ProcessType,
    index: Option<u32>,
}

// === impl ProcessType ===

impl ProcessType {
    /// Returns the type whose processes answer requests.
    #[must_use]
    pub fn web() -> Self {
        ProcessType("web".to_owned())
    }

    /// Returns the type of what runs once before a release goes live.
    #[must_use]
    pub fn release() -> Self {
        ProcessType("release".to_owned())
    }

    /// Whether processes of this type answer requests.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if text.len() <= MAX_TYPE_BYTES && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(fits) {
            return Ok(ProcessType(text.to_owned()));
        }
        Err(Error::usage(format!("`{}` is not a process type", text.escape_debug()))
            .hint(format!("write lower-case letters, digits, - and _, at most {MAX_TYPE_BYTES}, as in web or worker")))
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for ProcessType {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ProcessType> for String {
    fn from(kind: ProcessType) -> String {
        kind.0
    }
}

// === impl ProcessName ===

impl ProcessName {
    /// Tells whether this names the process of a type and number.
    #[must_use]
    pub fn covers(&self, kind: &str, index: u32) -> bool {
        self.kind.as_str() == kind && self.index.is_none_or(|own| own == index)
    }

    /// Tells whether this names a process as log lines do: `web.1`.
    #[must_use]
    pub fn covers_name(&self, process: &str) -> bool {
        let parts = process.rsplit_once('.').and_then(|(kind, index)| Some((kind, index.parse().ok()?)));
        parts.is_some_and(|(kind, index)| self.covers(kind, index))
    }
}

impl FromStr for ProcessName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, index) = match text.split_once('.') {
            Some((kind, index)) => (kind, Some(index.parse::<u32>().ok().filter(|parsed| parsed.to_string() == index))),
            None => (text, None),
        };
        match (kind.parse(), index) {
            (Ok(kind), None) => Ok(ProcessName { kind, index: None }),
            (Ok(kind), Some(Some(index))) => Ok(ProcessName { kind, index: Some(index) }),
            _ => Err(Error::usage(format!("`{}` is not the name of a process", text.escape_debug())).hint("write web, web.1 or run.3")),
        }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}.{index}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl TryFrom<String> for ProcessName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ProcessName> for String {
    fn from(name: ProcessName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProcessName {
        text.parse().unwrap()
    }

    #[test]
    fn a_type_covers_all_of_it_and_a_number_one() {
        assert!(name("web").covers_name("web.1") && name("web").covers_name("web.12") && !name("build").covers_name("build"));
        assert!(name("web.1").covers_name("web.1") && !name("web.1").covers_name("web.12") && !name("web").covers_name("run.1"));
        assert_eq!(name("run.3").to_string(), "run.3");
    }

    #[test]
    fn nonsense_is_no_process() {
        for text in ["", ".", "web.", "web.x", "web.01", "web.-1", "Web", "1web", "web 1", "web.1.2", "web\u{1b}", &"w".repeat(41)] {
            assert!(text.parse::<ProcessName>().is_err(), "{text:?}");
        }
    }
}
