//! What one deploy says, for its kept output: in memory until it has a number, in its file from then on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::command::{Batch, Teller, backlog, skipped};
use crate::error::Result;
use crate::model::{CommitId, ReleaseKind};
use crate::store::{App, DeployId};

/// Said before a deploy has a number: a few lines. More than this is not kept.
const EARLY_LINES: usize = 1000;

/// A cheap clone of where a deploy's lines are kept. When the last clone is dropped, the output has ended.
#[derive(Clone, Default)]
pub(super) struct Record {
    state: Arc<Mutex<State>>,
}

enum State {
    Early(Vec<String>),
    Kept(Teller<String>),
}

// === impl State ===

impl Default for State {
    fn default() -> Self {
        State::Early(Vec::new())
    }
}

// === impl Record ===

impl Record {
    pub(super) fn say(&self, line: &str) {
        match &mut *self.state() {
            State::Early(lines) if lines.len() < EARLY_LINES => lines.push(line.to_owned()),
            State::Early(_) => {}
            State::Kept(teller) => teller.tell(line.to_owned(), line.len()),
        }
    }

    /// Hands what was said and what will be to `teller`.
    fn keep(&self, teller: Teller<String>) {
        let mut state = self.state();
        if let State::Early(lines) = &mut *state {
            for line in lines.drain(..) {
                let bytes = line.len();
                teller.tell(line, bytes);
            }
        }
        *state = State::Kept(teller);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deployer {
    /// Begins a deploy that somebody may look up and cancel by its number, and keeps what it says.
    pub(super) async fn begin_kept(
        &self,
        app: &App,
        kind: ReleaseKind,
        commit: Option<&CommitId>,
        by: &str,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<DeployId> {
        let deploy = self.begin(app, kind, commit, by).await?;
        attempt.is_for(deploy);
        match self.rooms().logs.outputs().keep(app.id.clone(), deploy).await {
            Ok(mut writer) => {
                let (teller, mut lines) = backlog::<String>();
                talk.record().keep(teller);
                self.in_background(async move {
                    while let Some(batch) = lines.next().await {
                        let written = tokio::task::spawn_blocking(move || {
                            let Batch { skipped: count, items } = batch;
                            let notice = (count > 0).then(|| skipped(count));
                            writer.append(notice.iter().chain(&items).map(String::as_str));
                            writer
                        });
                        let Ok(back) = written.await else { return };
                        writer = back;
                    }
                });
            }
            // A full disk must not fail a deploy.
            Err(err) => tracing::warn!(app.name = %app.name, %deploy, ?err, "the output of a deploy is not kept"),
        }
        Ok(deploy)
    }
}
