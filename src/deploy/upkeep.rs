//! What makes room: images that no release needs, the build cache, history that nobody can go back to, forgotten files.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::Deployer;
use super::space::{Disk, Holds};
use crate::error::{Error, Result};
use crate::git::Repack;
use crate::model::limits::{BUILD_CACHE_BYTES, KEPT_COMMITS, STALE_TMP};
use crate::model::{AppId, ReleaseState, Version};
use crate::store::{App, Release};

/// How much goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// What care does: beyond retention and budget.
    Daily,
    /// The same, and every repository is packed.
    Asked,
    /// Only what is live stays, and nothing of the build cache.
    All,
}

/// What went of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freed {
    pub what: Kept,
    /// How many there were, where they are counted.
    pub count: Option<usize>,
    /// What that freed, where it can be measured.
    pub bytes: Option<u64>,
}

/// The kinds of things that are kept for later and may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Images,
    BuildCache,
    Commits,
    Files,
}

impl Deployer {
    /// Makes room, and tells per kind how much. What cannot be done is told in the log and does not stop the rest.
    ///
    /// Errors: the engine does not answer, or the rows cannot be read. Nothing that runs, and nothing of others, is touched: only the
    /// build cache is one for all that build on this engine.
    pub async fn make_room(&self, upkeep: Upkeep) -> Result<Vec<Freed>> {
        // One at a time: two would tell each other's.
        let _turn = self.inner.upkeep.lock().await;
        let commits = self.drop_commits(upkeep).await?;
        let files = self.drop_stale_files().await;
        self.rooms().engine.check().await?;
        let images = self.drop_images(upkeep).await?;
        let budget = if upkeep == Upkeep::All { 0 } else { BUILD_CACHE_BYTES };
        let cache = self.rooms().engine.prune_build_cache(budget).await?;
        Ok(vec![images, Freed { what: Kept::BuildCache, count: None, bytes: Some(cache) }, commits, files])
    }

    async fn drop_images(&self, upkeep: Upkeep) -> Result<Freed> {
        let before = self.disks().await;
        let keep = if upkeep == Upkeep::All { 1 } else { self.images_to_keep(&before) };
        let mut count = self.drop_images_of_no_app().await?;
        for app in self.rooms().store.apps().await? {
            count += self.keep_images(&app, keep).await?;
        }
        let free = |disks: &[Disk]| disks.iter().find(|disk| disk.holds == Holds::Images).and_then(|disk| disk.free_bytes);
        let bytes = free(&before).zip(free(&self.disks().await)).map(|(before, after)| after.saturating_sub(before));
        Ok(Freed { what: Kept::Images, count: Some(count), bytes: if count == 0 { Some(0) } else { bytes } })
    }

    /// Removes what this server built for apps that are gone.
    async fn drop_images_of_no_app(&self) -> Result<usize> {
        // Listed before the apps: an app that comes later is none of these.
        let images = self.rooms().engine.all_images().await?;
        let known = self.known_apps().await?;
        let strange = images.into_iter().filter(|(app, _)| !known.contains(app)).map(|(_, image)| image);
        self.remove_images(strange.collect()).await
    }

    pub(super) async fn known_apps(&self) -> Result<HashSet<AppId>> {
        Ok(self.rooms().store.apps().await?.into_iter().map(|app| app.id).collect())
    }

    async fn drop_commits(&self, upkeep: Upkeep) -> Result<Freed> {
        let (mut count, mut bytes) = (0, 0);
        for app in self.rooms().store.apps().await? {
            match Box::pin(self.drop_commits_of(&app, upkeep)).await {
                Ok((refs, freed)) => {
                    count += refs;
                    bytes += freed;
                }
                Err(err) => tracing::warn!(app.name = %app.name, ?err, "the repository could not be made smaller"),
            }
        }
        Ok(Freed { what: Kept::Commits, count: Some(count), bytes: Some(bytes) })
    }

    /// Drops the commits of releases that nobody can go back to; not while a push is on its way to the app.
    async fn drop_commits_of(&self, app: &App, upkeep: Upkeep) -> Result<(usize, u64)> {
        let git = &self.rooms().git;
        if !git.exists(&app.id) || git.is_receiving(&app.id) || self.is_making(&app.id).await? {
            return Ok((0, 0));
        }
        let kept = self.kept_commits(app).await?;
        let id = app.id.clone();
        let dropped = self.git(move |git| git.drop_release_refs(&id, &kept)).await?;
        let repack = if dropped == 0 && upkeep == Upkeep::Daily { Repack::IfWorthIt } else { Repack::Always };
        Ok((dropped, git.repack(&app.id, repack).await?))
    }

    /// Returns the releases whose commits are kept: the last ones, those whose image is kept, what is live and what is in motion.
    async fn kept_commits(&self, app: &App) -> Result<HashSet<Version>> {
        let images = self.kept_images(&app.id, self.rooms().settings.keep_images).await?;
        let releases = self.rooms().store.releases(app.id.clone()).await?;
        let is_over = |state: ReleaseState| matches!(state, ReleaseState::Retired | ReleaseState::Failed);
        let kept = releases
            .iter()
            .enumerate()
            .filter(|(age, release)| *age < KEPT_COMMITS || images.contains(&release.image) || !is_over(release.state));
        Ok(kept.map(|(_, release)| release.version).collect())
    }

    /// Refuses to go back to a release whose commit is gone.
    pub(super) async fn check_commit(&self, release: &Release) -> Result<()> {
        let Some(commit) = release.commit().cloned() else { return Ok(()) };
        let app = release.app.clone();
        if self.git(move |git| git.has_commit(&app, &commit)).await? {
            return Ok(());
        }
        Err(Error::not_found(format!("the commit of {} is no longer kept", release.version)).hint("push that commit again"))
    }

    async fn drop_stale_files(&self) -> Freed {
        let tmp = self.tmp();
        let swept = tokio::task::spawn_blocking(move || sweep(&tmp, SystemTime::now() - STALE_TMP)).await;
        let (count, bytes) = swept.unwrap_or_default();
        Freed { what: Kept::Files, count: Some(count), bytes: Some(bytes) }
    }
}

/// Removes what has not been written since `before`; returns how many files and bytes that were.
fn sweep(folder: &Path, before: SystemTime) -> (usize, u64) {
    let (mut count, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.modified().is_ok_and(|at| at >= before) {
            continue;
        }
        let gone = if meta.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        match gone {
            Ok(()) => {
                count += 1;
                bytes += if meta.is_file() { meta.len() } else { 0 };
            }
            Err(err) => tracing::warn!(path = %entry.path().display(), %err, "a forgotten file could not be removed"),
        }
    }
    (count, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_written_for_long_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - 2 * STALE_TMP;
        for name in ["old.tar", "fresh.tar"] {
            fs::write(dir.path().join(name), "four").unwrap();
        }
        fs::File::options().write(true).open(dir.path().join("old.tar")).unwrap().set_modified(old).unwrap();

        let swept = sweep(dir.path(), SystemTime::now() - STALE_TMP);

        assert_eq!(swept, (1, 4));
        assert!(dir.path().join("fresh.tar").exists() && !dir.path().join("old.tar").exists());
        assert_eq!(sweep(&dir.path().join("nowhere"), SystemTime::now()), (0, 0));
    }
}
