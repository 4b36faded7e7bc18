//! Storage of an app: a name for its volume, and where containers see it; written as `NAME:/path`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const MAX_NAME_BYTES: usize = 40;
const MAX_PATH_BYTES: usize = 255;
/// What the kernel and the engine fill in every container: a volume there would hide it.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// What an app's volume is called, such as `data`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageName(String);

/// A volume, and the absolute path where every container of the app sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Storage {
    name: StorageName,
    path: String,
}

// === impl StorageName ===

impl StorageName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StorageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if text.len() <= MAX_NAME_BYTES && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(fits) {
            return Ok(StorageName(text.to_owned()));
        }
        Err(Error::usage(format!("`{}` is not a name for storage", text.escape_debug()))
            .hint(format!("write lower-case letters, digits, - and _, at most {MAX_NAME_BYTES}, as in data")))
    }
}

impl fmt::Display for StorageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for StorageName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<StorageName> for String {
    fn from(name: StorageName) -> String {
        name.0
    }
}

// === impl Storage ===

impl Storage {
    #[must_use]
    pub fn name(&self) -> &StorageName {
        &self.name
    }

    /// Returns the path in containers: absolute, with no `.`, `..` or empty part.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Storage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, path) = text.split_once(':').ok_or_else(|| {
            Error::usage(format!("`{}` is not NAME:/path", text.escape_debug()))
                .hint("a name and where the app sees it: data:/var/lib/data")
        })?;
        Ok(Storage { name: name.parse()?, path: normal(path)? })
    }
}

/// Writes a path without doubled and trailing slashes; refuses what no volume may hide.
fn normal(path: &str) -> Result<String> {
    let wrong = |why: &str| Error::usage(format!("`{}` {why}", path.escape_debug())).hint("as in data:/var/lib/data");
    if !path.starts_with('/') || path.len() > MAX_PATH_BYTES || path.contains(':') || path.contains(char::is_control) {
        return Err(wrong("is not an absolute path in a container"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return Err(wrong("goes up and down: write the path that is meant"));
    }
    let normal = format!("/{}", parts.join("/"));
    if parts.is_empty() || KERNELS.contains(&format!("/{}", parts[0]).as_str()) {
        return Err(wrong("cannot be storage: the container itself is there"));
    }
    Ok(normal)
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.path)
    }
}

impl TryFrom<String> for Storage {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Storage> for String {
    fn from(storage: Storage) -> String {
        storage.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_in_one_way() {
        for (text, written) in [("data:/data", "data:/data"), ("db:/var//lib/db/", "db:/var/lib/db"), ("a-1_b:/device", "a-1_b:/device")] {
            assert_eq!(text.parse::<Storage>().unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_hides_the_container_itself_is_no_storage() {
        let refused = [
            "data",
            "data:",
            ":/data",
            "data:data",
            "data:/",
            "data://",
            "data:/proc",
            "data:/sys/fs",
            "data:/dev//shm",
            "data:/a/../proc",
            "data:/a/./b",
            "data:/a:ro",
            "Data:/a",
            "data:/a\nb",
            "1:/a",
            "../x:/a",
        ];

        for text in refused {
            assert_eq!(text.parse::<Storage>().unwrap_err().exit_code(), 2, "{text:?}");
        }
    }
}
