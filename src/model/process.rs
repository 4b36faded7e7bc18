//! How people name an app's processes: all of a type, or one of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// No process type is longer; what stands in a log line's brackets is cut at 64.
const MAX_TYPE_BYTES: usize = 40;

/// `web`, which is all of them, or `web.1`, `run.3`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessName {
    kind: String,
    index: Option<u32>,
}

// === impl ProcessName ===

impl ProcessName {
    /// Tells whether this names the process of a type and number.
    #[must_use]
    pub fn covers(&self, kind: &str, index: u32) -> bool {
        self.kind == kind && self.index.is_none_or(|own| own == index)
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
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_type = kind.len() <= MAX_TYPE_BYTES && kind.starts_with(|c: char| c.is_ascii_lowercase()) && kind.bytes().all(fits);
        match index {
            None if is_type => Ok(ProcessName { kind: kind.to_owned(), index: None }),
            Some(Some(index)) if is_type => Ok(ProcessName { kind: kind.to_owned(), index: Some(index) }),
            _ => Err(Error::usage(format!("`{}` is not the name of a process", text.escape_debug())).hint("write web, web.1 or run.3")),
        }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}.{index}", self.kind),
            None => f.write_str(&self.kind),
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
