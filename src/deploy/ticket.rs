//! What has arrived for an app becomes a release that answers: the one way that pushes, uploads, images and rebuilds share.

use std::sync::Arc;
use std::time::Instant;

use super::build::Built;
use super::prove::{Proven, Recipe};
use super::turns::{Attempt, PushTurn};
use super::{Deployer, Talk};
use crate::command::Released;
use crate::error::Result;
use crate::git::Recorded;
use crate::model::{AppId, AppName, ReleaseKind, Revision, Stage};
use crate::source::Context;
use crate::store::{App, DeployId};

/// A deploy that holds the push turn of its app, and what is to be said of its release.
pub(super) struct Ticket {
    pub app: App,
    pub deploy: DeployId,
    pub kind: ReleaseKind,
    pub revision: Option<Revision>,
    /// The revision's commit, when it is to become part of the repository.
    pub recorded: Option<Recorded>,
    pub by: String,
    pub description: String,
}

impl Deployer {
    /// Creates the app that something deployable has arrived for; a name that was taken meanwhile is [`Kind::Busy`](crate::error::Kind::Busy).
    pub(super) async fn found(&self, id: AppId, name: AppName, by: &str, talk: &Talk) -> Result<App> {
        crate::failpoint!("create::before");
        let app = self.rooms().store.create_app(id, name, by.to_owned()).await?;
        crate::failpoint!("create::committed");
        self.rooms().routes.add_app(app.name.clone(), app.id.clone());
        talk.step(format!("Created app `{}`", app.name));
        Ok(app)
    }

    /// Takes the push turn; what is on its way to the app is cancelled with `reason` until its switch.
    pub(super) async fn push_turn(&self, app: &AppId, reason: &str, attempt: &Arc<Attempt>, talk: &Talk) -> Result<PushTurn> {
        if self.inner.turns.is_pushing(app) {
            talk.step("Waiting for the push before this one to end");
        }
        self.inner.turns.push(app, Arc::clone(attempt), reason).await
    }

    /// Builds a source and proves its release.
    pub(super) async fn prove_source(
        &self,
        ticket: Ticket,
        context: Context,
        no_cache: bool,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<Proven> {
        crate::failpoint!("sourced::before");
        self.reach(ticket.deploy, Stage::Sourced, talk).await?;
        crate::failpoint!("sourced::committed");
        let built = Box::pin(self.build(&ticket.app, ticket.deploy, context, no_cache, talk, attempt.token())).await?;
        Box::pin(self.prove_image(ticket, built, talk, attempt)).await
    }

    /// Proves the release of an image that is there.
    pub(super) async fn prove_image(&self, ticket: Ticket, built: Built, talk: &Talk, attempt: &Attempt) -> Result<Proven> {
        let turn = self.release_turn(&ticket.app.id, talk, attempt).await?;
        let recipe = Recipe {
            deploy: ticket.deploy,
            kind: ticket.kind,
            revision: ticket.revision,
            recorded: ticket.recorded,
            image: built.image,
            image_tag: built.tag,
            exposed: built.exposed,
            process_table: built.process_table,
            by: ticket.by,
            description: ticket.description,
            config: self.rooms().store.config(ticket.app.id.clone()).await?,
            app: ticket.app,
        };
        Box::pin(self.prove(recipe, turn, talk, attempt)).await
    }

    /// Switches to what `proving` proves, unless the attempt is cancelled before, and keeps in the journal how that went.
    pub(super) async fn release(
        &self,
        deploy: DeployId,
        proving: impl Future<Output = Result<Proven>>,
        begun: Instant,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<Released> {
        let work = async {
            let proven = proving.await.map_err(|err| attempt.verdict_on(err))?;
            if let Err(err) = attempt.begin_switch() {
                self.abandon(proven, err.sentence()).await;
                return Err(err);
            }
            self.switch(proven, None, begun, talk).await
        };
        // On the heap: these futures hold a whole build, and tasks poll them on small stacks.
        Box::pin(self.journaled(deploy, work)).await
    }
}
