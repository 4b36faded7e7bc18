//! How long an API key is good for, as people write it: `90d`, `12h`, `30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A number of minutes, hours or days; at least one, at most ten years. Prints as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lifetime {
    number: u32,
    unit: char,
}

const MAX: Duration = Duration::from_hours(24 * 3652);

// === impl Lifetime ===

impl Lifetime {
    #[must_use]
    pub fn duration(self) -> Duration {
        let seconds = match self.unit {
            'm' => 60,
            'h' => 3600,
            _ => 86_400,
        };
        Duration::from_secs(seconds * u64::from(self.number))
    }
}

impl FromStr for Lifetime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = ['m', 'h', 'd'].into_iter().find_map(|unit| Some((text.strip_suffix(unit)?, unit)));
        let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        let lifetime = parts.and_then(|(digits, unit)| Some(Lifetime { number: number(digits)?, unit }));
        lifetime.filter(|lifetime| (Duration::from_mins(1)..=MAX).contains(&lifetime.duration())).ok_or_else(|| {
            let shown: String = text.chars().take(60).collect();
            Error::usage(format!("`{}` is not a lifetime", shown.escape_debug())).hint("write 30m, 12h or 90d; the longest is 3652d")
        })
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit)
    }
}

impl From<Lifetime> for String {
    fn from(lifetime: Lifetime) -> String {
        lifetime.to_string()
    }
}

impl TryFrom<String> for Lifetime {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_and_two_ends() {
        for (text, minutes) in [("1m", 1), ("30m", 30), ("12h", 720), ("90d", 129_600)] {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!((lifetime.duration(), lifetime.to_string().as_str()), (Duration::from_mins(minutes), text));
        }
        for text in ["", "d", "0d", "90", "-1d", "+1d", "1.5d", "90 d", "3653d", "99999999999d", "1w", "1D"] {
            assert!(text.parse::<Lifetime>().is_err(), "{text:?}");
        }
    }
}
