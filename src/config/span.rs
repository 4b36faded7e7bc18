//! A length of time as people write it in settings: `250ms`, `30s`, `5m`, `1h`.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, Result};

/// A duration with its unit, at most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

// === impl Span ===

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => 0,
        };
        match number.parse::<u64>() {
            Ok(number) if millis > 0 && number <= 86_400_000 / millis => Ok(Span(Duration::from_millis(number * millis))),
            _ => Err(Error::usage(format!("`{}` is not a length of time", text.escape_debug())).hint("write 250ms, 30s, 5m or 1h")),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_needs_a_unit_and_stays_within_a_day() {
        assert_eq!("250ms".parse::<Span>().unwrap().0, Duration::from_millis(250));
        assert_eq!("5m".parse::<Span>().unwrap().0, Duration::from_mins(5));
        for text in ["", "5", "m", "-5s", "1d", "25h", "99999999999999999999s", "5 s"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
