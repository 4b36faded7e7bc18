//! `web=2`, `worker+1`, `worker-1`: how many processes of a type somebody asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::ProcessType;

/// How many processes of one type there are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scaling {
    pub kind: ProcessType,
    pub quantity: Quantity,
}

/// A number of processes, or what it is to be more or less than now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Exactly(u32),
    More(u32),
    Fewer(u32),
}

// === impl Quantity ===

impl Quantity {
    /// Returns the number of processes that this makes of what there is now; never below none.
    #[must_use]
    pub fn of(self, now: u32) -> u32 {
        match self {
            Quantity::Exactly(quantity) => quantity,
            Quantity::More(more) => now.saturating_add(more),
            Quantity::Fewer(fewer) => now.saturating_sub(fewer),
        }
    }
}

// === impl Scaling ===

impl FromStr for Scaling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("`{}` is not TYPE=NUMBER", text.escape_debug()))
                .hint("as in web=2, worker+1 or worker-1, with blanks between them")
        };
        // A type may hold a `-` itself: the last sign is the one.
        let at = text.rfind(['=', '+', '-']).ok_or_else(wrong)?;
        let (kind, sign, number) = (&text[..at], text.as_bytes()[at], &text[at + 1..]);
        if kind.is_empty() || kind.contains(['=', '+', ',']) {
            return Err(wrong());
        }
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
        let quantity = match sign {
            b'=' => Quantity::Exactly(number),
            b'+' => Quantity::More(number),
            _ => Quantity::Fewer(number),
        };
        Ok(Scaling { kind: kind.parse()?, quantity })
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quantity {
            Quantity::Exactly(quantity) => write!(f, "{}={quantity}", self.kind),
            Quantity::More(more) => write!(f, "{}+{more}", self.kind),
            Quantity::Fewer(fewer) => write!(f, "{}-{fewer}", self.kind),
        }
    }
}

impl TryFrom<String> for Scaling {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Scaling> for String {
    fn from(scaling: Scaling) -> String {
        scaling.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaling_is_exact_or_relative_and_survives_being_written() {
        for text in ["web=2", "worker+1", "my-worker-1", "web=0"] {
            assert_eq!(text.parse::<Scaling>().unwrap().to_string(), text);
        }
        let fewer: Scaling = "my-worker-3".parse().unwrap();
        assert_eq!((fewer.kind.as_str(), fewer.quantity.of(2), fewer.quantity.of(4)), ("my-worker", 0, 1));
        assert_eq!((Quantity::Exactly(3).of(1), Quantity::More(u32::MAX).of(1)), (3, u32::MAX));
    }

    #[test]
    fn nonsense_is_no_scaling() {
        for text in ["web", "=1", "web=", "web=x", "web=-1", "web=+1", "Web=1", "web=1.5", "web=99999999999", "web 1", "web=1,b=2", ""] {
            let err = text.parse::<Scaling>().unwrap_err();
            assert_eq!(err.exit_code(), 2, "{text:?}");
            assert!(err.sentence() == format!("`{text}` is not TYPE=NUMBER") || text == "Web=1", "{err}");
        }
    }
}
