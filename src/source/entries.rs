//! The entries of a context, one after the other, for those who make something else of them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::context::Context;
use super::writer::not_spooled;
use super::{Budget, ContextWriter, Ignore};
use crate::error::{Error, Result};

const BUFFER_BYTES: usize = 128 << 10;

/// One entry of a context.
pub struct ContextEntry<'a> {
    /// Relative and clean; any bytes but NUL.
    pub path: &'a [u8],
    pub what: EntryKind<'a>,
}

/// What an entry is.
pub enum EntryKind<'a> {
    Folder,
    /// A symbolic link with its target.
    Link(&'a [u8]),
    File {
        executable: bool,
        size: u64,
        content: &'a mut dyn Read,
    },
}

/// The entries of a context, opened: they can be read on another thread, and after the context has gone.
#[derive(Debug)]
pub struct ContextEntries {
    tar: File,
}

// === impl ContextEntries ===

impl ContextEntries {
    /// Shows every entry in its order; blocks. Of a path that comes twice the last one counts: a file was added after spooling.
    pub fn walk(self, mut visit: impl FnMut(ContextEntry<'_>) -> Result<()>) -> Result<()> {
        let mut archive = tar::Archive::new(BufReader::with_capacity(BUFFER_BYTES, self.tar));
        for entry in archive.entries().map_err(not_spooled)? {
            let mut entry = entry.map_err(not_spooled)?;
            let path = entry.path_bytes().into_owned();
            let path = path.strip_suffix(b"/").unwrap_or(&path);
            let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
            let what = match (entry.header().entry_type(), &target) {
                (tar::EntryType::Directory, _) => EntryKind::Folder,
                (_, Some(target)) => EntryKind::Link(target),
                _ => {
                    let executable = entry.header().mode().map_err(not_spooled)? & 0o100 != 0;
                    EntryKind::File { executable, size: entry.size(), content: &mut entry }
                }
            };
            visit(ContextEntry { path, what })?;
        }
        Ok(())
    }
}

// === impl Context ===

impl Context {
    /// Opens the entries for one walk.
    pub fn entries(&self) -> Result<ContextEntries> {
        Ok(ContextEntries { tar: File::open(self.path()).map_err(not_spooled)? })
    }

    /// Spools what `ignore` keeps of this into a new context beside it, and lets this one go.
    pub(super) fn filtered(self, ignore: Ignore, is_cancelled: &dyn Fn() -> bool) -> Result<Context> {
        // It was within its budget when it was spooled.
        let mut writer = ContextWriter::new(self.tmp_dir()?, ignore)?.with_budget(Budget::UNLIMITED);
        for warning in self.manifest().warnings() {
            writer.warn(warning);
        }
        self.entries()?.walk(|ContextEntry { path, what }| {
            if is_cancelled() {
                return Err(super::feed::cancelled());
            }
            match what {
                EntryKind::Folder => writer.add_dir(path),
                EntryKind::Link(target) => writer.add_symlink(path, target),
                EntryKind::File { executable, size, content } => writer.add_file(path, executable, size, content),
            }
        })?;
        writer.finish()
    }

    fn tmp_dir(&self) -> Result<&Path> {
        self.folder().parent().ok_or_else(|| Error::failed("the source's folder has no folder above it"))
    }
}
