//! The folders in which git keeps a push's objects until it is accepted, and the sweeping of what a killed git left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};

/// How git names them (`tmp-objdir.c`, `tmp_objdir_create`).
const PREFIX: &str = "tmp_objdir-incoming-";

/// Returns the path of a quarantine of `repo` from its name, which must be one that git gives.
pub(super) fn path(repo: &Path, name: &str) -> Result<PathBuf> {
    let is_gits = name.strip_prefix(PREFIX).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    if is_gits { Ok(repo.join("objects").join(name)) } else { Err(not_a_quarantine()) }
}

/// Refuses a path that is no quarantine of `repo`.
pub(super) fn check(repo: &Path, quarantine: &Path) -> Result<()> {
    let name = quarantine.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path(repo, name)? == quarantine { Ok(()) } else { Err(not_a_quarantine()) }
}

/// Makes one as git does; dropping it removes it.
pub(super) fn make(repo: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(PREFIX).rand_bytes(8).tempdir_in(repo.join("objects"))
}

/// Makes the packs of a quarantine part of `repo` for good: each file is on disk before it has its name, the index comes last.
pub(super) fn store(quarantine: &Path, repo: &Path) -> io::Result<()> {
    let packs = repo.join("objects/pack");
    let mut files: Vec<_> =
        fs::read_dir(quarantine.join("pack"))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    // A pack without an index is none yet.
    files.sort_by_key(|file| file.extension().is_some_and(|end| end == "idx"));
    for file in files {
        let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        File::open(&file)?.sync_all()?;
        fs::rename(&file, packs.join(name))?;
    }
    File::open(packs)?.sync_all()
}

/// Removes every quarantine of `repo`: only when no push to it is on its way.
pub(super) fn sweep(repo: &Path) -> io::Result<()> {
    for entry in fs::read_dir(repo.join("objects"))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Removes what a git that was killed in the middle leaves besides: lock files, and packs half written.
pub(super) fn sweep_leftovers(repo: &Path) -> io::Result<()> {
    for file in ["HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock"] {
        remove_if_there(&repo.join(file))?;
    }
    remove_files(&repo.join("refs"), &|name| name.ends_with(b".lock"))?;
    remove_files(&repo.join("objects/pack"), &|name| name.starts_with(b"tmp_"))
}

fn remove_files(folder: &Path, is_leftover: &dyn Fn(&[u8]) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_files(&entry.path(), is_leftover)?;
        } else if is_leftover(entry.file_name().as_encoded_bytes()) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

fn not_a_quarantine() -> Error {
    Error::failed("the push named a folder for its objects that git did not make")
}
