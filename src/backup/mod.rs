//! The backup file: a tar of a few known places, a manifest in front and a digest of all of it at the end.
//!
//! Whoever unpacks one trusts nothing in it: only known paths, only regular files, each and all of them bounded, and nothing
//! counts before the digest has been seen.

mod manifest;
mod place;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use manifest::{FORMAT, Manifest, ManifestApp};
pub use place::{DATABASE, HOST_KEY, HOST_KEY_PUBLIC, LOGS, MASTER_KEY, REPOSITORIES, SETTINGS, repository_folder};
pub use reader::unpack;
pub use writer::Writer;
