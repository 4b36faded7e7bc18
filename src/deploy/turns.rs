//! Who may change an app now: a push turn (one source on its way) and a short release turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::model::{AppId, DeployId};

/// The turns of all apps.
#[derive(Clone, Default)]
pub struct Turns {
    apps: Arc<Mutex<HashMap<AppId, Arc<AppTurns>>>>,
    attempts: Arc<Mutex<Attempts>>,
}

/// Every attempt under way, whether it needs a push turn or not.
#[derive(Default)]
struct Attempts {
    /// Why no attempt may begin any more.
    stopping: Option<String>,
    under_way: Vec<Weak<Attempt>>,
}

#[derive(Default)]
struct AppTurns {
    push: Arc<AsyncMutex<()>>,
    release: Arc<AsyncMutex<()>>,
    /// The push that arrived last, running or waiting.
    latest: Mutex<Option<Arc<Attempt>>>,
}

/// One source on its way to an app; a newer one cancels it until its switch has begun.
pub struct Attempt {
    cancelled: CancellationToken,
    decided: CancellationToken,
    fate: Mutex<Fate>,
    deploy: OnceLock<DeployId>,
}

#[derive(Default)]
enum Fate {
    #[default]
    Open,
    Switching,
    Cancelled(String),
}

/// The push turn; held until the push has really ended, which for git means: receive-pack has exited.
pub struct PushTurn {
    _guard: OwnedMutexGuard<()>,
}

/// The release turn; held from the number to the switch.
pub struct ReleaseTurn {
    _guard: OwnedMutexGuard<()>,
}

// === impl Turns ===

impl Turns {
    /// Begins an attempt; while the server stops it is cancelled at once.
    #[must_use]
    pub fn attempt(&self) -> Arc<Attempt> {
        let attempt = Attempt::new();
        let mut attempts = locked(&self.attempts);
        attempts.under_way.retain(|other| other.strong_count() > 0);
        attempts.under_way.push(Arc::downgrade(&attempt));
        if let Some(reason) = &attempts.stopping {
            attempt.cancel(reason);
        }
        attempt
    }

    /// Takes the push turn, cancelling the push in progress with `reason` unless its switch has begun.
    ///
    /// Errors: `Busy` with the reason when a newer push, or `attempt`'s own end, came first.
    pub async fn push(&self, app: &AppId, attempt: Arc<Attempt>, reason: &str) -> Result<PushTurn> {
        let turns = self.of(app);
        let before = locked(&turns.latest).replace(attempt.clone());
        if let Some(before) = before {
            before.cancel(reason);
        }
        tokio::select! {
            biased;
            () = attempt.cancelled.cancelled() => Err(attempt.why()),
            guard = turns.push.clone().lock_owned() => Ok(PushTurn { _guard: guard }),
        }
    }

    /// Takes the push turn without being a push: after the one in progress has ended.
    pub async fn wait_push(&self, app: &AppId) -> OwnedMutexGuard<()> {
        self.of(app).push.clone().lock_owned().await
    }

    /// Tells whether a push of the app is on its way.
    pub fn is_pushing(&self, app: &AppId) -> bool {
        self.of(app).push.try_lock().is_err()
    }

    /// Takes the release turn if nobody has it.
    pub fn try_release(&self, app: &AppId) -> Option<ReleaseTurn> {
        self.of(app).release.clone().try_lock_owned().ok().map(|guard| ReleaseTurn { _guard: guard })
    }

    /// Takes the release turn.
    pub async fn release(&self, app: &AppId) -> ReleaseTurn {
        ReleaseTurn { _guard: self.of(app).release.clone().lock_owned().await }
    }

    /// Tells whether somebody holds the release turn now.
    pub fn is_releasing(&self, app: &AppId) -> bool {
        self.of(app).release.try_lock().is_err()
    }

    /// Cancels every attempt that has not begun its switch, and those that come: the server stops.
    pub fn stop(&self, reason: &str) {
        let mut attempts = locked(&self.attempts);
        attempts.stopping = Some(reason.to_owned());
        for attempt in attempts.under_way.iter().filter_map(Weak::upgrade) {
            attempt.cancel(reason);
        }
    }

    /// Returns the attempt that goes on for a deploy.
    pub fn of_deploy(&self, deploy: DeployId) -> Option<Arc<Attempt>> {
        let attempts = locked(&self.attempts);
        attempts.under_way.iter().filter_map(Weak::upgrade).find(|attempt| attempt.deploy.get() == Some(&deploy))
    }

    /// Cancels the push to one app, as before it is destroyed.
    pub fn cancel(&self, app: &AppId, reason: &str) {
        if let Some(attempt) = locked(&self.of(app).latest).as_ref() {
            attempt.cancel(reason);
        }
    }

    fn of(&self, app: &AppId) -> Arc<AppTurns> {
        locked(&self.apps).entry(app.clone()).or_default().clone()
    }
}

