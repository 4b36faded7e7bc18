//! From a spooled source to an image: plan, wait for a builder, build, tell the steps.

use std::collections::VecDeque;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::builders::Place;
use super::explain::seconds;
use super::{Deployer, Talk};
use crate::engine::{BuildLine, BuildRequest};
use crate::error::{Error, Kind, Result};
use crate::model::limits::FAILURE_LOG_LINES;
use crate::model::size::megabytes;
use crate::model::{ImageId, ProcessTable, Stage};
use crate::source::Context;
use crate::store::{App, DeployId};

/// An image that a release can be made of.
pub(super) struct Built {
    pub image: ImageId,
    pub tag: String,
    pub exposed: Vec<u16>,
    pub process_table: ProcessTable,
}

/// The output lines that the pusher has seen last.
#[derive(Default)]
struct Heard(VecDeque<String>);

// === impl Heard ===

impl Heard {
    fn push(&mut self, line: BuildLine) {
        if let BuildLine::Output(text) = line {
            self.0.push_back(text);
            if self.0.len() > FAILURE_LOG_LINES {
                self.0.pop_front();
            }
        }
    }

    /// Leaves out of a failure what stands right above it, and says how to see the same failure at home.
    fn shorten(&self, err: Error) -> Error {
        if err.kind() != Kind::Failed {
            return err;
        }
        let seen = self.0.iter().rev().zip(err.detail_lines().iter().rev()).all(|(heard, told)| heard == told);
        let short = Error::failed(err.sentence());
        let short = if seen { short } else { short.details(err.detail_lines().to_vec()) };
        let hint = err.next_step().unwrap_or("docker build .   (the same build on your own machine)").to_owned();
        short.hint(hint).because(err)
    }
}

/// Returns the name by which a deploy's image is kept, and found again when it may go.
pub(super) fn image_tag(app: &App, deploy: DeployId) -> String {
    format!("mini/{}:{deploy}", app.id)
}

impl Deployer {
    /// Builds `context`; one of [`Settings::builds`](crate::config::Settings) at a time.
    pub(super) async fn build(
        &self,
        app: &App,
        deploy: DeployId,
        context: Context,
        no_cache: bool,
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<Built> {
        let rooms = self.rooms();
        for warning in context.manifest().warnings() {
            talk.detail(format!("warning: {warning}"));
        }
        let plan = crate::build::plan(context.manifest().root_file("Dockerfile"), context.manifest().root_file("Procfile"))?;
        let context = match plan.rewritten {
            Some(dockerfile) => context.with_file(&plan.dockerfile_name, dockerfile)?,
            None => context,
        };
        talk.step(plan.description);
        // An engine that takes a build and never says a word looks like a silent build: that would be found out minutes later.
        rooms.engine.check().await?;
        self.check_space().await?;
        let _place = self.wait_for_builder(talk, cancelled).await?;
        crate::failpoint!("building::before");
        self.reach(deploy, Stage::Building, talk).await?;
        crate::failpoint!("building::committed");
        talk.step("Building image");
        let begun = Instant::now();
        let tag = image_tag(app, deploy);
        let request = BuildRequest {
            context: context.path(),
            dockerfile: plan.dockerfile_name,
            tag: tag.clone(),
            app: app.id.clone(),
            no_cache,
            silence: rooms.settings.build_silence,
            deadline: rooms.settings.build_time,
            cancel: cancelled.clone(),
        };
        let mut heard = Heard::default();
        let say = |line: BuildLine| {
            talk.detail(line.text());
            heard.push(line);
        };
        let built = rooms.engine.build(request, say).await.map_err(|err| heard.shorten(err))?;
        crate::failpoint!("built::before");
        rooms.store.set_built(deploy, built.id.clone()).await?;
        crate::failpoint!("built::committed");
        talk.stage(Stage::Built);
        let cached = format!("{} of {} steps cached", built.cached_steps, built.steps);
        talk.step(format!("Image {} MB in {} ({cached})", megabytes(built.size_bytes), seconds(begun.elapsed())));
        Ok(Built { image: built.id, tag, exposed: built.exposed, process_table: plan.process_table })
    }

    async fn wait_for_builder(&self, talk: &Talk, cancelled: &CancellationToken) -> Result<Place> {
        let place = self.inner.builders.queue_up();
        let waiting = place.wait(|before| {
            let builds = if before == 1 { "build" } else { "builds" };
            talk.step(format!("Waiting for a builder: {before} {builds} before this one"));
        });
        tokio::select! {
            () = waiting => Ok(place),
            () = cancelled.cancelled() => Err(Error::busy("cancelled while it waited for a builder")),
        }
    }
}
