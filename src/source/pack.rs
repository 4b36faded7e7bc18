//! Packs a folder on the developer's machine: a tar.gz that is written while it is read, the same for the same files.

use std::fs::{File, FileType};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::emit;
use super::path::shown;
use super::squeeze::Squeeze;
use crate::error::{Error, Result};

/// Writes a tar.gz with flat memory. After an error it is of no more use: drop it, and whoever reads sees a cut archive.
///
/// `.dockerignore` may come at any place; in git's order of paths the server makes the same context as of a push.
pub struct Packer<W: Write> {
    /// There until the end.
    tar: Option<tar::Builder<Squeeze<W>>>,
    files: u64,
    bytes: u64,
}

/// What became of something that was to be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    File {
        bytes: u64,
    },
    /// A socket, fifo or device: no source has such. Nothing was packed.
    LeftOut {
        kind: &'static str,
    },
}

// === impl Packer ===

impl<W: Write> Packer<W> {
    pub fn new(writer: W) -> Packer<W> {
        Packer { tar: Some(tar::Builder::new(Squeeze::new(writer))), files: 0, bytes: 0 }
    }

    /// Packs `file` as `path`, with what it has now: one that shrinks or grows meanwhile is an error, and so is one that cannot be read.
    ///
    /// Of its mode only the executable bit is kept. A link is never followed.
    pub fn add_file(&mut self, path: impl AsRef<[u8]>, file: &Path) -> Result<Packed> {
        let path = path.as_ref();
        let unreadable = |err: io::Error| unreadable(path, err);
        let found = file.symlink_metadata().map_err(unreadable)?;
        if let Some(kind) = special(found.file_type()) {
            return Ok(Packed::LeftOut { kind });
        }
        if !found.is_file() {
            return Err(no_file(path));
        }
        // What was a file may be a fifo by now: opening that would wait for a writer.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let content = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(file).map_err(unreadable)?;
        let found = content.metadata().map_err(unreadable)?;
        if !found.is_file() {
            return Err(no_file(path));
        }
        let mut content = Steady { content, rest: found.len(), fault: None };
        let written = emit::file(self.tar(), path, found.mode() & 0o100 != 0, found.len(), &mut content);
        content.check(path)?;
        written.map_err(broken_off)?;
        self.files += 1;
        self.bytes += found.len();
        Ok(Packed::File { bytes: found.len() })
    }

    /// Packs a symbolic link as a link.
    pub fn add_symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<()> {
        emit::link(self.tar(), path.as_ref(), target.as_ref()).map_err(broken_off)?;
        self.files += 1;
        Ok(())
    }

    /// Packs a folder; those that files are in need not be packed.
    pub fn add_dir(&mut self, path: impl AsRef<[u8]>) -> Result<()> {
        emit::folder(self.tar(), path.as_ref()).map_err(broken_off)
    }

    /// Returns how many files and links were packed.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Returns the bytes of all files packed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the archive and returns the writer, flushed.
    pub fn finish(mut self) -> Result<W> {
        let tar = self.tar.take().expect("only this takes it");
        tar.into_inner().and_then(Squeeze::finish).map_err(broken_off)
    }

    fn tar(&mut self) -> &mut tar::Builder<Squeeze<W>> {
        self.tar.as_mut().expect("it is there until the end")
    }
}

impl<W: Write> Drop for Packer<W> {
    /// The crate ends a tar that is dropped, and the part that was packed would look like the whole.
    fn drop(&mut self) {
        if let Some(tar) = &mut self.tar {
            tar.get_mut().abandon();
        }
    }
}

/// A file that must stay as long as it was.
struct Steady {
    content: File,
    rest: u64,
    fault: Option<Fault>,
}

enum Fault {
    Shrank,
    Grew,
    Unreadable(io::Error),
}

// === impl Steady ===

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
        match self.content.read(&mut buffer[..wanted]) {
            Ok(0) if wanted > 0 => Err(self.stop(Fault::Shrank)),
            Ok(count) => {
                self.rest -= count as u64;
                Ok(count)
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => Err(err),
            Err(err) => Err(self.stop(Fault::Unreadable(err))),
        }
    }
}

impl Steady {
    fn stop(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        io::Error::other("the file cannot be packed")
    }

    fn check(mut self, path: &[u8]) -> Result<()> {
        if self.fault.is_none() && self.rest == 0 && matches!(self.content.read(&mut [0]), Ok(1)) {
            self.fault = Some(Fault::Grew);
        }
        match self.fault {
            None => Ok(()),
            Some(Fault::Shrank) => Err(changed(path, "became shorter")),
            Some(Fault::Grew) => Err(changed(path, "became longer")),
            Some(Fault::Unreadable(err)) => Err(unreadable(path, err)),
        }
    }
}

fn special(kind: FileType) -> Option<&'static str> {
    let kinds = [(kind.is_socket(), "a socket"), (kind.is_fifo(), "a fifo"), (kind.is_block_device() || kind.is_char_device(), "a device")];
    kinds.into_iter().find(|(is, _)| *is).map(|(_, name)| name)
}

fn no_file(path: &[u8]) -> Error {
    Error::failed(format!("`{}` changed while it was packed: it is no file", shown(path))).hint("deploy again")
}

fn changed(path: &[u8], how: &str) -> Error {
    Error::failed(format!("`{}` {how} while it was packed", shown(path)))
        .hint("deploy again when nothing writes to it, or keep it out with .gitignore or .dockerignore")
}

fn unreadable(path: &[u8], cause: io::Error) -> Error {
    let why = match cause.kind() {
        io::ErrorKind::NotFound => "it is gone",
        io::ErrorKind::PermissionDenied => "you may not",
        _ => "the disk refuses",
    };
    Error::failed(format!("`{}` could not be read: {why}", shown(path)))
        .hint("make it readable, or keep it out with .gitignore or .dockerignore")
        .because(cause)
}

fn broken_off(cause: io::Error) -> Error {
    Error::failed("the upload broke off").hint("deploy again").because(cause)
}

#[cfg(test)]
mod tests;
