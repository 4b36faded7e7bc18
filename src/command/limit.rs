//! `memory=512m`, `cpus=0.5`, `memory=none`: what one container of an app may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::limits::{GIB, KIB, MIB};

/// The engine takes no less (docker run: `--memory`, "minimum allowed value is 6m").
const LEAST_MEMORY_BYTES: u64 = 6 * MIB;
/// More than any machine has: what is typed by mistake is told.
const MOST_MEMORY_BYTES: u64 = 1 << 50;
const MOST_CPU_MILLIS: u32 = 1_000_000;

/// One limit of an app's containers; `None` takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Limit {
    MemoryBytes(Option<u64>),
    /// Thousandths of a processor.
    CpuMillis(Option<u32>),
}

// === impl Limit ===

impl FromStr for Limit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some(("memory", "none")) => Ok(Limit::MemoryBytes(None)),
            Some(("memory", size)) => memory(size).map(|bytes| Limit::MemoryBytes(Some(bytes))),
            Some(("cpus" | "cpu", "none")) => Ok(Limit::CpuMillis(None)),
            Some(("cpus" | "cpu", number)) => cpu_millis(number).map(|millis| Limit::CpuMillis(Some(millis))),
            _ => Err(Error::usage(format!("`{}` is not a limit", text.escape_debug())).hint("as in memory=512m cpus=0.5, or memory=none")),
        }
    }
}

fn memory(text: &str) -> Result<u64> {
    let wrong = || Error::usage(format!("`{}` is not a size of memory", text.escape_debug())).hint("as in 512m or 2g, at least 6m");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => KIB,
        "m" | "mb" | "mib" => MIB,
        "g" | "gb" | "gib" => GIB,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    if (LEAST_MEMORY_BYTES..=MOST_MEMORY_BYTES).contains(&bytes) { Ok(bytes) } else { Err(wrong()) }
}

fn cpu_millis(text: &str) -> Result<u32> {
    let wrong = || Error::usage(format!("`{}` is not a number of processors", text.escape_debug())).hint("as in 0.5 or 2, at least 0.01");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = [whole, fraction].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !are_digits || whole.is_empty() || fraction.len() > 3 || (text.contains('.') && fraction.is_empty()) {
        return Err(wrong());
    }
    let whole: u32 = whole.parse().map_err(|_| wrong())?;
    let fraction: u32 = format!("{fraction:0<3}").parse().map_err(|_| wrong())?;
    let millis = whole.checked_mul(1000).and_then(|millis| millis.checked_add(fraction)).ok_or_else(wrong)?;
    if (10..=MOST_CPU_MILLIS).contains(&millis) { Ok(millis) } else { Err(wrong()) }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::MemoryBytes(None) => f.write_str("memory=none"),
            Limit::MemoryBytes(Some(bytes)) => write!(f, "memory={bytes}"),
            Limit::CpuMillis(None) => f.write_str("cpus=none"),
            Limit::CpuMillis(Some(millis)) => write!(f, "cpus={}.{:03}", millis / 1000, millis % 1000),
        }
    }
}

impl TryFrom<String> for Limit {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> String {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_the_units_that_people_write() {
        for (text, limit) in [
            ("memory=512m", Limit::MemoryBytes(Some(512 * MIB))),
            ("memory=2GiB", Limit::MemoryBytes(Some(2 * GIB))),
            ("memory=8388608", Limit::MemoryBytes(Some(8 * MIB))),
            ("memory=none", Limit::MemoryBytes(None)),
            ("cpus=0.5", Limit::CpuMillis(Some(500))),
            ("cpu=2", Limit::CpuMillis(Some(2000))),
            ("cpus=1.125", Limit::CpuMillis(Some(1125))),
            ("cpus=none", Limit::CpuMillis(None)),
        ] {
            assert_eq!(text.parse::<Limit>().unwrap(), limit, "{text}");
            assert_eq!(limit.to_string().parse::<Limit>().unwrap(), limit, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_limit() {
        for text in ["memory", "memory=", "memory=5m", "memory=x", "memory=-1g", "memory=99999999999g", "disk=1g"] {
            assert_eq!(text.parse::<Limit>().unwrap_err().exit_code(), 2, "{text:?}");
        }
        for text in ["cpus=", "cpus=0", "cpus=.5", "cpus=1.", "cpus=0.0001", "cpus=-1", "cpus=9999999", "cpus=1e3"] {
            assert_eq!(text.parse::<Limit>().unwrap_err().exit_code(), 2, "{text:?}");
        }
    }
}
