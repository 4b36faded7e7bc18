//! How large a source may be: entries, bytes, depth, and the size of one file.

use crate::error::{Error, Result};
use crate::model::limits;
use crate::model::size::in_words;

/// The limits of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Files, links and folders.
    pub entries: u64,
    /// All files together, inflated.
    pub bytes: u64,
    /// Folders inside each other.
    pub depth: usize,
    /// One file.
    pub blob: u64,
}

/// What a source, or a part of one, amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    pub entries: u64,
    pub bytes: u64,
    /// Folders inside each other; 0 for a folder of files.
    pub depth: usize,
}

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Budget {
            entries: limits::MAX_TREE_ENTRIES,
            bytes: limits::MAX_TREE_BYTES,
            depth: limits::MAX_TREE_DEPTH,
            blob: limits::MAX_BLOB_BYTES,
        }
    }
}

impl Budget {
    /// For a source that was measured before.
    pub(super) const UNLIMITED: Budget = Budget { entries: u64::MAX, bytes: u64::MAX, depth: usize::MAX, blob: u64::MAX };

    /// Refuses a source that amounts to more than this.
    pub fn check(&self, spent: Spent) -> Result<()> {
        if spent.entries > self.entries {
            return Err(Error::failed(format!("the source has more than {} files and folders", self.entries))
                .hint("keep generated files and dependencies out of it"));
        }
        if spent.bytes > self.bytes {
            return Err(Error::failed(format!("the source is larger than {}", in_words(self.bytes)))
                .hint("keep large files out of it: an object store holds them better"));
        }
        if spent.depth > self.depth {
            return Err(Error::failed(format!("the source has folders more than {} deep", self.depth)));
        }
        Ok(())
    }

    /// Refuses one file that is too large, by name.
    pub fn check_file(&self, path: &str, bytes: u64) -> Result<()> {
        if bytes <= self.blob {
            return Ok(());
        }
        let sentence = format!("`{}` is {}; one file may have {}", path.escape_debug(), in_words(bytes), in_words(self.blob));
        Err(Error::failed(sentence).hint("keep it out of the source: an object store holds it better"))
    }
}

// === impl Spent ===

impl Spent {
    /// Adds a file or a link of `bytes`.
    pub fn add_file(&mut self, bytes: u64) {
        self.entries = self.entries.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Adds a folder and all that is in it. Sums stop at the top, so that no bomb can make them wrap.
    pub fn add_folder(&mut self, inside: Spent) {
        self.entries = self.entries.saturating_add(1).saturating_add(inside.entries);
        self.bytes = self.bytes.saturating_add(inside.bytes);
        self.depth = self.depth.max(inside.depth.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stop_at_the_top_instead_of_wrapping() {
        let mut folder = Spent { entries: u64::MAX, bytes: u64::MAX, depth: 3 };

        folder.add_folder(folder);

        assert_eq!(folder, Spent { entries: u64::MAX, bytes: u64::MAX, depth: 4 });
        assert!(Budget::default().check(folder).is_err());
    }

    #[test]
    fn a_large_file_is_refused_by_its_name() {
        let err = Budget { blob: 10 * limits::MIB, ..Budget::default() }.check_file("video.mp4", 12 * limits::MIB).unwrap_err();

        assert_eq!(err.sentence(), "`video.mp4` is 12 MiB; one file may have 10 MiB");
    }
}
