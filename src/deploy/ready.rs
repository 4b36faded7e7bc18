//! Readiness: the app's first answers, racing against its exit and the deadline.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Deployer;
use crate::engine::Probe;
use crate::error::{Error, Result};
use crate::model::ContainerId;

/// Probes start this close to each other and spread to [`SLOWEST_PROBE`].
const FASTEST_PROBE: Duration = Duration::from_millis(2);
const SLOWEST_PROBE: Duration = Duration::from_millis(250);

/// A container that answered.
pub(super) struct Ready {
    pub status: u16,
    pub after: Duration,
}

/// Why one did not.
pub(super) enum NotReady {
    Exited { code: i64, oom: bool },
    TimedOut { status: Option<u16> },
    Engine(Error),
    Cancelled,
}

/// What is probed.
pub(super) struct Candidate<'a> {
    pub container: &'a ContainerId,
    pub address: SocketAddr,
    pub host: &'a str,
    pub cancelled: &'a CancellationToken,
}

impl Deployer {
    /// Waits until the container answers `GET /` below 500 twice, [`Settings::ready_confirm`](crate::config::Settings) apart.
    pub(super) async fn wait_ready(&self, candidate: &Candidate<'_>) -> Result<Ready, NotReady> {
        let settings = &self.rooms().settings;
        let mut last = None;
        tokio::select! {
            biased;
            () = candidate.cancelled.cancelled() => Err(NotReady::Cancelled),
            exit = self.rooms().engine.wait_exit(candidate.container) => match exit {
                Ok(exit) => Err(NotReady::Exited { code: exit.code, oom: exit.oom }),
                Err(err) => Err(NotReady::Engine(err)),
            },
            ready = probe_until_ready(candidate, settings.ready_confirm, &mut last) => Ok(ready),
            () = tokio::time::sleep(settings.ready_time) => Err(NotReady::TimedOut { status: None }),
        }
        .map_err(|err| match err {
            NotReady::TimedOut { .. } => NotReady::TimedOut { status: last },
            other => other,
        })
    }
}

/// Probes without end; `last` keeps the latest status for the explanation.
async fn probe_until_ready(candidate: &Candidate<'_>, confirm: Duration, last: &mut Option<u16>) -> Ready {
    let begun = Instant::now();
    let mut pause = FASTEST_PROBE;
    let mut first: Option<Duration> = None;
    loop {
        let answer = crate::engine::probe(candidate.address, candidate.host, "/").await;
        let status = match answer {
            Probe::Answered(status) => Some(status),
            _ => None,
        };
        *last = status.or(*last);
        match (status.filter(|status| *status < 500), first) {
            (Some(status), Some(after)) => return Ready { status, after },
            (Some(status), None) if confirm.is_zero() => return Ready { status, after: begun.elapsed() },
            (Some(_), None) => {
                first = Some(begun.elapsed());
                tokio::time::sleep(confirm).await;
                continue;
            }
            (None, _) => first = None,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SLOWEST_PROBE);
    }
}
