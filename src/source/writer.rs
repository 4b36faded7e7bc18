//! Writes a context: checks every path, leaves out what is ignored, and makes the same tar of the same source.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek};
use std::path::Path;

use tempfile::TempDir;

use super::context::{self, Context, Tail, TailFile};
use super::emit;
use super::path::{self, refused, shown};
use super::{Budget, Ignore, MAX_ROOT_FILE_BYTES, Manifest, Spent, is_always_kept, is_control_file, is_read_by_detection};
use crate::error::{Error, Result};

/// The longest link target that Linux takes (`limits.h`: `PATH_MAX`, less its NUL).
const MAX_TARGET_BYTES: usize = 4095;

/// All paths together: they are kept in memory, and a hostile source has nothing but long ones. 100,000 usual ones come to 10 MiB.
const MAX_NAMES_BYTES: usize = 32 << 20;

/// Spools a source into one tar in a private folder. After an error it is of no more use: drop it.
pub struct ContextWriter {
    // Declared first and so closed first: the folder goes after the file in it.
    tar: tar::Builder<BufWriter<File>>,
    dir: TempDir,
    ignore: Ignore,
    budget: Budget,
    spent: Spent,
    seen: BTreeMap<Vec<u8>, Seen>,
    names_bytes: usize,
    tail: Tail,
    manifest: Manifest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Leaf,
    /// A folder that something else is in; it is written when something in it is kept.
    ImpliedFolder,
    Folder,
    WrittenFolder,
}

// === impl ContextWriter ===

impl ContextWriter {
    /// Starts a context in a private folder below `tmp_dir`, with the limits of [`Budget::default`].
    pub fn new(tmp_dir: &Path, ignore: Ignore) -> Result<ContextWriter> {
        let dir = tempfile::Builder::new().prefix("context-").tempdir_in(tmp_dir).map_err(not_spooled)?;
        let file = File::options().read(true).write(true).create_new(true).open(context::tar_path(&dir)).map_err(not_spooled)?;
        Ok(ContextWriter {
            tar: tar::Builder::new(BufWriter::with_capacity(1 << 16, file)),
            dir,
            ignore,
            budget: Budget::default(),
            spent: Spent::default(),
            seen: BTreeMap::new(),
            names_bytes: 0,
            tail: Tail::new(),
            manifest: Manifest::default(),
        })
    }

