//! The first and the last entry: what the backup is, and the proof that it is whole.

use serde::{Deserialize, Serialize};

use crate::model::{AppId, AppName, InstanceId, Stamp};

/// The version of the file's format; a `mini` refuses another one in words.
pub const FORMAT: u32 = 1;

/// What a backup is and holds. A field may be added; a change of meaning is a new [`FORMAT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of the `mini` that made it.
    pub mini: String,
    /// The schema of the database in it.
    pub schema: u32,
    pub instance: InstanceId,
    pub taken_at: Stamp,
    /// Whether config values can be opened without a key from elsewhere.
    pub holds_master_key: bool,
    pub apps: Vec<ManifestApp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestApp {
    pub id: AppId,
    pub name: AppName,
}

/// The last entry: how many came before it, and their digest.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    pub entries: u64,
    /// SHA-256 over each entry's path, a NUL, its length (64 bits, big endian) and its content; in hex.
    pub sha256: String,
}

/// The digest of a backup, entry by entry.
pub(super) struct Digest {
    context: aws_lc_rs::digest::Context,
    entries: u64,
}

// === impl Digest ===

impl Digest {
    pub fn new() -> Self {
        Digest { context: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256), entries: 0 }
    }

    pub fn begin(&mut self, path: &str, size_bytes: u64) {
        self.entries += 1;
        self.context.update(path.as_bytes());
        self.context.update(&[0]);
        self.context.update(&size_bytes.to_be_bytes());
    }

    pub fn update(&mut self, content: &[u8]) {
        self.context.update(content);
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn seal(self) -> Seal {
        use std::fmt::Write;
        let digest = self.context.finish();
        let sha256 = digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes text");
            hex
        });
        Seal { entries: self.entries, sha256 }
    }
}
