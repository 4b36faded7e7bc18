//! What every deploy shares: its row in the journal, its turns, and what is told when it fails.

use tokio_util::sync::CancellationToken;

use super::fault::contained;
use super::owed::End;
use super::turns::{Attempt, ReleaseTurn};
use super::{Deployer, Talk};
use crate::error::{Error, Result};
use crate::model::{AppId, CommitId, ReleaseKind, Stage};
use crate::store::{App, DeployId, NewDeploy, Release};

/// Why a deploy ends whose caller has left.
pub(super) const LEFT: &str = "cancelled: you left before the switch";

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
        crate::failpoint!("queued::before");
        let deploy = self.rooms().store.begin_deploy(new).await?;
        crate::failpoint!("queued::committed");
        Ok(deploy)
    }

    /// Moves a deploy on, in the journal and for those who draw it.
    pub(super) async fn reach(&self, deploy: DeployId, stage: Stage, talk: &Talk) -> Result<()> {
        self.rooms().store.advance(deploy, stage).await?;
        talk.stage(stage);
        Ok(())
    }

    /// Does the work of an attempt that its caller, by leaving, cancels until its switch.
    pub(super) async fn unless_left<T>(
        &self,
        attempt: &Attempt,
        cancelled: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let left = async {
            cancelled.cancelled().await;
            attempt.cancel(LEFT);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = work => done,
            () = left => Err(attempt.why()),
        }
    }

    /// Clears what a failed deploy left and tells what goes on serving; `false` when nothing does.
    ///
    /// Read anew: another release may have gone live since it came in.
    pub(super) async fn after_failure(&self, app: &App, talk: &Talk) -> bool {
        if let Err(err) = self.drop_old_images(app).await {
            tracing::warn!(app.name = %app.name, ?err, "images of a failed deploy could not be removed");
        }
        self.say_what_serves(&app.id, talk).await
    }

    pub(super) async fn say_what_serves(&self, app: &AppId, talk: &Talk) -> bool {
        let live = self.present(app).await.ok().and_then(|app| app.current_version);
        if let Some(live) = live {
            talk.failure(format!("nothing was changed: {live} keeps serving"));
        }
        live.is_some()
    }

    /// Runs a deploy's work and writes its failure into the journal and the app's log.
    pub(super) async fn journaled<T>(&self, deploy: DeployId, work: impl Future<Output = Result<T>>) -> Result<T> {
        let result = contained(work).await;
        if let Err(err) = &result {
            self.note_failure(deploy, err).await;
        }
        result
    }

    async fn note_failure(&self, deploy: DeployId, err: &Error) {
        self.write_down(End::Failed(deploy, err.sentence().to_owned())).await;
        match self.rooms().store.deploy(deploy).await {
            // A release that failed has said so itself.
            Ok(failed) if failed.version.is_some() => {}
            Ok(failed) => self.note(&failed.app, "build", &format!("failed: {}", err.sentence())).await,
            Err(err) => tracing::warn!(%deploy, ?err, "whose deploy failed cannot be read"),
        }
    }
}
