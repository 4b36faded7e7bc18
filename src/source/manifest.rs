//! What is in a context, and the small root files from which its build is planned.

use std::collections::{BTreeMap, BTreeSet};

/// The table of contents of a [`Context`](super::Context).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    paths: BTreeSet<String>,
    root_files: BTreeMap<String, Vec<u8>>,
    bytes: u64,
    warnings: Vec<String>,
}

// === impl Manifest ===

impl Manifest {
    /// Returns the paths of the files and links kept, sorted; bytes that are not UTF-8 are shown as `�`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Returns how many files and links were kept.
    #[must_use]
    pub fn count(&self) -> usize {
        self.paths.len()
    }

    /// Returns the bytes of all files kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells whether the context has this file or link.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Returns the content of a small root file that detection reads, such as `Procfile` or `package.json`.
    ///
    /// Dockerfile, `.dockerignore`, Procfile, `app.json` and `mini.toml` are here even when `.dockerignore` leaves them out of the image.
    #[must_use]
    pub fn root_file(&self, name: &str) -> Option<&[u8]> {
        self.root_files.get(name).map(Vec::as_slice)
    }

    /// Returns the content of a small root file as text; bytes that are not UTF-8 become `�`.
    #[must_use]
    pub fn root_text(&self, name: &str) -> Option<String> {
        self.root_file(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns what the person who brought the source should hear about it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn keep(&mut self, path: &str, bytes: u64) {
        self.paths.insert(path.to_owned());
        self.bytes += bytes;
    }

    pub(super) fn forget_bytes(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }

    pub(super) fn keep_root_file(&mut self, name: &str, content: Vec<u8>) {
        self.root_files.insert(name.to_owned(), content);
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}
