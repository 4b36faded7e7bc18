//! What of a folder is its source: the files that git would track, or else all but those that its rules leave out.

use std::collections::BTreeSet;
use std::fs::FileType;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::{Access, access};

use crate::cli::remote::git;
use crate::error::{Error, Result};
use crate::model::CommitId;
use crate::source::{Budget, CONTROL_FILES, IGNORE_FILE, Ignore, Spent, check_target};

/// The source of a folder, within its budget and readable, in git's order.
#[derive(Debug, Default)]
pub struct Listing {
    pub entries: Vec<Entry>,
    /// Of all files together.
    pub bytes: u64,
    /// What was left out, in words.
    pub warnings: Vec<String>,
    /// The commit that this is, if it is one.
    pub commit: Option<CommitId>,
}

/// One entry of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder.
    pub path: Vec<u8>,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    File {
        bytes: u64,
    },
    Link,
    /// A submodule, which stays empty as it does in a push.
    Submodule,
}

/// Names that one line of warning may hold.
const NAMED: usize = 5;

/// What was left out while listing.
#[derive(Default)]
struct LeftOut {
    submodules: Vec<String>,
    special: Vec<String>,
}

// === impl Listing ===

impl Listing {
    /// Lists the folder. Errors name what is too large, unreadable or missing; nothing has been sent then.
    pub fn of(folder: &Path) -> Result<Self> {
        let (paths, is_git) = match git_paths(folder)? {
            Some(paths) => (paths, true),
            None => (walked_paths(folder)?, false),
        };
        let ignore = read_ignore(folder)?;
        let mut listing = Listing::default();
        let mut left_out = LeftOut::default();
        for path in paths {
            if is_kept(&ignore, &path) {
                listing.add(folder, path, &mut left_out)?;
            }
        }
        if listing.entries.is_empty() {
            return Err(Error::failed(format!("there is nothing to deploy in {}", folder.display()))
                .hint("is it the right folder? .gitignore and .dockerignore leave files out"));
        }
        listing.check_budget()?;
        listing.warnings = left_out.warnings();
        listing.commit = if is_git { clean_commit(folder) } else { None };
        Ok(listing)
    }

    fn add(&mut self, folder: &Path, path: Vec<u8>, left_out: &mut LeftOut) -> Result<()> {
        let full = folder.join(std::ffi::OsStr::from_bytes(&path));
        // git lists what it tracks, also when it was deleted since.
        let Ok(found) = full.symlink_metadata() else { return Ok(()) };
        let shown = || String::from_utf8_lossy(&path).into_owned();
        let kind = found.file_type();
        let what = if kind.is_symlink() {
            let target = std::fs::read_link(&full).map_err(|err| unreadable(&shown()).because(err))?;
            check_target(&path, target.as_os_str().as_bytes())?;
            What::Link
        } else if kind.is_dir() {
            left_out.submodules.push(shown());
            What::Submodule
        } else if let Some(special) = special(kind) {
            left_out.special.push(format!("{special} `{}`", shown().escape_debug()));
            return Ok(());
        } else {
            Budget::default().check_file(&shown(), found.len())?;
            check_readable(&full, &shown())?;
            self.bytes += found.len();
            What::File { bytes: found.len() }
        };
        self.entries.push(Entry { path, what });
        Ok(())
    }

    fn check_budget(&self) -> Result<()> {
        let mut folders: BTreeSet<&[u8]> = BTreeSet::new();
        let mut depth = 0;
        for entry in &self.entries {
            let slashes = entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            depth = depth.max(slashes.inspect(|at| _ = folders.insert(&entry.path[..*at])).count());
        }
        let entries = (self.entries.len() + folders.len()) as u64;
        Budget::default().check(Spent { entries, bytes: self.bytes, depth })
    }
}

/// Control files go to the server in any case: it reads them, and leaves them out of the image by the same rules.
fn is_kept(ignore: &Ignore, path: &[u8]) -> bool {
    let path = String::from_utf8_lossy(path);
    CONTROL_FILES.contains(&&*path) || !ignore.excludes(&path)
}

