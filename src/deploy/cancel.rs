//! The end of a deploy that somebody asks for by its number, before its switch.

use std::time::Duration;

use super::Deployer;
use crate::error::{Error, Result};
use crate::store::{Deploy, DeployId};

/// A cancelled deploy has this long to clear up before its canceller is answered.
const CLEARING: Duration = Duration::from_secs(10);

impl Deployer {
    /// Cancels a deploy and waits until it has ended. Errors: `Busy` when it has ended by itself, or its switch has begun.
    pub async fn cancel(&self, deploy: &Deploy, by: &str) -> Result<()> {
        if deploy.finished_at.is_some() {
            return Err(has_ended(deploy.id));
        }
        let Some(attempt) = self.inner.turns.of_deploy(deploy.id) else {
            // It has ended since its row was read, or only its old release still drains.
            let now = self.rooms().store.deploy(deploy.id).await?;
            return Err(if now.finished_at.is_some() { has_ended(deploy.id) } else { is_switching(deploy.id) });
        };
        if !attempt.cancel(&format!("cancelled by {by}")) {
            return Err(is_switching(deploy.id));
        }
        let ended = self.rooms().logs.outputs().ended(deploy.id);
        if tokio::time::timeout(CLEARING, ended).await.is_err() {
            tracing::info!(deploy = %deploy.id, "a cancelled deploy takes long to clear up");
        }
        Ok(())
    }
}

fn has_ended(deploy: DeployId) -> Error {
    Error::busy(format!("deploy {deploy} has ended")).hint("see how: ssh mini builds APP")
}

fn is_switching(deploy: DeployId) -> Error {
    Error::busy(format!("deploy {deploy} has begun its switch: it can no longer be cancelled")).hint("go back: ssh mini rollback APP")
}