    /// Sets other limits; they count everything offered, also what is then left out.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> ContextWriter {
        self.budget = budget;
        self
    }

    /// Tells whether a file or link at `path` would be read at all, so that nobody fetches what is left out.
    #[must_use]
    pub fn wants(&self, path: impl AsRef<[u8]>) -> bool {
        let path = String::from_utf8_lossy(path.as_ref());
        is_control_file(&path) || !self.ignore.excludes(&path)
    }

    /// Tells whether anything below the folder `path` could be kept.
    #[must_use]
    pub fn wants_folder(&self, path: impl AsRef<[u8]>) -> bool {
        !self.ignore.is_final() || !self.ignore.excludes(&String::from_utf8_lossy(path.as_ref()))
    }

    /// Adds a file of exactly `size` bytes. Of its mode only the executable bit is kept.
    pub fn add_file(&mut self, path: impl AsRef<[u8]>, executable: bool, size: u64, content: impl Read) -> Result<()> {
        let path = path.as_ref();
        self.offer(path, Seen::Leaf, size)?;
        let name = String::from_utf8_lossy(path);
        self.budget.check_file(&name, size)?;
        let is_kept = is_always_kept(&name) || !self.ignore.excludes(&name);
        let content = Exactly { rest: size, from: content };
        if is_read_by_detection(&name) && size <= MAX_ROOT_FILE_BYTES && (is_kept || is_control_file(&name)) {
            self.add_root_file(&name, executable, is_kept, content)
        } else if is_kept {
            self.write_file(path, executable, size, content)
        } else {
            Ok(())
        }
    }

    /// Adds a folder, which may stay empty. Folders that files are in need not be added.
    pub fn add_dir(&mut self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        self.offer(path, Seen::Folder, 0)?;
        if self.ignore.excludes(&String::from_utf8_lossy(path)) { Ok(()) } else { self.write_folders(path, true) }
    }

    /// Adds a symbolic link as a link; nobody here ever follows it.
    pub fn add_symlink(&mut self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Result<()> {
        let (path, target) = (path.as_ref(), target.as_ref());
        self.offer(path, Seen::Leaf, 0)?;
        if target.is_empty() || target.len() > MAX_TARGET_BYTES || target.contains(&0) {
            return Err(refused(path, "its link target is not a path"));
        }
        let name = String::from_utf8_lossy(path);
        if !is_always_kept(&name) && self.ignore.excludes(&name) {
            return Ok(());
        }
        self.write_folders(path, false)?;
        emit::link(&mut self.tar, path, target).map_err(not_spooled)?;
        self.manifest.keep(&name, 0);
        Ok(())
    }

    /// Adds a line that the person who brought the source should read.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.manifest.warn(warning.into());
    }

    /// Ends the tar and returns the context.
    pub fn finish(self) -> Result<Context> {
        let spooled = self.tar.into_inner().map_err(not_spooled)?;
        let mut file = spooled.into_inner().map_err(|err| not_spooled(err.into_error()))?;
        let body_end = file.stream_position().map_err(not_spooled)? - context::TRAILER_BYTES;
        Context::new(self.dir, &mut file, body_end, self.tail, self.manifest)
    }

    /// Counts a file that is not even offered, so that there cannot be any number of them.
    pub(super) fn leave_out(&mut self, size: u64) -> Result<()> {
        self.spent.add_file(size);
        self.budget.check(self.spent)
    }

    /// Counts an entry and refuses a bad path, one that came before, and one below something that is no folder.
    fn offer(&mut self, path: &[u8], what: Seen, size: u64) -> Result<()> {
        path::check(path)?;
        self.spent.bytes = self.spent.bytes.saturating_add(size);
        self.spent.depth = self.spent.depth.max(folders_above(path).count());
        self.budget.check(self.spent)?;
        for above in folders_above(path) {
            match self.seen.get(above) {
                Some(Seen::Leaf) => return Err(refused(path, &format!("`{}` is not a folder", shown(above)))),
                Some(_) => {}
                None => self.remember(above, Seen::ImpliedFolder)?,
            }
        }
        match (self.seen.get(path), what) {
            (None, _) => self.remember(path, what),
            (Some(Seen::ImpliedFolder), Seen::Folder) => {
                self.seen.insert(path.to_vec(), Seen::Folder);
                Ok(())
            }
            (Some(Seen::Folder | Seen::WrittenFolder), Seen::Folder) => Ok(()),
            _ => Err(refused(path, "it is there twice")),
        }
    }

    fn remember(&mut self, path: &[u8], what: Seen) -> Result<()> {
        self.spent.entries = self.spent.entries.saturating_add(1);
        self.budget.check(self.spent)?;
        self.names_bytes += path.len();
        if self.names_bytes > MAX_NAMES_BYTES {
            return Err(Error::failed(format!("the names in the source come to more than {} MiB", MAX_NAMES_BYTES >> 20))
                .hint("keep generated files and dependencies out of it"));
        }
        self.seen.insert(path.to_vec(), what);
        Ok(())
    }

    /// Reads a root file into memory; it is written last, where it can still be replaced.
    fn add_root_file(&mut self, name: &str, executable: bool, is_kept: bool, mut content: impl Read) -> Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(not_spooled)?;
        self.manifest.keep_root_file(name, bytes.clone());
        if is_kept {
            self.manifest.keep(name, bytes.len() as u64);
            self.tail.insert(name.to_owned(), TailFile { executable, bytes });
        }
        Ok(())
    }

    fn write_file(&mut self, path: &[u8], executable: bool, size: u64, content: impl Read) -> Result<()> {
        self.write_folders(path, false)?;
        emit::file(&mut self.tar, path, executable, size, content).map_err(not_spooled)?;
        self.manifest.keep(&String::from_utf8_lossy(path), size);
        Ok(())
    }

    /// Writes the folders above `path`, and `path` itself if it is one, each once.
    fn write_folders(&mut self, path: &[u8], is_folder: bool) -> Result<()> {
        for folder in folders_above(path).chain(is_folder.then_some(path)) {
            let seen = self.seen.insert(folder.to_vec(), Seen::WrittenFolder);
            if seen != Some(Seen::WrittenFolder) {
                emit::folder(&mut self.tar, folder).map_err(not_spooled)?;
            }
        }
        Ok(())
    }
}

/// Reads `a`, `a/b` of `a/b/c`.
fn folders_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

pub(super) fn not_spooled(cause: io::Error) -> Error {
    if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::unavailable("the server's disk is full")
            .hint("free space on the server (ssh mini prune), then deploy again")
            .because(cause);
    }
    Error::failed("the source could not be unpacked on the server").because(cause)
}

/// Reads as many bytes as were announced: one more or less would shift every later entry of the tar.
struct Exactly<R> {
    rest: u64,
    from: R,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
        let count = self.from.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest -= count as u64;
        Ok(count)
    }
}
