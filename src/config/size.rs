//! A size as people write it in settings: `500MiB`, `1GiB`, `0`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::model::limits::{GIB, KIB, MIB};

/// Bytes, written with their binary unit; `G` and `GB` are taken for it too, as disks' owners mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

// === impl Size ===

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let bytes = match unit.to_ascii_lowercase().as_str() {
            "" if number == "0" => Some(1),
            "k" | "kb" | "kib" => Some(KIB),
            "m" | "mb" | "mib" => Some(MIB),
            "g" | "gb" | "gib" => Some(GIB),
            "t" | "tb" | "tib" => Some(KIB * GIB),
            _ => None,
        };
        let size = bytes.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
        size.map(Size).ok_or_else(|| Error::usage(format!("`{}` is not a size", text.escape_debug())).hint("write 500MiB, 1GiB or 0"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [(GIB, "GiB"), (MIB, "MiB")].into_iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or((KIB, "KiB"));
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{}{name}", self.0 / unit) }
    }
}

impl TryFrom<String> for Size {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_in_its_largest_whole_unit() {
        for text in ["0", "8KiB", "1025KiB", "500MiB", "1GiB", "1024GiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_size_needs_a_unit_unless_it_is_nothing() {
        for (text, bytes) in
            [("0", 0), ("0M", 0), ("500MiB", 500 * MIB), ("1GiB", GIB), ("2g", 2 * GIB), ("8kb", 8 * KIB), ("1t", KIB * GIB)]
        {
            assert_eq!(text.parse::<Size>().unwrap().0, bytes, "{text}");
        }
        for text in ["", "5", "GiB", "-1GiB", "1 GiB", "1.5GiB", "1X", "99999999999TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?}");
        }
    }
}
