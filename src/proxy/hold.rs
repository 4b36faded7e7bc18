//! A request that waits while nothing of its app answers for a moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Shared;
use crate::model::limits::REFUSED_RETRY;
use crate::route::{Waiting, WaitingRoom};

/// The patience of one request; it begins when it first finds nobody.
#[derive(Default)]
pub(super) struct Hold {
    begun: Option<(Waiting, Instant)>,
}

/// Why a request waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    TooLong,
    TooMany,
    Stopping,
}

// === impl Hold ===

impl Hold {
    /// Waits until the app may have changed. The first call comes back at once: what changed before it was not told.
    pub(super) async fn wait(&mut self, shared: &Shared, room: &Arc<WaitingRoom>) -> Result<(), End> {
        self.wait_at_most(shared, room, None).await
    }

    /// Waits as [`wait`](Self::wait) does, or until an upstream that refused may be asked again.
    pub(super) async fn wait_for_upstream(&mut self, shared: &Shared, room: &Arc<WaitingRoom>) -> Result<(), End> {
        self.wait_at_most(shared, room, Some(REFUSED_RETRY)).await
    }

    async fn wait_at_most(&mut self, shared: &Shared, room: &Arc<WaitingRoom>, most: Option<Duration>) -> Result<(), End> {
        if shared.stopping.is_cancelled() {
            return Err(End::Stopping);
        }
        let Some((waiting, deadline)) = &mut self.begun else {
            let waiting = room.enter(shared.limits.held).ok_or(End::TooMany)?;
            self.begun = Some((waiting, Instant::now() + shared.limits.hold));
            return Ok(());
        };
        if Instant::now() >= *deadline {
            return Err(End::TooLong);
        }
        let retry = most.map_or(*deadline, |most| (Instant::now() + most).min(*deadline));
        tokio::select! {
            biased;
            () = shared.stopping.cancelled() => Err(End::Stopping),
            _ = timeout_at(retry, waiting.changed()) => Ok(()),
        }
    }
}
