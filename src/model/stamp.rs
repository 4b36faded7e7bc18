//! A moment on the wall clock, for people and for order; durations use `Instant`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::error::{Error, Result};

/// Milliseconds since 1970-01-01T00:00:00Z; prints and serialises as RFC 3339 with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stamp(i64);

impl Stamp {
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Stamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Stamp(millis)
    }

    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339, as the engine stamps its log lines.
    pub fn parse(text: &str) -> Result<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|err| Error::usage("this is not a time").because(err))?;
        Ok(Stamp(i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()))
    }

    /// Returns the moment that comes `length` after now.
    #[must_use]
    pub fn after(length: Duration) -> Self {
        Stamp(Self::now().0.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns how far ahead this is; zero for the past.
    #[must_use]
    pub fn ahead(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - Self::now().0).unwrap_or(0))
    }

    /// Returns how long ago this was; zero for the future.
    #[must_use]
    pub fn age(self) -> Duration {
        Duration::from_millis(u64::try_from(Self::now().0 - self.0).unwrap_or(0))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        f.pad(&moment.format(layout).map_err(|_| fmt::Error)?)
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> String {
        stamp.to_string()
    }
}

impl TryFrom<String> for Stamp {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Stamp::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_own_print() {
        let stamp = Stamp::from_millis(1_769_860_800_123);

        assert_eq!(stamp.to_string(), "2026-01-31T12:00:00.123Z");
        assert_eq!(Stamp::parse(&stamp.to_string()).ok(), Some(stamp));
    }
}
