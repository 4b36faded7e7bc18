//! Unpacks a backup that nobody vouches for into an empty folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Deserialize;

use super::manifest::{Digest, Seal};
use super::place::{self, MANIFEST, SEAL, limit_of};
use super::{FORMAT, Manifest};
use crate::error::{Error, Result};

const CHUNK_BYTES: usize = 128 << 10;

/// How far the unpacking has come.
#[derive(Default)]
struct Progress {
    manifest: Option<Manifest>,
    bytes: u64,
    is_sealed: bool,
}

/// Unpacks all of `from` into the folder `into`, which is empty: files get mode 0600, folders 0700. Returns its manifest.
///
/// What is cut, changed or not a backup of `mini` is an error; the caller then removes what is in `into`. Nothing is synced.
pub fn unpack(from: impl Read, into: &Path) -> Result<Manifest> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(CHUNK_BYTES, from));
    let mut progress = Progress::default();
    let mut digest = Some(Digest::new());
    // Raw: the extensions of tar (long names, links, sparse files) are entries like any other here, and refused.
    for entry in archive.entries().map_err(not_read)?.raw(true) {
        let is_begun = progress.manifest.is_some();
        let mut entry = entry.map_err(|err| if is_begun { not_read(err) } else { not_a_backup().because(err) })?;
        let header = entry.header();
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|err| not_ours(&err.to_string()))?;
        if !header.entry_type().is_file() {
            return Err(not_ours(&path));
        }
        let size_bytes = header.entry_size().map_err(not_read)?;
        let Some(counting) = digest.as_mut().filter(|_| !progress.is_sealed) else { return Err(not_ours(&path)) };
        if path == SEAL {
            let expected = digest.take().map(Digest::seal);
            let seal: Seal = parse(&mut entry, size_bytes)?;
            if Some(seal) != expected {
                return Err(damaged("its content is not what was backed up"));
            }
            progress.is_sealed = true;
            continue;
        }
        if counting.entries() >= place::MAX_ENTRIES {
            return Err(too_large(&path));
        }
        counting.begin(&path, size_bytes);
        let mut content = Checked { from: &mut entry, digest: counting };
        if progress.manifest.is_none() {
            progress.manifest = Some(read_manifest(&path, &mut content, size_bytes)?);
            continue;
        }
        let limit = limit_of(&path).ok_or_else(|| not_ours(&path))?;
        progress.bytes = progress.bytes.saturating_add(size_bytes);
        if size_bytes > limit || progress.bytes > place::MAX_BYTES {
            return Err(too_large(&path));
        }
        write(&mut content, size_bytes, &into.join(&path))?;
    }
    match progress {
        Progress { manifest: Some(manifest), is_sealed: true, .. } => Ok(manifest),
        Progress { manifest: Some(_), .. } => Err(damaged("its end is missing")),
        Progress { manifest: None, .. } => Err(not_a_backup()),
    }
}

/// Counts what is read into the digest.
struct Checked<'a, R> {
    from: R,
    digest: &'a mut Digest,
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

fn read_manifest(path: &str, content: &mut impl Read, size_bytes: u64) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
        mini: String,
    }
    if path != MANIFEST {
        return Err(not_a_backup());
    }
    let value: serde_json::Value = parse(content, size_bytes)?;
    let head = Head::deserialize(&value).map_err(|err| not_a_backup().because(err))?;
    if head.format != FORMAT {
        let sentence = format!("the backup was made by mini {} and has format {}", head.mini.escape_debug(), head.format);
        return Err(Error::failed(format!("{sentence}, which this mini does not know")).hint("restore it with a newer mini"));
    }
    serde_json::from_value(value).map_err(|err| not_a_backup().because(err))
}

fn parse<T: serde::de::DeserializeOwned>(content: &mut impl Read, size_bytes: u64) -> Result<T> {
    if size_bytes > place::MAX_MANIFEST_BYTES {
        return Err(not_a_backup());
    }
    let mut text = Vec::new();
    content.read_to_end(&mut text).map_err(not_read)?;
    serde_json::from_slice(&text).map_err(|err| damaged("what it says of itself cannot be read").because(err))
}

fn write(content: &mut impl Read, size_bytes: u64, to: &Path) -> Result<()> {
    let full = |err: io::Error| Error::unavailable(format!("`{}` cannot be written: {err}", to.display()));
    if let Some(folder) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(full)?;
    }
    let mut file: File = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(to) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => return Err(damaged("a file is in it twice")),
        opened => opened.map_err(full)?,
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut rest = size_bytes;
    while rest > 0 {
        let count = content.read(&mut chunk).map_err(not_read)?;
        if count == 0 {
            return Err(damaged("it is cut"));
        }
        file.write_all(&chunk[..count]).map_err(full)?;
        rest -= count as u64;
    }
    Ok(())
}

fn not_read(cause: io::Error) -> Error {
    damaged("it cannot be read to its end").because(cause)
}

fn damaged(why: &str) -> Error {
    Error::failed(format!("the backup is damaged: {why}")).hint("nothing was restored: take another backup")
}

fn not_ours(path: &str) -> Error {
    let shown: String = path.chars().take(120).collect();
    Error::failed(format!("the backup holds `{}`, which no backup of mini holds", shown.escape_debug())).hint("nothing was restored")
}

fn not_a_backup() -> Error {
    Error::failed("this is not a backup of mini").hint("`mini backup FILE` makes one")
}

fn too_large(path: &str) -> Error {
    Error::failed(format!("the backup is too large at `{}`", path.escape_debug())).hint("nothing was restored")
}
