//! Turns a commit's tree into a build context, without a work tree that anything could be written through.

use std::path::{Path, PathBuf};

use git2::{Blob, Repository, Tree};
use tokio_util::sync::CancellationToken;

use super::Git;
use super::commits::{find_commit, unreadable};
use super::measure::{EntryKind, Measure, check_cancelled};
use crate::error::{Error, Result};
use crate::model::{AppId, CommitId};
use crate::source::{Budget, Context, ContextWriter, IGNORE_FILE, Ignore, MAX_ROOT_FILE_BYTES};

/// How a Git LFS pointer begins, and how long one can be (the LFS specification, "The Pointer").
const POINTER_START: &[u8] = b"version https://git-lfs.github.com/spec/v1";
const MAX_POINTER_BYTES: usize = 1024;

/// Files named in a refusal; the rest is counted.
const NAMED_FILES: usize = 10;

// === impl Git ===

impl Git {
    /// Spools the tree of a commit, in quarantine or not, below `tmp`. Ends early when `cancel` is, or when this is dropped.
    pub async fn spool(
        &self,
        app: &AppId,
        quarantine: Option<&Path>,
        commit: &CommitId,
        tmp: &Path,
        cancel: &CancellationToken,
    ) -> Result<Context> {
        let (git, app, commit, tmp) = (self.clone(), app.clone(), commit.clone(), tmp.to_owned());
        let quarantine: Option<PathBuf> = quarantine.map(Path::to_owned);
        let cancel = cancel.child_token();
        let _stop_with_us = cancel.clone().drop_guard();
        let work = move || git.spool_within(&app, quarantine.as_deref(), &commit, &tmp, Budget::default(), &cancel);
        tokio::task::spawn_blocking(work).await.map_err(|err| Error::failed("the source could not be unpacked").because(err))?
    }

    pub(super) fn spool_within(
        &self,
        app: &AppId,
        quarantine: Option<&Path>,
        commit: &CommitId,
        tmp: &Path,
        budget: Budget,
        cancel: &CancellationToken,
    ) -> Result<Context> {
        let repo = self.open_repo(app, quarantine)?;
        let root = find_commit(&repo, commit)?.tree_id();
        Measure::new(&repo, budget, cancel)?.check(root)?;
        let tree = repo.find_tree(root).map_err(unreadable)?;
        let writer = ContextWriter::new(tmp, ignore_rules(&repo, &tree)?)?.with_budget(budget);
        let mut walk = Walk { repo: &repo, writer, cancel, pointers: Vec::new() };
        walk.folder(&tree, &mut Vec::new())?;
        walk.finish()
    }
}

fn ignore_rules(repo: &Repository, root: &Tree) -> Result<Ignore> {
    let Some(entry) = root.get_name(IGNORE_FILE) else { return Ok(Ignore::default()) };
    if !matches!(EntryKind::of(entry.filemode_raw(), IGNORE_FILE)?, EntryKind::File { .. }) {
        return Ok(Ignore::default());
    }
    let blob = repo.find_blob(entry.id()).map_err(unreadable)?;
    if blob.size() as u64 > MAX_ROOT_FILE_BYTES {
        return Err(Error::failed(format!("`{IGNORE_FILE}` is longer than {MAX_ROOT_FILE_BYTES} bytes")));
    }
    Ignore::parse(&String::from_utf8_lossy(blob.content()))
}

/// One walk over a tree that was measured before.
struct Walk<'r> {
    repo: &'r Repository,
    writer: ContextWriter,
    cancel: &'r CancellationToken,
    pointers: Vec<String>,
}

// === impl Walk ===

impl<'r> Walk<'r> {
    fn folder(&mut self, tree: &Tree, path: &mut Vec<u8>) -> Result<()> {
        check_cancelled(self.cancel)?;
        let length = path.len();
        for entry in tree {
            path.extend_from_slice(entry.name_bytes());
            self.entry(&entry, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &git2::TreeEntry, path: &mut Vec<u8>) -> Result<()> {
        match EntryKind::of(entry.filemode_raw(), &shown(path))? {
            EntryKind::Folder => {
                self.writer.add_dir(&*path)?;
                if self.writer.wants_folder(&*path) {
                    path.push(b'/');
                    let tree = self.repo.find_tree(entry.id()).map_err(unreadable)?;
                    self.folder(&tree, path)?;
                }
                Ok(())
            }
            EntryKind::Submodule => {
                self.writer.warn(format!("submodule `{}` is left empty: mini does not fetch submodules", shown(path)));
                self.writer.add_dir(&*path)
            }
            EntryKind::Link | EntryKind::File { .. } if !self.writer.wants(&*path) => Ok(()),
            EntryKind::Link => self.writer.add_symlink(&*path, self.blob(entry)?.content()),
            EntryKind::File { executable } => self.file(path, executable, &self.blob(entry)?),
        }
    }

    fn file(&mut self, path: &[u8], executable: bool, blob: &Blob) -> Result<()> {
        check_cancelled(self.cancel)?;
        if blob.size() < MAX_POINTER_BYTES && blob.content().starts_with(POINTER_START) {
            self.pointers.push(shown(path));
        }
        self.writer.add_file(path, executable, blob.size() as u64, blob.content())
    }

    fn blob(&self, entry: &git2::TreeEntry) -> Result<Blob<'r>> {
        self.repo.find_blob(entry.id()).map_err(unreadable)
    }

    fn finish(self) -> Result<Context> {
        match self.pointers.as_slice() {
            [] => self.writer.finish(),
            pointers => Err(lfs_refused(pointers)),
        }
    }
}

fn lfs_refused(pointers: &[String]) -> Error {
    let sentence = format!("`{}` is only a pointer: its content is in Git LFS, which mini does not fetch", pointers[0]);
    let others = pointers.iter().skip(1).take(NAMED_FILES).map(|path| format!("so is `{path}`"));
    let more = pointers.len().checked_sub(NAMED_FILES + 1).filter(|more| *more > 0).map(|more| format!("and {more} more files"));
    Error::failed(sentence)
        .details(others.chain(more))
        .hint("commit the file itself (git lfs migrate export), exclude it in .dockerignore, or download it in the build")
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
mod tests;
