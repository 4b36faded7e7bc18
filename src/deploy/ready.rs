//! Readiness: the first answers of a web process, racing against its exit and the deadline; of the others, that they stay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::explain::{Sighting, seconds};
use super::start::Blueprint;
use super::{Deployer, Talk};
use crate::engine::Probe;
use crate::error::{Error, Result};
use crate::model::ContainerId;
use crate::model::limits::{FAILURE_LOG_LINES, STAY_TIME};
use crate::store::{App, Process};

/// Probes start this close to each other and spread to [`SLOWEST_PROBE`].
const FASTEST_PROBE: Duration = Duration::from_millis(2);
const SLOWEST_PROBE: Duration = Duration::from_millis(250);

/// A process that answered.
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
    pub path: &'a str,
    pub patience: Duration,
    pub cancelled: &'a CancellationToken,
}

impl Deployer {
    /// Waits until every process that was started is as it should be: web processes answer, the others stay.
    pub(super) async fn prove_processes(
        &self,
        plan: &Blueprint,
        processes: &[Process],
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<()> {
        let is_one = processes.len() == 1;
        let proofs: Vec<_> = processes.iter().map(|process| self.prove_process(plan, process, is_one, talk, cancelled).boxed()).collect();
        try_join_all(proofs).await.map(drop)
    }

    async fn prove_process(
        &self,
        plan: &Blueprint,
        process: &Process,
        is_one: bool,
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<()> {
        let begun = Instant::now();
        let prefix = if is_one { String::new() } else { format!("{}: ", process.name()) };
        let proof = if process.kind.is_web() {
            let path = health_path(&plan.app);
            self.wait_web(plan, process, cancelled)
                .await
                .map(|Ready { status, after }| talk.detail(format!("{prefix}GET {path} answered {status} after {}", seconds(after))))
        } else {
            self.wait_stay(process, cancelled).await.map(|()| talk.detail(format!("{} ran for {}", process.name(), seconds(STAY_TIME))))
        };
        match proof {
            Ok(()) => Ok(()),
            Err(not_ready) => Err(self.explain(plan, process, not_ready, begun.elapsed()).await),
        }
    }

    /// Waits until a web process answers below 500 twice, [`Settings::ready_confirm`](crate::config::Settings) apart.
    pub(super) async fn wait_web(&self, plan: &Blueprint, process: &Process, cancelled: &CancellationToken) -> Result<Ready, NotReady> {
        let port = plan.port().map_err(NotReady::Engine)?;
        let address = self.place_of(process, port).await.map_err(NotReady::Engine)?;
        let (Some(address), Some(container)) = (address, process.container.as_ref()) else {
            return Err(NotReady::Engine(Error::failed(format!("{} has no container", process.name()))));
        };
        let patience = plan.app.health_seconds.map_or(self.rooms().settings.ready_time, |seconds| Duration::from_secs(seconds.into()));
        let host = format!("{}.localhost", plan.app.name);
        let path = health_path(&plan.app);
        let candidate = Candidate { container, address, host: &host, path, patience, cancelled };
        self.wait_ready(&candidate).await
    }

    async fn wait_ready(&self, candidate: &Candidate<'_>) -> Result<Ready, NotReady> {
        let settings = &self.rooms().settings;
        let mut last = None;
        tokio::select! {
            biased;
            () = candidate.cancelled.cancelled() => Err(NotReady::Cancelled),
            exit = self.exited(candidate.container) => Err(exit),
            ready = probe_until_ready(candidate, settings.ready_confirm, &mut last) => Ok(ready),
            () = tokio::time::sleep(candidate.patience) => Err(NotReady::TimedOut { status: None }),
        }
        .map_err(|err| match err {
            NotReady::TimedOut { .. } => NotReady::TimedOut { status: last },
            other => other,
        })
    }

    async fn wait_stay(&self, process: &Process, cancelled: &CancellationToken) -> Result<(), NotReady> {
        let Some(container) = &process.container else {
            return Err(NotReady::Engine(Error::failed(format!("{} has no container", process.name()))));
        };
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(NotReady::Cancelled),
            exit = self.exited(container) => Err(exit),
            () = tokio::time::sleep(STAY_TIME) => Ok(()),
        }
    }

    async fn exited(&self, container: &ContainerId) -> NotReady {
        match self.rooms().engine.wait_exit(container).await {
            Ok(exit) => NotReady::Exited { code: exit.code, oom: exit.oom },
            Err(err) => NotReady::Engine(err),
        }
    }

    async fn explain(&self, plan: &Blueprint, process: &Process, not_ready: NotReady, waited: Duration) -> Error {
        let engine = &self.rooms().engine;
        let (exit, status) = match not_ready {
            NotReady::Engine(err) => return err,
            NotReady::Cancelled => return Error::busy("cancelled while it was starting"),
            NotReady::Exited { code, oom } => (Some((code, oom)), None),
            NotReady::TimedOut { status } => (None, status),
        };
        let Some(container) = &process.container else { return Error::failed(format!("{} has no container", process.name())) };
        let listening = if exit.is_none() { engine.listening(container).await.unwrap_or_default() } else { Vec::new() };
        let log = engine.tail(container, FAILURE_LOG_LINES).await.unwrap_or_default();
        let log = log.into_iter().map(|line| line.text).collect();
        let port = plan.port().unwrap_or_default();
        Sighting { process: process.name(), port, waited, exit, listening, status, log }.explain(&plan.app.name)
    }
}

pub(super) fn health_path(app: &App) -> &str {
    app.health_path.as_deref().unwrap_or("/")
}

/// Probes without end; `last` keeps the latest status for the explanation.
async fn probe_until_ready(candidate: &Candidate<'_>, confirm: Duration, last: &mut Option<u16>) -> Ready {
    let begun = Instant::now();
    let mut pause = FASTEST_PROBE;
    let mut first: Option<Duration> = None;
    loop {
        let answer = crate::engine::probe(candidate.address, candidate.host, candidate.path).await;
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
