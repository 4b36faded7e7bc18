//! What a tar says in front of an entry because its header is too small: PAX records and GNU long names.

use std::io::Read;

use tar::EntryType;

use super::path::MAX_PATH_BYTES;
use crate::error::{Error, Result};

/// The largest PAX header. Those of ordinary programs have a few hundred bytes; macOS puts extended attributes into them.
const MAX_PAX_BYTES: u64 = 1 << 20;

/// What extension headers say about the entry that follows them.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    is_sparse: bool,
}

// === impl Extended ===

impl Extended {
    /// Tells whether a header of this kind only speaks about others.
    pub(super) fn is_extension(kind: EntryType) -> bool {
        kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() || kind.is_pax_global_extensions()
    }

    /// Reads the content of an extension header. What is said twice is refused: of two programs each would believe another.
    pub(super) fn read(&mut self, kind: EntryType, size: u64, content: impl Read) -> Result<()> {
        if kind.is_gnu_longname() {
            return set(&mut self.path, long_name(size, content)?);
        }
        if kind.is_gnu_longlink() {
            return set(&mut self.target, long_name(size, content)?);
        }
        if size > MAX_PAX_BYTES {
            return Err(Error::failed(format!("the archive has a PAX header of more than {MAX_PAX_BYTES} bytes")));
        }
        let text = whole(size, content)?;
        for record in records(&text) {
            let (key, value) = record?;
            if kind.is_pax_global_extensions() { check_global(key)? } else { self.record(key, value)? }
        }
        Ok(())
    }

    /// Refuses what the entry's own header (its size is `size`) and these do not agree on.
    pub(super) fn check(&self, size: u64) -> Result<(), &'static str> {
        if self.is_sparse {
            return Err("it is a sparse file");
        }
        if self.size.is_some_and(|told| told != size) { Err("its size is told twice, and differently") } else { Ok(()) }
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"path" => set(&mut self.path, value.to_vec()),
            b"linkpath" => set(&mut self.target, value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                set(&mut self.size, size.ok_or_else(malformed)?)
            }
            _ => {
                self.is_sparse |= key.starts_with(b"GNU.sparse.");
                Ok(())
            }
        }
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::failed("the archive tells name or size of one entry twice")),
    }
}

/// A name for all entries that follow would make them one.
fn check_global(key: &[u8]) -> Result<()> {
    let is_of_one = matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.");
    if is_of_one { Err(Error::failed("the archive has one name or size for all of its entries")) } else { Ok(()) }
}

/// GNU tar ends a long name with a NUL.
fn long_name(size: u64, content: impl Read) -> Result<Vec<u8>> {
    if size > MAX_PATH_BYTES as u64 + 1 {
        return Err(Error::failed(format!("the archive has a name of more than {MAX_PATH_BYTES} bytes")));
    }
    let mut name = whole(size, content)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

fn whole(size: u64, mut content: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = content.read_to_end(&mut bytes).map_err(|err| malformed().because(err))?;
    if read as u64 == size { Ok(bytes) } else { Err(malformed()) }
}

/// Splits a PAX header: `"%d %s=%s\n", <length>, <keyword>, <value>` (POSIX.1-2017, pax, "pax Extended Header").
fn records(mut rest: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((record, behind)) = first_record(rest) else {
            rest = &[];
            return Some(Err(malformed()));
        };
        rest = behind;
        Some(Ok(record))
    })
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn first_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    let record = bytes.get(digits..length)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let middle = record.iter().position(|byte| *byte == b'=')?;
    Some(((&record[..middle], &record[middle + 1..]), &bytes[length..]))
}

fn malformed() -> Error {
    Error::failed("the archive has a PAX header that cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pax(text: &[u8]) -> Result<Extended> {
        let mut told = Extended::default();
        told.read(EntryType::XHeader, text.len() as u64, text).map(|()| told)
    }

    #[test]
    fn names_with_newlines_and_equal_signs_come_back_whole() {
        let told = pax(b"17 path=a\nb=c d=\n13 mtime=1.5\n11 size=12\n").unwrap();

        assert_eq!((told.path.as_deref(), told.size), (Some(&b"a\nb=c d="[..]), Some(12)));
    }

    #[test]
    fn malformed_records_are_refused() {
        let cases: &[&[u8]] =
            &[b"x", b"9 path=a\n ", b"99 path=a\n", b"9 path=ab\n", b"+9 path=a\n", b"3 \n", b"0 \n", b"11 size=-1\n", b"11 size=12\n\0"];
        for text in cases {
            assert!(pax(text).is_err(), "{} was taken", text.escape_ascii());
        }
    }

    #[test]
    fn a_name_is_told_once_and_never_for_all() {
        assert!(pax(b"9 path=a\n9 path=b\n").is_err());
        assert!(Extended::default().read(EntryType::XGlobalHeader, 9, &b"9 path=a\n"[..]).is_err());
        assert!(Extended::default().read(EntryType::XGlobalHeader, 13, &b"13 comment=a\n"[..]).is_ok());
    }
}
