//! A spooled build context: one tar in a private folder that goes away with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::writer::not_spooled;
use super::{Manifest, emit, path};
use crate::error::Result;

/// Two empty blocks end a tar (POSIX.1-2017, pax, "ustar Interchange Format").
pub(super) const TRAILER_BYTES: u64 = 1024;

/// A source, ready to be sent to a builder. Dropping it removes it from disk.
#[derive(Debug)]
pub struct Context {
    dir: TempDir,
    /// Where the root files begin that are written last and can be replaced.
    body_end: u64,
    tail: Tail,
    bytes: u64,
    manifest: Manifest,
}

pub(super) type Tail = BTreeMap<String, TailFile>;

#[derive(Debug)]
pub(super) struct TailFile {
    pub(super) executable: bool,
    pub(super) bytes: Vec<u8>,
}

// === impl Context ===

impl Context {
    pub(super) fn new(dir: TempDir, file: &mut File, body_end: u64, tail: Tail, manifest: Manifest) -> Result<Context> {
        let bytes = write_tail(file, body_end, &tail)?;
        Ok(Context { dir, body_end, tail, bytes, manifest })
    }

    /// Returns where the tar is; it stays there as long as this lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        tar_path(&self.dir)
    }

    /// Returns the length of the tar.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.manifest.warn(warning);
    }

    /// Adds a root file, or replaces a small one, such as a Dockerfile without its `# syntax=` line.
    ///
    /// A file that was not held back for detection is not taken out: the new one comes later, and whoever unpacks lets the last one win.
    pub fn with_file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Result<Context> {
        path::check(name.as_bytes())?;
        let bytes = content.into();
        let executable = self.tail.get(name).is_some_and(|file| file.executable);
        self.manifest.keep(name, bytes.len() as u64);
        self.manifest.keep_root_file(name, bytes.clone());
        if let Some(replaced) = self.tail.insert(name.to_owned(), TailFile { executable, bytes }) {
            self.manifest.forget_bytes(replaced.bytes.len() as u64);
        }
        let mut file = File::options().read(true).write(true).open(self.path()).map_err(not_spooled)?;
        self.bytes = write_tail(&mut file, self.body_end, &self.tail)?;
        Ok(self)
    }

    /// Reads one file of at most `limit` bytes from the tar; `None` if there is no such file, or it is larger.
    pub fn read_file(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut archive = tar::Archive::new(File::open(self.path()).map_err(not_spooled)?);
        let mut found = None;
        for entry in archive.entries_with_seek().map_err(not_spooled)? {
            let mut entry = entry.map_err(not_spooled)?;
            if entry.header().entry_type().is_file() && entry.path_bytes() == name.as_bytes() && entry.size() <= limit {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(not_spooled)?;
                found = Some(bytes);
            }
        }
        Ok(found)
    }
}

/// Writes the held back files and the trailer behind the body, and returns the length of the whole.
fn write_tail(file: &mut File, body_end: u64, tail: &Tail) -> Result<u64> {
    file.set_len(body_end).and_then(|()| file.seek(SeekFrom::Start(body_end))).map_err(not_spooled)?;
    let mut tar = tar::Builder::new(BufWriter::new(&mut *file));
    for (name, TailFile { executable, bytes }) in tail {
        emit::file(&mut tar, name.as_bytes(), *executable, bytes.len() as u64, bytes.as_slice()).map_err(not_spooled)?;
    }
    tar.into_inner().and_then(|spooled| spooled.into_inner().map_err(std::io::IntoInnerError::into_error)).map_err(not_spooled)?;
    file.stream_position().map_err(not_spooled)
}

pub(super) fn tar_path(dir: &TempDir) -> PathBuf {
    dir.path().join("context.tar")
}

#[cfg(test)]
mod tests;
