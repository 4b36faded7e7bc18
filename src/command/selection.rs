//! Which log lines are asked for.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{ProcessName, Stamp};

const MILLIS: [(char, u64); 4] = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
/// Nothing is kept for longer than this.
const MAX_AGO: Duration = Duration::from_hours(100 * 365 * 24);

/// Whose lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// What the app printed.
    App,
    /// What `mini` said, whatever about.
    Mini,
    Build,
    Release,
    Router,
}

/// From when on: a moment, or that long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Since {
    Ago(Duration),
    At(Stamp),
}

/// What a reader of logs wants to see; the default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub process: Option<ProcessName>,
    pub source: Option<LogSource>,
    pub since: Option<Stamp>,
}

// === impl LogSource ===

impl FromStr for LogSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "app" => LogSource::App,
            "mini" => LogSource::Mini,
            "build" => LogSource::Build,
            "release" => LogSource::Release,
            "router" => LogSource::Router,
            _ => {
                let sentence = format!("`{}` is not a source of log lines", text.escape_debug());
                return Err(Error::usage(sentence).hint("write -s app, build, release, router or mini"));
            }
        })
    }
}

// === impl Since ===

impl Since {
    /// Returns the moment that is meant.
    #[must_use]
    pub fn moment(self) -> Stamp {
        match self {
            Since::At(at) => at,
            Since::Ago(ago) => {
                Stamp::from_millis(Stamp::now().as_millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
            }
        }
    }
}

impl FromStr for Since {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ago = MILLIS.iter().find_map(|(unit, millis)| {
            let number: u64 = text.strip_suffix(*unit).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
            Some(Duration::from_millis(number.checked_mul(*millis)?)).filter(|ago| *ago <= MAX_AGO)
        });
        match (ago, Stamp::parse(text)) {
            (Some(ago), _) => Ok(Since::Ago(ago)),
            (None, Ok(at)) => Ok(Since::At(at)),
            (None, Err(_)) => {
                let sentence = format!("`{}` is neither a length of time nor a moment", text.escape_debug());
                Err(Error::usage(sentence).hint("write --since 90s, 30m, 1h, 2d or --since 2026-01-31T12:00:00Z"))
            }
        }
    }
}

impl TryFrom<String> for Since {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// Seconds are the smallest unit that is typed, and all others are made of them.
impl From<Since> for String {
    fn from(since: Since) -> String {
        match since {
            Since::Ago(ago) => format!("{}s", ago.as_secs()),
            Since::At(at) => at.to_string(),
        }
    }
}

// === impl Selection ===

impl Selection {
    /// Tells whether lines of a process of the app, such as `web.1`, are wanted.
    #[must_use]
    pub fn wants_app(&self, process: &str) -> bool {
        matches!(self.source, None | Some(LogSource::App)) && self.process.as_ref().is_none_or(|name| name.covers_name(process))
    }

    /// Tells whether lines of a part of `mini`, such as `build`, are wanted; no process of the app says them.
    #[must_use]
    pub fn wants_mini(&self, part: &str) -> bool {
        let is_source = match self.source {
            None | Some(LogSource::Mini) => true,
            Some(LogSource::App) => false,
            Some(LogSource::Build) => part == "build",
            Some(LogSource::Release) => part == "release",
            Some(LogSource::Router) => part == "router",
        };
        is_source && self.process.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_length_of_time_or_a_moment() {
        assert_eq!("90s".parse::<Since>().unwrap(), Since::Ago(Duration::from_secs(90)));
        assert_eq!("2d".parse::<Since>().unwrap(), Since::Ago(Duration::from_hours(48)));
        assert_eq!("2026-01-31T12:00:00Z".parse::<Since>().unwrap().moment().as_millis(), 1_769_860_800_000);
        for text in ["", "h", "1", "-1h", "1w", "1 h", "yesterday", "99999999999999999999s", "99999999999d", "2026-01-31"] {
            let err = text.parse::<Since>().unwrap_err();
            assert!(err.next_step().unwrap().contains("--since 90s"), "{text:?}");
        }
    }

    #[test]
    fn a_selection_is_by_source_and_by_process() {
        let of = |source: Option<&str>, process: Option<&str>| Selection {
            source: source.map(|text| text.parse().unwrap()),
            process: process.map(|text| text.parse().unwrap()),
            since: None,
        };

        assert!(of(None, None).wants_app("web.1") && of(None, None).wants_mini("build"));
        assert!(of(Some("app"), None).wants_app("run.3") && !of(Some("app"), None).wants_mini("build"));
        assert!(!of(Some("mini"), None).wants_app("web.1") && of(Some("mini"), None).wants_mini("release"));
        assert!(of(Some("build"), None).wants_mini("build") && !of(Some("build"), None).wants_mini("release"));
        assert!(of(None, Some("web")).wants_app("web.2") && !of(None, Some("web")).wants_app("run.1"));
        assert!(of(None, Some("web.1")).wants_app("web.1") && !of(None, Some("web.1")).wants_mini("build"));
        assert!(!of(Some("build"), Some("web")).wants_mini("build"));
        assert!("nonsense".parse::<LogSource>().is_err());
    }
}
