//! Measures a tree before anything is unpacked: git bombs and giant files pass every check of git's own.

use std::collections::HashMap;

use git2::{Odb, Oid, Repository, Tree};
use tokio_util::sync::CancellationToken;

use super::commits::unreadable;
use crate::error::{Error, Result};
use crate::source::{Budget, Spent};

/// Modes of tree entries (git's `Documentation/technical`, "gitformat-tree"); old repositories have 100664 too.
const TREE: i32 = 0o040_000;
const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const FILE_BITS: i32 = 0o100_000;
const TYPE_BITS: i32 = 0o170_000;
const EXECUTABLE_BIT: i32 = 0o100;

/// The longest tree object read: as many entries as a source may have, each with a name of 255 bytes, mode and id.
const TREE_ENTRY_BYTES: u64 = 7 + 255 + 1 + 20;

/// What a tree entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Folder,
    File { executable: bool },
    Link,
    Submodule,
}

/// Walks a tree once per distinct folder, however often it occurs.
pub(super) struct Measure<'r> {
    repo: &'r Repository,
    odb: Odb<'r>,
    budget: Budget,
    cancel: &'r CancellationToken,
    folders: HashMap<Oid, Spent>,
    entries_seen: u64,
}

// === impl Measure ===

impl<'r> Measure<'r> {
    pub(super) fn new(repo: &'r Repository, budget: Budget, cancel: &'r CancellationToken) -> Result<Measure<'r>> {
        Ok(Measure { repo, odb: repo.odb().map_err(unreadable)?, budget, cancel, folders: HashMap::new(), entries_seen: 0 })
    }

    /// Refuses a tree that is over the budget; the steps are bounded by what was pushed, not by what it unfolds to.
    pub(super) fn check(mut self, root: Oid) -> Result<()> {
        let spent = self.folder(root, "", 0)?;
        self.budget.check(spent)
    }

    fn folder(&mut self, oid: Oid, path: &str, depth: usize) -> Result<Spent> {
        if let Some(known) = self.folders.get(&oid) {
            return Ok(*known);
        }
        check_cancelled(self.cancel)?;
        self.budget.check(Spent { depth, entries: self.entries_seen, bytes: 0 })?;
        if self.size(oid)? > self.budget.entries.saturating_mul(TREE_ENTRY_BYTES) {
            self.budget.check(Spent { entries: u64::MAX, ..Spent::default() })?;
        }
        let tree = self.repo.find_tree(oid).map_err(unreadable)?;
        let spent = self.contents(&tree, path, depth)?;
        self.folders.insert(oid, spent);
        Ok(spent)
    }

    fn contents(&mut self, tree: &Tree, path: &str, depth: usize) -> Result<Spent> {
        self.entries_seen = self.entries_seen.saturating_add(tree.len() as u64);
        let mut spent = Spent::default();
        for entry in tree {
            let path = format!("{path}{}", String::from_utf8_lossy(entry.name_bytes()));
            match EntryKind::of(entry.filemode_raw(), &path)? {
                EntryKind::Folder => spent.add_folder(self.folder(entry.id(), &format!("{path}/"), depth + 1)?),
                EntryKind::Submodule => spent.add_file(0),
                EntryKind::File { .. } | EntryKind::Link => {
                    let bytes = self.size(entry.id())?;
                    self.budget.check_file(&path, bytes)?;
                    spent.add_file(bytes);
                }
            }
        }
        Ok(spent)
    }

    fn size(&self, oid: Oid) -> Result<u64> {
        self.odb.read_header(oid).map(|(size, _)| size as u64).map_err(unreadable)
    }
}

// === impl EntryKind ===

impl EntryKind {
    pub(super) fn of(mode: i32, path: &str) -> Result<EntryKind> {
        match mode & TYPE_BITS {
            TREE => Ok(EntryKind::Folder),
            LINK => Ok(EntryKind::Link),
            SUBMODULE => Ok(EntryKind::Submodule),
            FILE_BITS => Ok(EntryKind::File { executable: mode & EXECUTABLE_BIT != 0 }),
            _ => Err(Error::failed(format!("`{}` is neither file, link nor folder", path.escape_debug()))),
        }
    }
}

pub(super) fn check_cancelled(cancel: &CancellationToken) -> Result<()> {
    if cancel.is_cancelled() { Err(Error::failed("the push was cancelled")) } else { Ok(()) }
}
