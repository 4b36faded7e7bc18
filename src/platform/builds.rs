//! Verbs about deploys: which there were, what they said, and the end of one.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, BuildRow, Done, Event, Reply};
use crate::deploy::Deployer;
use crate::error::{Error, Result};
use crate::logs::OutputLines;
use crate::model::{DeployId, Stage, Stamp, Version};
use crate::store::Deploy;

impl Platform {
    pub(super) async fn list_builds(&self, permit: &Permit, newest: u32) -> Result<Reply> {
        let (store, app) = (&self.rooms().store, &permit.app().id);
        let deploys = store.deploys(app.clone(), newest).await?;
        let releases = store.releases(app.clone()).await?;
        let live_at = releases.into_iter().filter_map(|release| Some((release.version, release.live_at?))).collect();
        Ok(Reply::Value(Answer::Builds(deploys.into_iter().map(|deploy| row_of(deploy, &live_at)).collect())))
    }

    /// Tells what a deploy said; with `follow` until its end, which is then the call's.
    pub(super) async fn build_output(&self, permit: &Permit, follow: bool, cancelled: CancellationToken) -> Result<Reply> {
        self.output_of(permit, permit.deploy().id, follow, cancelled).await
    }

    pub(super) async fn cancel_build(&self, permit: &Permit) -> Result<Reply> {
        let deploy = permit.deploy();
        self.deployer.cancel(deploy, &permit.caller().name).await?;
        let message = format!("Cancelled deploy {}.", deploy.id);
        Ok(Reply::Value(Answer::Done(Done { message, app: Some(permit.app().name.clone()), next: Vec::new() })))
    }

    pub(super) async fn release_output(&self, permit: &Permit, version: Version, cancelled: CancellationToken) -> Result<Reply> {
        let (store, app) = (&self.rooms().store, permit.app());
        store.release(app.id.clone(), version).await?;
        let deploy = store.deploy_of(app.id.clone(), version).await?;
        let deploy = deploy.ok_or_else(|| Error::not_found(format!("the output of {version} is not kept")))?;
        self.output_of(permit, deploy.id, false, cancelled).await
    }

    async fn output_of(&self, permit: &Permit, deploy: DeployId, follow: bool, cancelled: CancellationToken) -> Result<Reply> {
        let lines = self.rooms().logs.outputs().read(permit.app().id.clone(), deploy).await?;
        let (events, reader) = mpsc::channel(64);
        let deployer = self.deployer.clone();
        self.deployer.in_background(async move {
            let told = async {
                tell(lines, follow, &events).await?;
                if follow { verdict(&deployer, deploy).await.map(Some) } else { Ok(None) }
            };
            let told = tokio::select! {
                told = told => told,
                () = cancelled.cancelled() => return,
                () = events.closed() => return,
            };
            if let Some(last) = told.transpose() {
                let _ = events.send(last).await;
            }
        });
        Ok(Reply::Lines(reader))
    }
}

async fn tell(mut lines: OutputLines, follow: bool, events: &mpsc::Sender<Result<Event>>) -> Result<()> {
    loop {
        let some;
        (lines, some) = lines.next(follow).await?;
        if some.is_empty() {
            return Ok(());
        }
        for line in some {
            // A reader that left ends this by `events.closed()`.
            let _ = events.send(Ok(Event::Say(line))).await;
        }
    }
}

/// Returns how a deploy ended: as the error that it was, or in a line of talk.
async fn verdict(deployer: &Deployer, deploy: DeployId) -> Result<Event> {
    let Deploy { stage, reason, version, .. } = deployer.rooms().store.deploy(deploy).await?;
    match (stage, version) {
        (Stage::Live | Stage::Draining | Stage::Done, Some(version)) => Ok(Event::Talk(format!("=====> Deploy {deploy} made {version}"))),
        (Stage::Live | Stage::Draining | Stage::Done, None) => Ok(Event::Talk(format!("=====> Deploy {deploy} is done"))),
        _ => Err(Error::failed(reason.unwrap_or_else(|| format!("deploy {deploy} was left in the stage `{stage}`")))),
    }
}

/// Shows a deploy. It took as long as until its release was live: what drains then is the old one.
fn row_of(deploy: Deploy, live_at: &HashMap<Version, Stamp>) -> BuildRow {
    let is_live = |at: &Stamp| *at >= deploy.started_at && deploy.stage != Stage::Failed;
    let live_at = deploy.version.and_then(|version| live_at.get(&version).copied()).filter(is_live);
    let ended_at = live_at.or(deploy.finished_at);
    let took_ms = ended_at.unwrap_or_else(Stamp::now).as_millis() - deploy.started_at.as_millis();
    let state = match deploy.stage {
        Stage::Live | Stage::Draining | Stage::Done => "done".to_owned(),
        Stage::Queued | Stage::Sourced => "waiting".to_owned(),
        Stage::Failed => "failed".to_owned(),
        under_way => under_way.to_string(),
    };
    BuildRow {
        id: deploy.id,
        kind: deploy.kind,
        state,
        stage: deploy.failed_in.unwrap_or(deploy.stage),
        release: deploy.version,
        commit: deploy.commit,
        by: deploy.by,
        started_at: deploy.started_at,
        ended_at,
        took_ms: u64::try_from(took_ms).unwrap_or(0),
        reason: deploy.reason,
    }
}
