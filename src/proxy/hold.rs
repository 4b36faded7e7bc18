//! A request that waits while nothing of its app answers for a moment.

use std::sync::Arc;

use hyper::Response;
use tokio::time::{Instant, timeout_at};

use super::answer::AnswerBody;
use super::cores::Shared;
use super::ending::Call;
use super::journey::failure_page;
use super::pages::{self, Reader};
use super::upstream::Failure;
use crate::model::AppName;
use crate::model::limits::REFUSED_RETRY;
use crate::route::{Lease, Meter, Waiting, WaitingRoom};

/// The patience of one request; it begins when it first finds nobody.
#[derive(Default)]
pub(super) struct Hold {
    begun: Option<(Waiting, Instant)>,
}

/// What a request waits for. It holds no lease: the release may be replaced and drained meanwhile.
pub(super) struct Lack {
    app: AppName,
    counters: Arc<Meter>,
    waiting_room: Arc<WaitingRoom>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The app has nothing that answers.
    Release,
    /// It has, and every upstream refuses.
    Connection,
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
    /// Waits until the app may have changed, or until an upstream that refused may be asked again.
    ///
    /// The first call comes back at once: what changed before it was not told.
    pub(super) async fn wait(&mut self, shared: &Shared, lack: &Lack) -> Result<(), End> {
        if shared.is_stopping() {
            return Err(End::Stopping);
        }
        let Some((waiting, deadline)) = &mut self.begun else {
            let waiting = lack.waiting_room.enter(shared.limits.held).ok_or(End::TooMany)?;
            self.begun = Some((waiting, Instant::now() + shared.limits.hold));
            return Ok(());
        };
        let now = Instant::now();
        if now >= *deadline {
            return Err(End::TooLong);
        }
        let until = if lack.kind == Kind::Connection { (now + REFUSED_RETRY).min(*deadline) } else { *deadline };
        tokio::select! {
            biased;
            () = shared.cohort.until(Call::Finish) => Err(End::Stopping),
            _ = timeout_at(until, waiting.changed()) => Ok(()),
        }
    }
}

// === impl Lack ===

impl Lack {
    pub(super) fn release(app: AppName, counters: Arc<Meter>, waiting_room: Arc<WaitingRoom>) -> Lack {
        Lack { app, counters, waiting_room, kind: Kind::Release }
    }

    pub(super) fn connection(lease: &Lease) -> Lack {
        let (app, counters) = (lease.app().clone(), Arc::clone(lease.counters()));
        Lack { app, counters, waiting_room: Arc::clone(lease.waiting_room()), kind: Kind::Connection }
    }

    /// The page for a request that found nothing; `refusal` is what the upstreams said, if any was asked.
    pub(super) fn page(&self, reader: Reader, refusal: Option<&Failure>, end: End) -> Response<AnswerBody> {
        self.counters.failed();
        tracing::debug!(app.name = %self.app, ?end, "waited in vain");
        match (end, self.kind, refusal) {
            (End::TooLong, Kind::Connection, Some(failure)) => failure_page(reader, &self.app, failure),
            (End::TooLong, Kind::Connection, None) => pages::bad_gateway(reader, &self.app, "refused the connection"),
            _ => pages::held(reader, &self.app, end),
        }
    }
}
