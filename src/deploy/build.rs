//! From a spooled source to an image: plan, wait for a builder, build, tell the steps.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::explain::seconds;
use super::{Deployer, Talk};
use crate::engine::BuildRequest;
use crate::error::{Error, Result};
use crate::model::{ImageId, Stage};
use crate::source::Context;
use crate::store::{App, DeployId};

/// An image that a release can be made of.
pub(super) struct Built {
    pub image: ImageId,
    pub tag: String,
    pub exposed: Vec<u16>,
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
        let plan = crate::build::plan(context.manifest().root_file("Dockerfile"))?;
        let context = match plan.rewritten {
            Some(dockerfile) => context.with_file(&plan.dockerfile_name, dockerfile)?,
            None => context,
        };
        talk.step(plan.description);
        let _builder = self.wait_for_builder(talk, cancelled).await?;
        rooms.store.advance(deploy, Stage::Building).await?;
        talk.step("Building image");
        let begun = Instant::now();
        let tag = format!("mini/{}:{deploy}", app.id);
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
        let built = rooms.engine.build(request, |line| talk.detail(line.text())).await?;
        rooms.store.set_built(deploy, built.id.clone()).await?;
        let cached = format!("{} of {} steps cached", built.cached_steps, built.steps);
        talk.step(format!("Image {} MB in {} ({cached})", megabytes(built.size_bytes), seconds(begun.elapsed())));
        Ok(Built { image: built.id, tag, exposed: built.exposed })
    }

    async fn wait_for_builder(&self, talk: &Talk, cancelled: &CancellationToken) -> Result<tokio::sync::OwnedSemaphorePermit> {
        let builders = self.inner.builders.clone();
        if let Ok(permit) = builders.clone().try_acquire_owned() {
            return Ok(permit);
        }
        talk.step("Waiting for another app's build to end");
        tokio::select! {
            permit = builders.acquire_owned() => permit.map_err(|err| Error::busy("mini is stopping: push again").because(err)),
            () = cancelled.cancelled() => Err(Error::busy("cancelled while it waited for a builder")),
        }
    }
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    if tenths < 100 { format!("{}.{}", tenths / 10, tenths % 10) } else { (tenths / 10).to_string() }
}
