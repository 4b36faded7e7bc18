//! The commit that is live, built and released again: what to use after "Everything up-to-date".

use std::sync::Arc;
use std::time::Instant;

use super::ticket::Ticket;
use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::command::Released;
use crate::error::Result;
use crate::model::ReleaseKind;
use crate::store::App;

impl Deployer {
    /// Builds the live commit under the push turn, as a push would be, and releases it.
    pub(super) async fn rebuild(&self, app: App, no_cache: bool, by: &str, talk: &Talk, attempt: &Arc<Attempt>) -> Result<Released> {
        let begun = Instant::now();
        self.check_space().await?;
        let reason = format!("superseded by a rebuild ({by})");
        let _turn = self.push_turn(&app.id, &reason, attempt, talk).await?;
        // Read under the turn: a push that was switching is live by now.
        let (_, revision) = self.live_source(&app).await?;
        let commit = revision.commit.clone();
        let deploy = self.begin_kept(&app, ReleaseKind::Rebuild, Some(&commit), by, talk, attempt).await?;
        let proving = async {
            talk.step(format!("Rebuilding {} ({})", app.name, commit.short()));
            let context = self.rooms().git.spool(&app.id, None, &commit, &self.tmp(), attempt.token()).await?;
            let (revision, description) = (Some(revision), format!("rebuild of {}", commit.short()));
            let kind = ReleaseKind::Rebuild;
            let ticket = Ticket { app: app.clone(), deploy, kind, revision, recorded: None, by: by.to_owned(), description };
            self.prove_source(ticket, context, no_cache, talk, attempt).await
        };
        self.release(deploy, proving, begun, talk, attempt).await
    }
}
