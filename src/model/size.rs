//! Sizes in words: what `mini` counts in binary units, images as Docker does.

use super::limits::{GIB, KIB, MIB};

/// Names a size in its largest binary unit: `913 bytes`, `120 KiB`, `1.9 MiB`, `256 MiB`.
///
/// It is rounded up, to a whole KiB or a tenth above, so that what is beyond a limit never reads as the limit.
#[must_use]
pub fn in_words(bytes: u64) -> String {
    let (kib, mib) = (bytes.div_ceil(KIB), tenths(bytes, MIB));
    if bytes < KIB {
        format!("{bytes} bytes")
    } else if kib < KIB {
        format!("{kib} KiB")
    } else if mib < 10 * KIB {
        format!("{} MiB", decimal(mib))
    } else {
        format!("{} GiB", decimal(tenths(bytes, GIB)))
    }
}

/// As [`in_words`], rounded down to a whole MiB or a tenth of a GiB: what is below a limit never reads as the limit.
#[must_use]
pub fn at_least(bytes: u64) -> String {
    if bytes < MIB {
        in_words(bytes / KIB * KIB)
    } else if bytes < GIB {
        in_words(bytes / MIB * MIB)
    } else {
        format!("{} GiB", decimal(bytes / GIB * 10 + bytes % GIB * 10 / GIB))
    }
}

/// Names an image's size in MB, which are decimal as in `docker images`: with a tenth below 10.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    if tenths < 100 { format!("{}.{}", tenths / 10, tenths % 10) } else { (tenths / 10).to_string() }
}

fn tenths(bytes: u64, unit: u64) -> u64 {
    bytes / unit * 10 + (bytes % unit * 10).div_ceil(unit)
}

fn decimal(tenths: u64) -> String {
    if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well_and_are_rounded_up_into_the_next_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1025, "2 KiB"),
            (122_000, "120 KiB"),
            (1023 * KIB, "1023 KiB"),
            (1023 * KIB + 1, "1 MiB"),
            (MIB, "1 MiB"),
            (1_900_000, "1.9 MiB"),
            (256 * MIB, "256 MiB"),
            (256 * MIB + 1, "256.1 MiB"),
            (GIB - 1, "1 GiB"),
            (GIB, "1 GiB"),
            (GIB + 1, "1.1 GiB"),
            (u64::MAX, "17179869184 GiB"),
        ] {
            assert_eq!(in_words(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn what_is_there_is_rounded_down() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "0 bytes"),
            (MIB - 1, "1023 KiB"),
            (MIB, "1 MiB"),
            (GIB - 1, "1023 MiB"),
            (GIB, "1 GiB"),
            (2 * GIB - 1, "1.9 GiB"),
            (64 * GIB, "64 GiB"),
        ] {
            assert_eq!(at_least(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn images_are_counted_in_decimal_megabytes() {
        for (bytes, text) in [(0, "0.0"), (4_260_000, "4.2"), (9_999_999, "9.9"), (10_000_000, "10"), (124_700_000, "124")] {
            assert_eq!(megabytes(bytes), text, "{bytes}");
        }
    }
}
