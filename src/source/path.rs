//! The path of an entry: relative, clean, and harmless wherever it is unpacked.

use crate::error::{Error, Result};

/// The longest path and the longest name that Linux takes (`limits.h`: `PATH_MAX`, less its NUL, and `NAME_MAX`).
pub(super) const MAX_PATH_BYTES: usize = 4095;
const MAX_NAME_BYTES: usize = 255;

/// Refuses a path that could leave the context, hide in `.git`, or not be unpacked at all.
pub(super) fn check(path: &[u8]) -> Result<()> {
    if path.is_empty() {
        return Err(Error::failed("the source has an entry without a name"));
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(refused(path, "its path is too long"));
    }
    if path.contains(&0) {
        return Err(refused(path, "its name has a NUL in it"));
    }
    for name in path.split(|byte| *byte == b'/') {
        check_name(path, name)?;
    }
    Ok(())
}

fn check_name(path: &[u8], name: &[u8]) -> Result<()> {
    match name {
        b"" => Err(refused(path, "it is not a relative, clean path")),
        b"." | b".." => Err(refused(path, "it points outside of its folder")),
        _ if name.eq_ignore_ascii_case(b".git") => Err(refused(path, "a source has no `.git` in it")),
        _ if name.len() > MAX_NAME_BYTES => Err(refused(path, "its name is too long")),
        _ => Ok(()),
    }
}

/// Returns a path as it can stand in a sentence.
pub(super) fn shown(path: &[u8]) -> String {
    const SHOWN: usize = 120;
    let text = String::from_utf8_lossy(path);
    let short: String = text.chars().take(SHOWN).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

pub(super) fn refused(path: &[u8], why: &str) -> Error {
    Error::failed(format!("`{}` cannot be part of a source: {why}", shown(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_context_or_cannot_be_unpacked_are_refused() {
        let long = vec![b'x'; 256];
        let longer = vec![b'a'; 4096];
        let hostile: [&[u8]; 15] = [
            b"",
            b"/",
            b"/etc/passwd",
            b"..",
            b"../x",
            b"a/../../x",
            b"a/..",
            b"./a",
            b"a//b",
            b"a/",
            b".git",
            b"a/.GIT/config",
            b"a\0b",
            &long,
            &longer,
        ];

        for path in hostile {
            assert!(check(path).is_err(), "{:?} was taken", path.escape_ascii().to_string());
        }
    }

    #[test]
    fn odd_and_harmless_names_pass() {
        for path in [&b".gitignore"[..], b"a/b c/...", b"-rf", b"\xff\xfe", "ünï".as_bytes(), b"a\nb", b".github/x"] {
            assert!(check(path).is_ok(), "{:?} was refused", path.escape_ascii().to_string());
        }
    }
}