/// A panic elsewhere does not make these maps wrong: each change is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Attempt ===

impl Attempt {
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Attempt {
            cancelled: CancellationToken::new(),
            decided: CancellationToken::new(),
            fate: Mutex::default(),
            deploy: OnceLock::new(),
        })
    }

    /// Returns the token that ends builds and probes of this attempt.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Cancels the attempt unless its switch has begun; tells whether it is cancelled now.
    pub fn cancel(&self, reason: &str) -> bool {
        let mut fate = locked(&self.fate);
        if matches!(*fate, Fate::Open) {
            *fate = Fate::Cancelled(reason.to_owned());
            self.cancelled.cancel();
        }
        matches!(*fate, Fate::Cancelled(_))
    }

    /// Notes under which number the attempt goes on.
    pub fn is_for(&self, deploy: DeployId) {
        // It has one deploy, and says so once.
        let _ = self.deploy.set(deploy);
    }

    /// Notes that the verdict is given: from here on only git and its client are waited for.
    pub fn give_verdict(&self) {
        self.decided.cancel();
    }

    /// Waits until git and its client have had `limit` since the verdict, and cancels then; never returns once the switch has begun.
    pub async fn stalled(&self, limit: Duration) {
        self.decided.cancelled().await;
        tokio::time::sleep(limit).await;
        if !self.cancel("cancelled: the push was not ended in time") {
            std::future::pending::<()>().await;
        }
    }

    /// Begins the switch: from here on nobody cancels. Errors: `Busy` when somebody already has.
    pub fn begin_switch(&self) -> Result<()> {
        let mut fate = locked(&self.fate);
        match &*fate {
            Fate::Cancelled(reason) => Err(Error::busy(reason.clone())),
            Fate::Open | Fate::Switching => {
                *fate = Fate::Switching;
                Ok(())
            }
        }
    }

    /// Returns the reason of the cancellation in place of what it broke; any other error as it is.
    #[must_use]
    pub fn verdict_on(&self, err: Error) -> Error {
        if self.cancelled.is_cancelled() { self.why().because(err) } else { err }
    }

    /// Returns why the attempt was cancelled.
    #[must_use]
    pub fn why(&self) -> Error {
        match &*locked(&self.fate) {
            Fate::Cancelled(reason) => Error::busy(reason.clone()),
            Fate::Open | Fate::Switching => Error::busy("the deploy was cancelled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_push_cancels_the_running_one_and_the_waiting_one() {
        let (turns, app) = (Turns::default(), AppId::random());
        let first = Attempt::new();
        let running = turns.push(&app, first.clone(), "-").await.unwrap();

        let waiting = Attempt::new();
        let wait = turns.push(&app, waiting.clone(), "superseded by 2222222");
        tokio::pin!(wait);
        assert!(futures_util::poll!(&mut wait).is_pending());
        assert!(first.token().is_cancelled());

        let last = Attempt::new();
        let newest = turns.push(&app, last.clone(), "superseded by 3333333");
        tokio::pin!(newest);
        assert!(futures_util::poll!(&mut newest).is_pending());
        let err = wait.await.err().unwrap();
        assert_eq!(err.sentence(), "superseded by 3333333");

        drop(running);
        assert!(newest.await.is_ok() && last.begin_switch().is_ok());
    }

    #[test]
    fn a_server_that_stops_cancels_what_is_under_way_and_what_comes() {
        let turns = Turns::default();
        let (open, switching) = (turns.attempt(), turns.attempt());
        switching.begin_switch().unwrap();

        turns.stop("mini is restarting: push again");

        assert_eq!(open.why().sentence(), "mini is restarting: push again");
        assert!(!switching.token().is_cancelled());
        assert!(turns.attempt().begin_switch().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proven_push_that_nobody_stores_is_cancelled_and_a_switching_one_is_not() {
        let (stalled, switching) = (Attempt::new(), Attempt::new());
        stalled.give_verdict();
        switching.give_verdict();
        switching.begin_switch().unwrap();

        stalled.stalled(Duration::from_secs(1)).await;
        let waited = tokio::time::timeout(Duration::from_secs(9), switching.stalled(Duration::from_secs(1))).await;

        assert!(stalled.begin_switch().is_err());
        assert!(waited.is_err() && !switching.token().is_cancelled());
    }

    #[tokio::test]
    async fn a_switch_that_has_begun_is_waited_for() {
        let (turns, app) = (Turns::default(), AppId::random());
        let attempt = Attempt::new();
        let switching = turns.push(&app, attempt.clone(), "-").await.unwrap();
        attempt.begin_switch().unwrap();

        let next = turns.push(&app, Attempt::new(), "superseded");
        tokio::pin!(next);
        assert!(futures_util::poll!(&mut next).is_pending());

        assert!(!attempt.token().is_cancelled());
        drop(switching);
        assert!(next.await.is_ok());
    }
}
