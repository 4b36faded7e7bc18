//! Free disk space: how much there is where it counts, and the floors below which nothing is built or pulled.
//!
//! What runs goes on below the floors; they keep the room in which the database, git and the logs go on too.

use std::path::{Path, PathBuf};

use super::Deployer;
use crate::error::{Error, Result};
use crate::model::limits::DATA_FLOOR_BYTES;
use crate::model::size::{at_least, in_words};

/// A disk that fills up with what is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub holds: Holds,
    pub path: PathBuf,
    /// What an unprivileged program may still write; `None` where that cannot be asked.
    pub free_bytes: Option<u64>,
    pub floor_bytes: u64,
}

/// What a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The data dir: database, repositories, sources on their way.
    Data,
    /// The engine's root: images, containers, the build cache.
    Images,
}

// === impl Disk ===

impl Disk {
    fn look(holds: Holds, path: PathBuf, floor_bytes: u64) -> Self {
        let free_bytes = free_bytes(&path);
        Disk { holds, path, free_bytes, floor_bytes }
    }

    /// Refuses when less than the floor is free. What cannot be asked is not refused.
    pub fn check(&self) -> Result<()> {
        match self.free_bytes {
            Some(free) if free < self.floor_bytes => {
                let (free, needed) = (at_least(free), in_words(self.floor_bytes));
                let sentence = format!("there is not enough disk space: {free} free where {}, {needed} needed", self.holds.in_words());
                Err(Error::unavailable(sentence).hint("make room on the server: ssh mini prune"))
            }
            _ => Ok(()),
        }
    }

    /// Tells whether it is time to keep less: below twice the floor.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.free_bytes.is_some_and(|free| free < self.floor_bytes.saturating_mul(2))
    }
}

// === impl Holds ===

impl Holds {
    /// Says what is kept there, as the end of a sentence: "… where the engine keeps images".
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Holds::Data => "mini keeps its data",
            Holds::Images => "the engine keeps images",
        }
    }
}

impl Deployer {
    /// Looks at the data dir's disk and, if the engine tells where that is, at the one with the images.
    pub async fn disks(&self) -> Vec<Disk> {
        let settings = &self.rooms().settings;
        let root = match self.rooms().engine.facts().await {
            Ok(facts) => facts.root,
            // Whatever needs the engine will say so itself.
            Err(err) => {
                tracing::debug!(?err, "the engine does not tell where it keeps images");
                None
            }
        };
        let data = Disk::look(Holds::Data, settings.data.clone(), settings.disk_floor.min(DATA_FLOOR_BYTES));
        std::iter::once(data).chain(root.map(|root| Disk::look(Holds::Images, root, settings.disk_floor))).collect()
    }

    /// Refuses to begin what needs room, before anything of it is there.
    pub(super) async fn check_space(&self) -> Result<()> {
        self.disks().await.iter().try_for_each(Disk::check)
    }
}

/// Asks the file system that holds `path` (statvfs(3)); `None` when there is none of this path here, as with an engine in a machine of its own.
fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::{GIB, MIB};

    fn disk(free_bytes: Option<u64>) -> Disk {
        Disk { holds: Holds::Images, path: "/var/lib/docker".into(), free_bytes, floor_bytes: GIB }
    }

    #[test]
    fn below_the_floor_is_refused_with_both_figures() {
        let err = disk(Some(307 * MIB)).check().unwrap_err();

        assert_eq!(err.sentence(), "there is not enough disk space: 307 MiB free where the engine keeps images, 1 GiB needed");
        assert_eq!(err.next_step(), Some("make room on the server: ssh mini prune"));
        let close = disk(Some(GIB - 1)).check().unwrap_err();
        assert!(close.sentence().contains("1023 MiB free"), "{close}");
    }

    #[test]
    fn enough_and_unknown_are_fine_and_low_comes_before_too_little() {
        for (free, is_low) in [(Some(GIB), true), (Some(2 * GIB - 1), true), (Some(2 * GIB), false), (None, false)] {
            assert!(disk(free).check().is_ok(), "{free:?}");
            assert_eq!(disk(free).is_low(), is_low, "{free:?}");
        }
    }

    #[test]
    fn a_path_that_is_not_here_is_unknown() {
        assert!(free_bytes(Path::new("/")).is_some());
        assert_eq!(free_bytes(Path::new("/nowhere/docker")), None);
    }
}
