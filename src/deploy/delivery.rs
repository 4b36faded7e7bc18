//! A deploy that comes by a word and not by git: taken in first, and only then is it the app's turn.
//!
//! What is slow to arrive holds nobody's turn and cancels nobody; a push and a delivery then supersede each other as two pushes do.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use super::build::Built;
use super::image::Fetched;
use super::ticket::Ticket;
use super::turns::{Attempt, PushTurn};
use super::{Deployer, Talk, Target};
use crate::command::Released;
use crate::error::{Kind, Result};
use crate::model::{AppId, CommitId, ImageRef, ReleaseKind, Stage};
use crate::store::{App, DeployId};

/// Something to release, from somebody who may.
pub struct Delivery {
    pub target: Target,
    /// The caller's name.
    pub by: String,
    /// What `releases` shows; left out, where it came from.
    pub message: Option<String>,
    pub cargo: Cargo,
}

/// What is delivered.
pub enum Cargo {
    Upload(Parcel),
    Image(ImageRef),
}

/// A source in a tar or tar.gz.
pub struct Parcel {
    pub archive: Box<dyn AsyncRead + Send + Unpin>,
    /// The commit that the sender's work tree is, without changes; believed only if it has the same tree.
    pub commit: Option<CommitId>,
    pub no_cache: bool,
}

/// A delivery without its cargo.
struct Slip<'a> {
    target: Target,
    by: &'a str,
    message: Option<String>,
    begun: Instant,
    attempt: &'a Arc<Attempt>,
}

impl Deployer {
    /// Releases what is delivered; a caller that leaves cancels it until its switch.
    ///
    /// A new app is created when something deployable has arrived. An error means that nothing was changed, which is told.
    pub async fn deliver(&self, delivery: Delivery, talk: &Talk, cancelled: &CancellationToken) -> Result<Released> {
        let attempt = self.inner.turns.attempt();
        let name = delivery.target.name().clone();
        let Delivery { target, by, message, cargo } = delivery;
        let slip = Slip { target, by: &by, message, begun: Instant::now(), attempt: &attempt };
        let work = async {
            match cargo {
                Cargo::Upload(parcel) => Box::pin(self.deliver_upload(slip, parcel, talk)).await,
                Cargo::Image(image) => Box::pin(self.deliver_image(slip, &image, talk)).await,
            }
        };
        let work = async { work.await.map_err(|err| attempt.verdict_on(err)) };
        let delivered = self.unless_left(&attempt, cancelled, work).await;
        if let Err(err) = &delivered {
            tracing::info!(app.name = %name, %by, ?err, "a delivery was not released");
            talk.only_kept().error(err);
            if let Ok(Some(app)) = self.rooms().store.app_by_name(name).await
                && !self.after_failure(&app, talk).await
            {
                talk.failure(format!("`{}` has no release yet: the next deploy may be its first", app.name));
            }
        }
        delivered
    }

    async fn deliver_upload(&self, slip: Slip<'_>, parcel: Parcel, talk: &Talk) -> Result<Released> {
        let Slip { target, by, message, begun, attempt } = slip;
        self.rooms().git.look_again().check()?;
        let upload = self.take_in(parcel.archive, talk, attempt.token()).await?;
        let (app, _turn) = self.admit(target, by, "an upload", attempt, talk).await?;
        let talk = &self.logged(&app.id, talk);
        let description = message.unwrap_or_else(|| "upload".to_owned());
        let (revision, recorded) = self.revision_of(&app, &upload, parcel.commit, by, &description, attempt.token()).await?;
        let deploy = self.begin_kept(&app, ReleaseKind::Upload, Some(&revision.commit), by, talk, attempt).await?;
        let proving = async {
            let context = self.context_of(upload, attempt.token()).await?;
            let (revision, by) = (Some(revision), by.to_owned());
            let ticket = Ticket { app, deploy, kind: ReleaseKind::Upload, revision, recorded, by, description };
            self.prove_source(ticket, context, parcel.no_cache, talk, attempt).await
        };
        self.release(deploy, proving, begun, talk, attempt).await
    }

    async fn deliver_image(&self, slip: Slip<'_>, image: &ImageRef, talk: &Talk) -> Result<Released> {
        let Slip { target, by, message, begun, attempt } = slip;
        let fetched = self.fetch_image(image, talk, attempt.token()).await?;
        let kept = self.enter_with(&fetched, target, &format!("the image {image}"), by, attempt, talk).await;
        self.release_pulled_name(&fetched).await;
        let (app, _turn, deploy, built) = kept?;
        let talk = &self.logged(&app.id, talk);
        let proving = async {
            self.reach(deploy, Stage::Sourced, talk).await?;
            self.rooms().store.set_built(deploy, built.image.clone()).await?;
            talk.stage(Stage::Built);
            let (description, by) = (message.unwrap_or_else(|| format!("image {image}")), by.to_owned());
            let ticket = Ticket { app, deploy, kind: ReleaseKind::Image, revision: None, recorded: None, by, description };
            self.prove_image(ticket, built, talk, attempt).await
        };
        let released = self.release(deploy, proving, begun, talk, attempt).await?;
        if let Some(container) = &released.container {
            talk.detail(format!("container {}", container.short()));
        }
        Ok(released)
    }

    /// Takes the push turn and keeps the image under a name of the deploy.
    async fn enter_with(
        &self,
        fetched: &Fetched,
        target: Target,
        what: &str,
        by: &str,
        attempt: &Arc<Attempt>,
        talk: &Talk,
    ) -> Result<(App, PushTurn, DeployId, Built)> {
        let (app, turn) = self.admit(target, by, what, attempt, talk).await?;
        let deploy = self.begin_kept(&app, ReleaseKind::Image, None, by, talk, attempt).await?;
        let built = self.journaled(deploy, self.keep_image(&app, deploy, fetched)).await?;
        Ok((app, turn, deploy, built))
    }

    /// Takes the push turn of the app, which is created if need be.
    async fn admit(&self, target: Target, by: &str, what: &str, attempt: &Arc<Attempt>, talk: &Talk) -> Result<(App, PushTurn)> {
        let app = match target {
            Target::Existing(app) => *app,
            Target::New(name) => match self.found(AppId::random(), name.clone(), by, talk).await {
                // Another first deploy was faster, and who may create apps may deploy this one.
                Err(err) if err.kind() == Kind::Busy => self.rooms().store.app_by_name(name).await?.ok_or(err)?,
                created => created?,
            },
        };
        let turn = self.push_turn(&app.id, &format!("superseded by {what} ({by})"), attempt, talk).await?;
        // Read under the turn: it may have been destroyed, or another release may have gone live.
        Ok((self.present(&app.id).await?, turn))
    }
}
