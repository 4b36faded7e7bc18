//! Where an answer's bytes go: to the standard output, or for `backup FILE` into a file that appears when it is whole.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};

/// What takes the bytes.
pub enum Sink {
    Stdout,
    File(Beside),
}

/// A private file beside the one that was named.
pub struct Beside {
    path: PathBuf,
    file: Option<NamedTempFile>,
    /// Whether it may take the place of a file that is there.
    replaces: bool,
}

/// Opens the FILE of `backup FILE` and puts `-` in its place; every other command writes to the standard output.
pub fn open_sink(words: &[String]) -> Result<(Vec<String>, Sink)> {
    let mut words = words.to_vec();
    if words.first().is_none_or(|word| word != "backup") || words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok((words, Sink::Stdout));
    }
    let Some(at) = (1..words.len()).find(|at| words[*at] == "-" || !words[*at].starts_with('-')) else {
        return if io::stdout().is_terminal() { Err(for_a_terminal()) } else { Ok((words, Sink::Stdout)) };
    };
    if words[at] == "-" {
        return if io::stdout().is_terminal() { Err(for_a_terminal()) } else { Ok((words, Sink::Stdout)) };
    }
    let path = PathBuf::from(std::mem::replace(&mut words[at], "-".to_owned()));
    let replaces = words.iter().any(|word| word == "--force");
    words.retain(|word| word != "--force");
    Ok((words, Sink::File(Beside::open(path, replaces)?)))
}

// === impl Sink ===

impl Sink {
    /// Keeps what was written; a file that is not kept was never there.
    pub fn keep(self) -> Result<()> {
        match self {
            Sink::Stdout => Ok(()),
            Sink::File(beside) => beside.keep(),
        }
    }
}

// === impl Beside ===

impl Beside {
    fn open(path: PathBuf, replaces: bool) -> Result<Self> {
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(exists(&path));
        }
        // Made by tempfile with mode 0600.
        let file = NamedTempFile::new_in(folder_of(&path)).map_err(|err| unwritable(&path, &err))?;
        Ok(Beside { path, file: Some(file), replaces })
    }

    /// Writes on. After an error nothing is left of the file.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|err| {
            self.file = None;
            unwritable(&self.path, &err)
        })
    }

    fn keep(self) -> Result<()> {
        let Beside { path, file, replaces } = self;
        let Some(file) = file else { return Ok(()) };
        let failed = |err: io::Error| if err.kind() == io::ErrorKind::AlreadyExists { exists(&path) } else { unwritable(&path, &err) };
        file.as_file().sync_all().map_err(failed)?;
        let kept = if replaces { file.persist(&path) } else { file.persist_noclobber(&path) };
        kept.map_err(|err| failed(err.error))?;
        File::open(folder_of(&path)).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn for_a_terminal() -> Error {
    Error::usage("a backup is no text for a terminal").hint("name a file: mini backup FILE")
}

fn exists(path: &Path) -> Error {
    let path = path.display();
    Error::usage(format!("the file `{path}` is there already")).hint(format!("name another, or replace it: mini backup {path} --force"))
}

fn unwritable(path: &Path, err: &io::Error) -> Error {
    Error::failed(format!("the file `{}` cannot be written: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn opened(line: &str) -> Result<(Vec<String>, Beside)> {
        match open_sink(&shlex::split(line).unwrap())? {
            (words, Sink::File(beside)) => Ok((words, beside)),
            (_, Sink::Stdout) => panic!("`{line}` goes to stdout"),
        }
    }

    #[test]
    fn the_file_appears_private_and_whole_when_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mini.backup");

        let (words, mut beside) = opened(&format!("backup --without-key {}", path.display())).unwrap();
        beside.write(b"all of it").unwrap();
        assert!(!path.exists());
        beside.keep().unwrap();

        assert_eq!(words, ["backup", "--without-key", "-"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"all of it");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_if_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mini.backup");
        std::fs::write(&path, "old").unwrap();

        assert_eq!(opened(&format!("backup {}", path.display())).err().unwrap().exit_code(), 2);
        let (words, beside) = opened(&format!("backup {} --force", path.display())).unwrap();
        drop(beside);
        assert_eq!((words.len(), std::fs::read_to_string(&path).unwrap().as_str()), (2, "old"));
        let (_, mut beside) = opened(&format!("backup {} --force", path.display())).unwrap();
        beside.write(b"new").unwrap();
        beside.keep().unwrap();

        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
