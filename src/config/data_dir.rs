//! The data dir: private, owned by one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::new_data_dir::{UNFINISHED, unfinished};
use crate::error::{Error, Kind, Result};

/// The longest path of a unix socket (unix(7)): 108 bytes with the closing NUL.
const MAX_SOCKET_PATH: usize = 107;

/// What may stand in the dir before its first server: deploy/quickstart's settings, log and pid file.
const PREPARED: [&str; 3] = ["mini.toml", "server.log", "server.pid"];

/// A data dir that this process holds; dropping it lets the next server in.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Returns where a server keeps its things when nobody says: `/var/lib/mini` as root, `$XDG_DATA_HOME/mini` else.
pub fn default_data_dir() -> Result<PathBuf> {
    if is_root() {
        return Ok("/var/lib/mini".into());
    }
    let home = |name: &str, below: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(|dir| Path::new(&dir).join(below));
    home("XDG_DATA_HOME", "mini")
        .or_else(|| home("HOME", ".local/share/mini"))
        .ok_or_else(|| Error::setup("there is no home to keep the data in").hint("say where: --data DIR"))
}

/// Tells whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    // The owner of this process's own proc folder is its effective user (proc(5)).
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

// === impl DataDir ===

impl DataDir {
    /// Makes the dir if need be, checks it and locks it.
    ///
    /// Errors: `Setup` (exit 78) when it cannot be used, `Locked` (exit 75) when another server holds it.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |what: &str, err: std::io::Error| Error::setup(format!("the data dir {} {what}: {err}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|err| bad("cannot be made", err))?;
        let meta = std::fs::metadata(path).map_err(|err| bad("cannot be read", err))?;
        if !meta.is_dir() {
            return Err(Error::setup(format!("the data dir {} is not a folder", path.display())));
        }
        if path.join(UNFINISHED).exists() {
            return Err(unfinished(path));
        }
        if !is_ours(path).map_err(|err| bad("cannot be read", err))? {
            let taken = format!("the data dir {} holds things that are not mini's", path.display());
            return Err(Error::setup(taken).hint("name an empty or a new folder: --data DIR"));
        }
        if meta.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|err| bad("cannot be made private", err))?;
        }
        if path.join("mini.sock").as_os_str().len() > MAX_SOCKET_PATH {
            return Err(Error::setup(format!("the data dir's path is too long for a socket in it: {}", path.display()))
                .hint("use one under 90 bytes"));
        }
        let lock = lock(path)?;
        for folder in ["repos", "hooks", "logs", "tmp"] {
            DirBuilder::new().recursive(true).mode(0o700).create(path.join(folder)).map_err(|err| bad("cannot be written", err))?;
        }
        empty(&path.join("tmp"));
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Tells an empty folder or one that a server used before from somebody's home: that one must not be closed to its owner.
fn is_ours(path: &Path) -> std::io::Result<bool> {
    let is_prepared = std::fs::read_dir(path)?.flatten().all(|entry| PREPARED.iter().any(|name| entry.file_name() == *name));
    Ok(is_prepared || path.join("lock").is_file())
}

/// Locks the dir for this process, as long as the file is open; held by another it is `Locked`.
pub(super) fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|err| Error::setup(format!("the data dir {} cannot be written: {err}", dir.display())))?;
    if file.try_lock().is_err() {
        let mut pid = String::new();
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut pid));
        return Err(Error::new(Kind::Locked, format!("another mini (pid {}) already uses the data dir {}", pid.trim(), dir.display())));
    }
    // The pid is for people; the lock is what counts.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Removes what a killed server left; nothing in `tmp` outlives its process.
fn empty(tmp: &Path) {
    for entry in std::fs::read_dir(tmp).into_iter().flatten().flatten() {
        let path = entry.path();
        let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        if let Err(err) = gone {
            tracing::warn!(path = %path.display(), %err, "a leftover of the last run could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_told_who_holds_the_dir_and_the_next_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let held = DataDir::open(&path).unwrap();

        let err = DataDir::open(&path).unwrap_err();
        assert_eq!(err.exit_code(), 75);
        assert!(err.sentence().contains(&std::process::id().to_string()), "{err}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);

        drop(held);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::write(dir.path().join("thesis.tex"), "x").unwrap();

        assert_eq!(DataDir::open(dir.path()).unwrap_err().exit_code(), 78);
        assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_folder_that_quickstart_prepared_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in PREPARED {
            std::fs::write(dir.path().join(name), "").unwrap();
        }

        assert!(DataDir::open(dir.path()).is_ok());
    }

    #[test]
    fn a_file_in_the_way_and_an_endless_path_exit_78() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();

        for path in [dir.path().join("file"), dir.path().join("file/below"), dir.path().join("x".repeat(120))] {
            assert_eq!(DataDir::open(&path).unwrap_err().exit_code(), 78, "{}", path.display());
        }
    }
}
