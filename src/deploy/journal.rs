//! What every deploy shares: its row in the journal, its turn, and the branch that follows what is live.

use super::turns::{Attempt, ReleaseTurn};
use super::{Deployer, Talk};
use crate::error::Result;
use crate::git::branch_ref;
use crate::model::{AppId, CommitId, ReleaseKind};
use crate::store::{App, DeployId, NewDeploy, Release};

impl Deployer {
    /// Reads the app anew; it may have been destroyed since the caller was let in.
    pub(super) async fn present(&self, app: &AppId) -> Result<App> {
        self.rooms().store.app(app.clone()).await
    }

    /// Returns the release that serves now.
    pub async fn live_release(&self, app: &AppId) -> Result<Option<Release>> {
        let Some(version) = self.present(app).await?.current_version else { return Ok(None) };
        self.rooms().store.release(app.clone(), version).await.map(Some)
    }

    /// Takes the release turn, unless `attempt` is cancelled while it waits.
    pub(super) async fn release_turn(&self, app: &AppId, talk: &Talk, attempt: &Attempt) -> Result<ReleaseTurn> {
        if self.inner.turns.is_releasing(app) {
            talk.step("Waiting for another release of this app");
        }
        tokio::select! {
            biased;
            () = attempt.token().cancelled() => Err(attempt.why()),
            turn = self.inner.turns.release(app) => Ok(turn),
        }
    }

    pub(super) async fn begin(&self, app: &App, kind: ReleaseKind, commit: Option<&CommitId>, by: &str) -> Result<DeployId> {
        let new = NewDeploy { app: app.id.clone(), kind, commit: commit.cloned(), by: by.to_owned(), message: None };
        self.rooms().store.begin_deploy(new).await
    }

    /// Runs a deploy's work and writes its failure into the journal.
    pub(super) async fn journaled<T>(&self, deploy: DeployId, work: impl Future<Output = Result<T>>) -> Result<T> {
        let result = work.await;
        if let Err(err) = &result
            && let Err(broken) = self.rooms().store.fail(deploy, err.sentence().to_owned()).await
        {
            tracing::error!(%deploy, err = ?broken, "a failed deploy could not be journaled");
        }
        result
    }

    /// Moves the deploy branch to what is live now; under the release turn, so that this stays what is live.
    pub(super) async fn follow(&self, app: &AppId) {
        let Ok(app) = self.present(app).await else { return };
        let Ok(Some(live)) = self.live_release(&app.id).await else { return };
        let (Some(branch), Some(commit)) = (app.deploy_branch, live.commit) else { return };
        let id = app.id;
        if let Err(err) = self.git(move |git| git.set_ref(&id, &branch_ref(&branch), &commit)).await {
            tracing::error!(app.name = %app.name, ?err, "the deploy branch could not follow; the next start moves it");
        }
    }
}
