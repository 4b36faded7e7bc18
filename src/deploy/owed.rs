//! What became of things, written into their rows; what the database does not take now, as on a full disk, is owed to it until it does.

use std::sync::{MutexGuard, PoisonError};

use super::Deployer;
use crate::error::{Kind, Result};
use crate::model::{AppId, Version};
use crate::store::{DeployId, ProcessId};

/// The end of something, for its row. It stays true however late it is written: no number comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The deploy is done.
    Done(DeployId),
    /// The deploy failed, and why.
    Failed(DeployId, String),
    /// The release never went live, and why; its containers are gone.
    NeverLive(AppId, Version, String),
    /// The process is no more.
    Gone(ProcessId),
}

impl Deployer {
    /// Writes an end down. Whoever brings something to its end goes on, whether there is room for that or not.
    pub(super) async fn write_down(&self, end: End) {
        if let Err(err) = self.try_write_down(end.clone()).await {
            tracing::warn!(?end, ?err, "a row could not be written; the next resync does it");
            self.owed().push(end);
        }
    }

    /// Writes down what is owed, in its order; `true` when something was. What still finds no room stays owed.
    pub(super) async fn settle_debts(&self) -> bool {
        let owed = std::mem::take(&mut *self.owed());
        let (mut kept, mut is_changed) = (Vec::new(), false);
        for end in owed {
            match self.try_write_down(end.clone()).await {
                Ok(()) => {
                    tracing::info!(?end, "a row is written that had found no room");
                    is_changed = true;
                }
                Err(err) if err.kind() == Kind::Unavailable => kept.push(end),
                // Its app was destroyed meanwhile, or the next start knows better.
                Err(err) => tracing::debug!(?end, ?err, "a row is not to be written any more"),
            }
        }
        self.owed().splice(..0, kept);
        is_changed
    }

    async fn try_write_down(&self, end: End) -> Result<()> {
        let store = &self.rooms().store;
        match end {
            End::Done(deploy) => store.finish(deploy).await,
            End::Failed(deploy, reason) => store.fail(deploy, reason).await,
            End::NeverLive(app, version, reason) => store.fail_release(app, version, reason).await,
            End::Gone(process) => store.drop_process(process).await,
        }
    }

    fn owed(&self) -> MutexGuard<'_, Vec<End>> {
        self.inner.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
