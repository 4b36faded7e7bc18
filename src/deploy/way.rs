//! Making way: what must end before a release can start, and comes back when that release fails.
//!
//! Releases run beside each other for a moment, unless they share storage. Processes that answer nobody always end first: two of a worker
//! would do the work twice.

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::{Deployer, Talk};
use crate::error::Result;
use crate::model::limits::WAY_DRAIN;
use crate::model::{ProcessState, ProcessType, Version};
use crate::store::{App, Process};

/// What was ended to make way. Its rows still serve: a crash in between brings it back, as a failure does.
#[derive(Default)]
pub(super) struct Way {
    ended: Vec<Process>,
    beside: Option<Version>,
}

// === impl Way ===

impl Way {
    /// Returns the release that goes on serving meanwhile.
    pub fn beside(&self) -> Option<Version> {
        self.beside
    }
}

impl Deployer {
    /// Ends what of the live release cannot run beside `arriving`. `way` knows what was ended, also when this fails.
    pub(super) async fn make_way(&self, app: &App, arriving: &[(ProcessType, u32)], way: &mut Way, talk: &Talk) -> Result<()> {
        let Some(live) = self.live_release(&app.id).await? else { return Ok(()) };
        way.beside = Some(live.version);
        let rows = self.rooms().store.processes_of(app.id.clone(), live.version).await?;
        let serving = rows.into_iter().filter(|row| row.state == ProcessState::Serving);
        let is_exclusive = has_exclusive_storage(app);
        let ending = serving.filter(|row| is_exclusive || arriving.iter().any(|(kind, _)| !kind.is_web() && *kind == row.kind));
        self.end_first(app, live.version, ending.collect(), way, talk).await
    }

    /// Ends processes of the live release before others start. Requests wait when none of its web processes is left.
    pub(super) async fn end_first(&self, app: &App, live: Version, ending: Vec<Process>, way: &mut Way, talk: &Talk) -> Result<()> {
        if ending.is_empty() {
            return Ok(());
        }
        talk.step(format!("Stopping {} of {live}", process_names(&ending)));
        if ending.iter().any(|row| row.kind.is_web()) {
            way.beside = None;
            let meanwhile = if app.answers_requests() { ": requests wait meanwhile" } else { "" };
            talk.detail(format!("it has storage that two must not write{meanwhile}"));
        }
        self.expect_ends(&ending);
        // Marked, and not only held: whatever is routed meanwhile leaves them out.
        for container in ending.iter().filter(|row| row.kind.is_web()).filter_map(|row| row.container.as_ref()) {
            self.inner.routing.fell(container);
        }
        if ending.iter().any(|row| row.kind.is_web()) {
            let drains = self.reroute_and_drain(app, live).await;
            self.wait_all(drains, WAY_DRAIN).await;
        }
        way.ended.clone_from(&ending);
        self.stop_all(&ending).await
    }

    /// Stops containers, all at once.
    pub(super) async fn stop_all(&self, processes: &[Process]) -> Result<()> {
        let grace = self.rooms().settings.stop_grace;
        let containers = processes.iter().filter_map(|process| process.container.as_ref());
        let stops: Vec<_> = containers.map(|container| self.rooms().engine.stop(container, grace).boxed()).collect();
        join_all(stops).await.into_iter().collect()
    }

    /// Brings back what had made way, after what it made way for has failed.
    pub(super) async fn go_back(&self, app: &App, way: Way) {
        self.expect_no_end(&way.ended);
        if way.ended.is_empty() {
            return;
        }
        for row in &way.ended {
            let Some(container) = &row.container else { continue };
            if let Err(err) = self.bring_back(app, row, container).await {
                tracing::error!(app.name = %app.name, process = row.name(), ?err, "what made way does not run again; the next resync tries it");
            }
        }
    }

    /// Lets go of what made way, after the switch: it is retired with its release.
    pub(super) fn leave_behind(&self, way: &Way) {
        self.expect_no_end(&way.ended);
    }
}

/// Tells whether processes of an app must end before their successors start.
pub(super) fn has_exclusive_storage(app: &App) -> bool {
    !app.overlaps && !app.storage.is_empty()
}

/// Names processes: `web.1, worker.1`.
pub(super) fn process_names(processes: &[Process]) -> String {
    processes.iter().map(Process::name).collect::<Vec<_>>().join(", ")
}
