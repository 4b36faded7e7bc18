//! A data dir that is filled from elsewhere before a server may use it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::data_dir::lock;
use crate::error::{Error, Result};

/// Where the content stands until it is whole. No server starts on a dir with this in it.
pub(super) const UNFINISHED: &str = "restoring";
const DATABASE: &str = "mini.db";
/// The lock and the folder of the unfinished.
const OURS: usize = 2;

/// An empty data dir on its way to be a server's; dropped before [`NewDataDir::settle`], nothing of it is left.
pub struct NewDataDir {
    path: PathBuf,
    is_made: bool,
    is_settled: bool,
    _lock: File,
}

// === impl NewDataDir ===

impl NewDataDir {
    /// Takes an empty folder, or makes one. Errors are of kind `Setup`; a folder with anything in it is one.
    pub fn claim(path: &Path) -> Result<Self> {
        let bad = |err: io::Error| Error::setup(format!("the data dir {} cannot be made: {err}", path.display()));
        let is_made = !path.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(bad)?;
        if path.join(UNFINISHED).exists() {
            return Err(unfinished(path));
        }
        let entries = || fs::read_dir(path).map_err(bad).map(Iterator::count);
        if entries()? > 0 {
            return Err(taken(path));
        }
        DirBuilder::new().mode(0o700).create(path.join(UNFINISHED)).map_err(bad)?;
        // A server that began in this moment waits for the lock, or had it and is seen by what it made.
        let locked = lock(path).and_then(|lock| if entries()? > OURS { Err(taken(path)) } else { Ok(lock) });
        match locked {
            Ok(lock) => Ok(NewDataDir { path: path.to_owned(), is_made, is_settled: false, _lock: lock }),
            Err(err) => {
                let _ = fs::remove_dir(path.join(UNFINISHED));
                Err(err)
            }
        }
    }

    /// Returns the folder to fill, as the data dir is to be.
    #[must_use]
    pub fn content(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    /// Makes the content durable and then the data dir; from its last step on a server starts on it.
    pub fn settle(mut self) -> Result<()> {
        let settled = self.move_up();
        self.is_settled = settled.is_ok();
        settled.map_err(|err| Error::setup(format!("the data dir {} cannot be written: {err}", self.path.display())).because(err))
    }

    fn move_up(&self) -> io::Result<()> {
        let content = self.content();
        // One call for the many small files of a repository, each of which would wait for the disk.
        rustix::fs::syncfs(File::open(&content)?)?;
        let mut entries: Vec<PathBuf> = fs::read_dir(&content)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        // A key without its database stops a server; a database without its key looks like a new one.
        entries.sort_by_key(|entry| entry.file_name().is_some_and(|name| name == DATABASE));
        for entry in &entries {
            fs::rename(entry, self.path.join(entry.file_name().unwrap_or_default()))?;
        }
        fs::set_permissions(&self.path, Permissions::from_mode(0o700))?;
        fs::remove_dir(content)?;
        File::open(&self.path)?.sync_all()
    }
}

impl Drop for NewDataDir {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        // It was empty when it was claimed: all that is in it is ours.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if let Err(err) = gone {
                tracing::warn!(path = %path.display(), %err, "a part of what was not restored is left");
            }
        }
        if self.is_made {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

fn taken(path: &Path) -> Error {
    Error::setup(format!("the data dir {} is not empty", path.display()))
        .hint("a backup is restored into an empty or a new one: move this one away, or --data DIR")
}

/// The error for a dir that is being filled, or whose filling was cut.
pub(super) fn unfinished(path: &Path) -> Error {
    Error::setup(format!("a restore into the data dir {} is not finished", path.display()))
        .hint("if none runs any more, empty the folder and restore again")
}

#[cfg(test)]
mod tests {
    use super::super::DataDir;
    use super::*;

    #[test]
    fn a_dir_that_is_not_settled_leaves_nothing_and_one_that_is_opens() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/data");

        let new = NewDataDir::claim(&path).unwrap();
        fs::write(new.content().join("mini.db"), "x").unwrap();
        assert_eq!(DataDir::open(&path).unwrap_err().exit_code(), 78);
        assert!(NewDataDir::claim(&path).err().unwrap().sentence().contains("is not finished"));
        drop(new);
        assert!(!path.exists());

        let new = NewDataDir::claim(&path).unwrap();
        fs::create_dir(new.content().join("repos")).unwrap();
        fs::write(new.content().join("mini.db"), "x").unwrap();
        new.settle().unwrap();
        assert!(!path.join(UNFINISHED).exists());
        drop(DataDir::open(&path).unwrap());
        assert_eq!(fs::read(path.join("mini.db")).unwrap(), b"x");
    }

    #[test]
    fn a_folder_with_anything_in_it_is_refused_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("thesis.tex"), "mine").unwrap();

        let err = NewDataDir::claim(home.path()).err().unwrap();
        assert_eq!(err.exit_code(), 78);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        assert_eq!(NewDataDir::claim(&home.path().join("thesis.tex")).err().unwrap().exit_code(), 78);

        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        drop(NewDataDir::claim(&empty).unwrap());
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    }
}
