//! How apps' requests went.

use std::time::Duration;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Reply, TopRow};
use crate::model::AppName;
use crate::route::Metered;

impl Platform {
    /// Tells of the app, or of all that the caller sees.
    pub(super) fn top(&self, permit: &Permit, app: Option<&AppName>) -> Reply {
        let scope = &permit.caller().scope;
        let is_asked = |known: &Metered| app.is_none_or(|app| known.app == *app) && scope.reaches(known.meter.app());
        let metered = self.rooms().routes.metered();
        Reply::Value(Answer::Top(metered.iter().filter(|known| is_asked(known)).map(row).collect()))
    }
}

fn row(known: &Metered) -> TopRow {
    let (recent, micros) = (known.meter.recent(), |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX));
    let reading = &recent.reading;
    TopRow {
        app: known.app.clone(),
        span_ms: u64::try_from(recent.span.as_millis()).unwrap_or(u64::MAX),
        requests: reading.requests(),
        errors: reading.errors(),
        p50_us: reading.latency.quantile(0.5).map(micros),
        p99_us: reading.latency.quantile(0.99).map(micros),
        received_bytes: reading.received_bytes,
        sent_bytes: reading.sent_bytes,
        in_flight: reading.in_flight,
        websockets: reading.websockets,
    }
}
