//! What keeps a repository small: refs of releases that nobody can go back to are dropped, and git packs anew what is left.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::bridge::Running;
use super::commits::unreadable;
use super::refs::RELEASE_REFS;
use super::{Git, program};
use crate::error::{Error, Result};
use crate::model::limits::REPACK_TIME;
use crate::model::{AppId, Version};

/// Objects that nothing reaches stay this long (git-gc(1)): a push that runs meanwhile may be about to reach them.
const EXPIRY: &str = "1.day.ago";

/// How thoroughly a repository is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repack {
    /// Only one that has gathered many packs or loose objects.
    IfWorthIt,
    Always,
}

// === impl Git ===

impl Git {
    /// Tells whether a push is being received now.
    #[must_use]
    pub fn is_receiving(&self, app: &AppId) -> bool {
        self.pushes_under_way(app) > 0
    }

    /// Deletes the refs of all releases but the `kept` ones; returns how many there were. Blocks briefly.
    pub fn drop_release_refs(&self, app: &AppId, kept: &HashSet<Version>) -> Result<usize> {
        let repo = self.open_repo(app, None)?;
        let mut dropped = 0;
        for found in repo.references_glob(&format!("{RELEASE_REFS}*")).map_err(unreadable)? {
            let mut found = found.map_err(unreadable)?;
            let version = found.name().ok().and_then(|name| name.strip_prefix(RELEASE_REFS)?.parse().ok());
            // What is not a release's was not put there by us.
            if version.is_some_and(|version: Version| !kept.contains(&version)) {
                found.delete().map_err(|err| Error::failed("a release's ref could not be deleted").because(err))?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Has git pack the repository anew and drop what nothing has reached for a day; returns the bytes that this freed.
    ///
    /// Pushes, fetches and readers may go on meanwhile. Cancel-safe: dropping the future kills git, which leaves files that the next
    /// run removes.
    pub async fn repack(&self, app: &AppId, repack: Repack) -> Result<u64> {
        let repo = self.existing(app)?;
        self.ready().await?;
        let before = bytes_below(&repo).await;
        let mut command = self.gc(&repo, repack);
        let failed = |err| Error::failed("the app's repository could not be packed").because(err);
        let git = Running::spawn(&mut command, self.inner.exit_grace).map_err(failed)?;
        let ended = tokio::time::timeout(REPACK_TIME, git.output()).await;
        let output = ended.map_err(|_| Error::failed("packing the app's repository took too long"))?.map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::failed("git could not pack the app's repository").because(said));
        }
        Ok(before.saturating_sub(bytes_below(&repo).await))
    }

    fn gc(&self, repo: &Path, repack: Repack) -> Command {
        let mut command = Command::new("git");
        for setting in program::settings(repo, &self.inner.hooks) {
            command.arg("-c").arg(setting);
        }
        // Refs stay loose: moving one needs no lock that gc may hold. Packing must not take the machine from the apps.
        for setting in ["gc.packRefs=false", "gc.autoDetach=false", "pack.threads=1", "pack.windowMemory=64m"] {
            command.arg("-c").arg(setting);
        }
        if repack == Repack::IfWorthIt {
            command.args(["-c", "gc.auto=1000", "-c", "gc.autoPackLimit=20"]);
        }
        command.args(["gc", "--quiet", &format!("--prune={EXPIRY}")]);
        if repack == Repack::IfWorthIt {
            command.arg("--auto");
        }
        command.current_dir(repo).env_clear().envs(program::environment(&self.inner.search_path, &self.inner.hooks));
        command.env("GIT_DIR", repo).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

async fn bytes_below(folder: &Path) -> u64 {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || count(&folder)).await.unwrap_or(0)
}

/// Adds up the files below a folder; what vanishes meanwhile counts for nothing.
fn count(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => count(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::super::release_ref;
    use super::super::testing::Bench;
    use super::*;

    /// Three releases, each with a file of its own that does not compress.
    fn with_releases() -> Bench {
        let bench = Bench::new();
        for number in 1..=3 {
            let noise: Vec<String> = (0..2000_u32).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761).wrapping_add(number))).collect();
            let commit = bench.commit(&[("noise", &noise.concat())]);
            bench.git.set_release_ref(&bench.app, Version(number), &commit).unwrap();
            bench.git.set_deployed(&bench.app, &commit).unwrap();
        }
        bench
    }

    #[test]
    fn refs_of_releases_that_are_not_kept_go_and_no_other() {
        let bench = with_releases();
        let other = bench.commit(&[("a", "b")]);
        bench.git.set_ref(&bench.app, "refs/mini/releases/notes", &other).unwrap();

        let dropped = bench.git.drop_release_refs(&bench.app, &HashSet::from([Version(3)])).unwrap();

        assert_eq!(dropped, 2);
        let left = bench.shell("git for-each-ref --format='%(refname)'");
        assert_eq!(left.lines().collect::<Vec<_>>(), ["refs/heads/deployed", "refs/mini/releases/notes", "refs/mini/releases/v3"]);
        assert_eq!(bench.git.drop_release_refs(&bench.app, &HashSet::from([Version(3)])).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_repack_frees_what_is_old_and_keeps_what_a_ref_reaches_and_what_is_new() {
        let bench = with_releases();
        let commit = |version| bench.git.ref_value(&bench.app, &release_ref(Version(version))).unwrap().unwrap();
        let (old, kept) = (commit(1), commit(3));
        bench.shell("find objects -type f -exec touch -d '3 days ago' {} +");
        let fresh = bench.commit(&[("fresh", "not yet reached")]);
        bench.git.drop_release_refs(&bench.app, &HashSet::from([Version(3)])).unwrap();

        let freed = bench.git.repack(&bench.app, Repack::Always).await.unwrap();

        assert!(freed > 10_000, "{freed}");
        let has = |commit| bench.git.has_commit(&bench.app, commit).unwrap();
        assert_eq!((has(&old), has(&kept), has(&fresh)), (false, true, true));
        assert_eq!(bench.git.ref_value(&bench.app, &release_ref(Version(3))).unwrap(), Some(kept));
        assert!(bench.shell("git fsck --full 2>&1 | grep -v dangling || true").is_empty());
    }

    #[tokio::test]
    async fn a_repository_with_little_in_it_is_left_as_it_is() {
        let bench = with_releases();

        bench.git.repack(&bench.app, Repack::IfWorthIt).await.unwrap();

        assert_eq!(bench.shell("git count-objects -v | grep packs:"), "packs: 0");
    }

    #[test]
    fn a_push_under_way_is_known() {
        let bench = Bench::new();

        let push = bench.git.receiving(&bench.app);

        assert!(bench.git.is_receiving(&bench.app));
        drop(push);
        assert!(!bench.git.is_receiving(&bench.app));
    }
}
