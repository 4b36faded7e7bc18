//! The commit that is live, built and released again: what to use after "Everything up-to-date".

use std::sync::Arc;
use std::time::Instant;

use super::prove::Recipe;
use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::error::{Error, Result};
use crate::model::{ReleaseKind, Stage, Version};
use crate::store::App;

impl Deployer {
    /// Builds the live commit under the push turn, as a push would be, and releases it.
    pub(super) async fn rebuild(&self, app: App, no_cache: bool, by: &str, talk: &Talk, attempt: &Arc<Attempt>) -> Result<Version> {
        let begun = Instant::now();
        let reason = format!("superseded by a rebuild ({by})");
        let _turn = self.inner.turns.push(&app.id, Arc::clone(attempt), &reason).await?;
        // Read under the turn: a push that was switching is live by now.
        let Some(commit) = self.live_release(&app.id).await?.and_then(|release| release.commit) else {
            return Err(Error::not_found(format!("`{}` has no commit to build", app.name)).hint("git push mini main"));
        };
        let deploy = self.begin(&app, ReleaseKind::Rebuild, Some(&commit), by).await?;
        let work = async {
            talk.step(format!("Rebuilding {} ({})", app.name, commit.short()));
            let context = self.rooms().git.spool(&app.id, None, &commit, &self.tmp(), attempt.token()).await?;
            self.rooms().store.advance(deploy, Stage::Sourced).await?;
            let built = Box::pin(self.build(&app, deploy, context, no_cache, talk, attempt.token())).await?;
            let release_turn = self.release_turn(&app.id, talk, attempt).await?;
            let recipe = Recipe {
                app: app.clone(),
                deploy,
                kind: ReleaseKind::Rebuild,
                commit: Some(commit.clone()),
                image: built.image,
                image_tag: built.tag,
                exposed: built.exposed,
                by: by.to_owned(),
                description: format!("rebuild of {}", commit.short()),
                config: self.rooms().store.config(app.id.clone()).await?,
            };
            self.prove_and_switch(recipe, release_turn, begun, talk, attempt).await
        };
        let work = async { work.await.map_err(|err| attempt.verdict_on(err)) };
        Box::pin(self.journaled(deploy, work)).await
    }
}