fn read_ignore(folder: &Path) -> Result<Ignore> {
    match std::fs::read(folder.join(IGNORE_FILE)) {
        Ok(text) => Ignore::parse(&String::from_utf8_lossy(&text)),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(Ignore::default()),
        Err(err) => Err(unreadable(IGNORE_FILE).because(err)),
    }
}

fn check_readable(full: &Path, shown: &str) -> Result<()> {
    access(full, Access::READ_OK).map_err(|err| unreadable(shown).because(err))
}

fn unreadable(shown: &str) -> Error {
    Error::failed(format!("the file `{}` cannot be read", shown.escape_debug()))
        .hint("make it readable, or leave it out by .gitignore or .dockerignore")
}

fn special(kind: FileType) -> Option<&'static str> {
    let kinds = [(kind.is_socket(), "socket"), (kind.is_fifo(), "fifo"), (kind.is_block_device() || kind.is_char_device(), "device")];
    kinds.into_iter().find(|(is, _)| *is).map(|(_, name)| name)
}

/// Lists what git tracks and what it would track; `None` where git has no say: no work tree, no git, a folder that it ignores.
fn git_paths(folder: &Path) -> Result<Option<BTreeSet<Vec<u8>>>> {
    let is_true =
        |words: &[&str]| git(folder).args(words).output().is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"true"));
    let is_ignored = || git(folder).args(["check-ignore", "-q", "."]).stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_true(&["rev-parse", "--is-inside-work-tree"]) || is_ignored() {
        return Ok(None);
    }
    let failed = |err: std::io::Error| Error::failed("git did not list its files").because(err).hint("see what it says: git status");
    let mut listing = git(folder);
    listing.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).stdout(Stdio::piped());
    let mut child = listing.spawn().map_err(failed)?;
    let output = child.stdout.take().expect("it was piped");
    let mut paths = BTreeSet::new();
    for path in BufReader::new(output).split(0) {
        let mut path = path.map_err(failed)?;
        // An unfinished merge lists a file thrice; a repository inside this one ends with a slash.
        if path.ends_with(b"/") {
            path.pop();
        }
        paths.insert(path);
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(Error::failed("git did not list its files").hint("see what it says: git status"));
    }
    Ok(Some(paths))
}

/// Walks the folder by the rules of its `.gitignore` files alone: those of this machine are nobody else's.
fn walked_paths(folder: &Path) -> Result<BTreeSet<Vec<u8>>> {
    let mut walk = ignore::WalkBuilder::new(folder);
    walk.standard_filters(false).git_ignore(true).require_git(false).filter_entry(|entry| entry.file_name() != ".git");
    let mut paths = BTreeSet::new();
    for entry in walk.build() {
        let entry = entry.map_err(|err| {
            Error::failed(format!("the folder cannot be read: {err}")).hint("make it readable, or leave it out by .gitignore")
        })?;
        if entry.file_type().is_some_and(|kind| !kind.is_dir()) {
            let path: PathBuf = entry.path().strip_prefix(folder).unwrap_or(entry.path()).to_owned();
            paths.insert(path.into_os_string().into_vec());
        }
    }
    Ok(paths)
}

/// Returns the commit of a work tree in which nothing has changed, if the folder is the whole of it.
fn clean_commit(folder: &Path) -> Option<CommitId> {
    let output = |words: &[&str]| {
        let output = git(folder).args(words).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let is_top = output(&["rev-parse", "--show-prefix"])?.is_empty();
    let is_clean = is_top && output(&["status", "--porcelain"])?.is_empty();
    if is_clean { output(&["rev-parse", "HEAD"])?.parse().ok() } else { None }
}

// === impl LeftOut ===

impl LeftOut {
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.special.is_empty() {
            warnings.push(format!("left out, because no image can hold it: {}", named(&self.special)));
        }
        if !self.submodules.is_empty() {
            let quoted: Vec<String> = self.submodules.iter().map(|name| format!("`{}`", name.escape_debug())).collect();
            warnings.push(format!("submodules stay empty, as in a push: {}", named(&quoted)));
        }
        warnings
    }
}

fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests;
