//! Writes a backup into a stream, one file after the other, in flat memory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::Manifest;
use super::manifest::Digest;
use super::place::{MANIFEST, SEAL, limit_of};
use crate::error::{Error, Result};

/// Writes a backup; without [`Writer::finish`] it is a cut one, which nobody restores.
pub struct Writer<W: Write> {
    tar: tar::Builder<W>,
    digest: Digest,
    taken_at_seconds: u64,
}

/// Hands bytes on and counts them into the digest.
struct Counted<'a, R> {
    from: R,
    digest: &'a mut Digest,
}

// === impl Writer ===

impl<W: Write> Writer<W> {
    /// Begins a backup with its manifest.
    pub fn new(to: W, manifest: &Manifest) -> Result<Self> {
        let taken_at_seconds = u64::try_from(manifest.taken_at.as_millis() / 1000).unwrap_or(0);
        let mut writer = Writer { tar: tar::Builder::new(to), digest: Digest::new(), taken_at_seconds };
        let text = serde_json::to_vec_pretty(manifest).expect("a manifest holds nothing that JSON cannot");
        writer.put(MANIFEST, text.len() as u64, text.as_slice())?;
        Ok(writer)
    }

    /// Adds a file as large as it is now: what is appended meanwhile is left out, and what was taken back is blank lines.
    pub fn add_file(&mut self, path: &str, from: &Path) -> Result<()> {
        if limit_of(path).is_none() {
            return Err(Error::failed(format!("`{}` has no place in a backup", path.escape_debug())));
        }
        let unreadable = |err| Error::failed(format!("`{path}` could not be read for the backup")).because(err);
        let file = File::open(from).map_err(unreadable)?;
        let size_bytes = file.metadata().map_err(unreadable)?.len();
        self.put(path, size_bytes, file.chain(io::repeat(b'\n')).take(size_bytes))
    }

    /// Adds all files below a folder, in the order of their names; a folder that is not there has none.
    pub fn add_folder(&mut self, path: &str, from: &Path) -> Result<()> {
        let unreadable = |err| Error::failed(format!("`{path}` could not be read for the backup")).because(err);
        let entries = match fs::read_dir(from) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>().map_err(unreadable)?,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(unreadable(err)),
        };
        let mut entries: Vec<_> = entries.into_iter().map(|entry| (entry.file_name(), entry.path())).collect();
        entries.sort();
        for (name, entry) in entries {
            let name = format!("{path}/{}", name.to_string_lossy());
            if entry.is_dir() { self.add_folder(&name, &entry)? } else { self.add_file(&name, &entry)? }
        }
        Ok(())
    }

    /// Seals the backup and returns the stream behind it.
    pub fn finish(mut self) -> Result<W> {
        let seal = std::mem::replace(&mut self.digest, Digest::new()).seal();
        let text = serde_json::to_vec(&seal).expect("a seal holds nothing that JSON cannot");
        self.put(SEAL, text.len() as u64, text.as_slice())?;
        self.tar.into_inner().map_err(not_written)
    }

    fn put(&mut self, path: &str, size_bytes: u64, content: impl Read) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).map_err(not_written)?;
        header.set_size(size_bytes);
        header.set_mode(0o600);
        header.set_mtime(self.taken_at_seconds);
        header.set_cksum();
        self.digest.begin(path, size_bytes);
        let content = Counted { from: content, digest: &mut self.digest };
        self.tar.append(&header, content).map_err(not_written)
    }
}

// === impl Counted ===

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

fn not_written(cause: io::Error) -> Error {
    Error::failed("the backup was not written to its end").because(cause)
}
