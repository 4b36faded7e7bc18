//! Small files of the person at the keyboard: private, written beside and renamed.

use std::fs::DirBuilder;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Returns `$VARIABLE/mini/NAME`, else `$HOME/BELOW/mini/NAME` (XDG Base Directory Specification; a relative path counts as none).
pub(super) fn path_of(variable: &str, below: &str, name: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = set(variable).or_else(|| set("HOME").map(|home| home.join(below)));
    let base = base.ok_or_else(|| Error::failed("there is no home folder to keep settings in").hint("set HOME"))?;
    Ok(base.join("mini").join(name))
}

/// Reads a file of TOML; one that is not there is the default.
pub(super) fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(T::default()),
        Err(err) => return Err(Error::failed(format!("{} cannot be read: {err}", path.display()))),
    };
    // The parser quotes the line, which may hold a key.
    toml::from_str(&text).map_err(|err| {
        Error::failed(format!("{} is wrong: {}", path.display(), err.message()))
            .hint("mend it, or remove it and set your hosts again: mini config set-host URL")
    })
}

/// Writes a file of TOML that only its owner can read (0600, in a folder of 0700 if that is new).
pub(super) fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let text = toml::to_string(content).expect("settings hold nothing that TOML cannot");
    let folder = path.parent().expect("a file of ours has a folder");
    let written = DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|err| err.error)
    });
    written.map_err(|err| Error::failed(format!("{} cannot be written: {err}", path.display())))
}
