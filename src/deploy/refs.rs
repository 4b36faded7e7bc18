//! Where an app's refs stand. This is the one place that knows; the switch, a rollback, the end of a push and start-up all come here.
//!
//! - `refs/mini/releases/vN` keeps the commit of each release that has one, pushed or recorded.
//! - `deployed`, what `git clone` gives, is the commit of what is live, and is gone while that is an image without a source.
//! - The deploy branch stands on a live commit that was pushed. It is gone while the live commit is one that mini recorded of an
//!   upload, or there is none: the next push is then neither "up to date" nor "fetch first", whatever it builds on.
//!
//! Whether a commit was recorded is kept with each release and goes with it into those made of it: a rollback, a rebuild, a config change.

use super::Deployer;
use crate::error::{Error, Result};
use crate::git::{DEPLOYED, Git, branch_ref};
use crate::model::AppId;
use crate::store::{App, Release};

impl Deployer {
    /// Brings all refs of an app to what is live now; under the release turn, so that this stays what is live.
    pub(super) async fn follow(&self, app: &AppId) {
        let Ok(app) = self.present(app).await else { return };
        let Ok(Some(live)) = self.live_release(&app.id).await else { return };
        if let Err(err) = self.point_refs(&app, &live).await {
            tracing::error!(app.name = %app.name, ?err, "the repository could not follow what is live; the next start repairs it");
        }
    }

    pub(super) async fn point_refs(&self, app: &App, live: &Release) -> Result<()> {
        let (live, branch) = (live.clone(), app.deploy_branch.clone());
        self.git(move |git| {
            point_deployed(git, &live)?;
            crate::failpoint!("refs::deployed");
            let Some(branch) = branch.filter(|_| git.exists(&live.app)) else { return Ok(()) };
            match live.revision.as_ref().filter(|revision| !revision.is_recorded) {
                Some(pushed) => git.set_ref(&live.app, &branch_ref(&branch), &pushed.commit),
                None => git.delete_ref(&live.app, &branch_ref(&branch)),
            }
        })
        .await
    }

    /// Moves only `deployed`: the branch is git's to move, which compares where it stood.
    pub(super) async fn point_deployed(&self, live: &Release) -> Result<()> {
        let live = live.clone();
        self.git(move |git| point_deployed(git, &live)).await
    }

    /// Keeps the commit of a release that is about to go live.
    pub(super) async fn keep_commit(&self, release: &Release) -> Result<()> {
        let Some(commit) = release.commit().cloned() else { return Ok(()) };
        let (app, version) = (release.app.clone(), release.version);
        self.git(move |git| git.set_release_ref(&app, version, &commit)).await
    }
}

fn point_deployed(git: &Git, live: &Release) -> Result<()> {
    let app = &live.app;
    let Some(commit) = live.commit() else {
        return if git.exists(app) { git.delete_ref(app, DEPLOYED) } else { Ok(()) };
    };
    if !git.has_commit(app, commit)? {
        return Err(Error::failed("the commit of the live release is not in the repository"));
    }
    git.set_release_ref(app, live.version, commit)?;
    crate::failpoint!("refs::kept");
    git.set_deployed(app, commit)
}
