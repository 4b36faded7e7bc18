//! Readiness: the first answers of a web process, racing against its exit and the deadline; of the others, that they stay.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::explain::{Sighting, seconds};
use super::seek::{Question, agreed, other_ports};
use super::start::Blueprint;
use super::{Deployer, Talk};
use crate::engine::Probe;
use crate::error::{Error, Result};
use crate::model::limits::{FAILURE_LOG_LINES, STAY_TIME};
use crate::model::{ContainerId, ReleaseState, Stamp};
use crate::store::{App, Process, Release};

/// Probes start this close to each other and spread to [`SLOWEST_PROBE`].
const FASTEST_PROBE: Duration = Duration::from_millis(2);
const SLOWEST_PROBE: Duration = Duration::from_millis(250);
/// What printed so lately is still at work.
const STILL_PRINTING: Duration = Duration::from_secs(5);

/// A process that answered.
pub(super) struct Ready {
    pub port: u16,
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
    /// Its own address, which is also `address` where bridges are routed.
    pub bridged: Option<Ipv4Addr>,
    pub port: u16,
    pub question: Question<'a>,
    pub patience: Duration,
    pub cancelled: &'a CancellationToken,
}

impl Deployer {
    /// Waits until every process that was started is as it should be: web processes answer, the others stay. Returns where they answer.
    pub(super) async fn prove_processes(
        &self,
        plan: &Blueprint,
        processes: &[Process],
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<Option<u16>> {
        let is_one = processes.len() == 1;
        let proofs: Vec<_> = processes.iter().map(|process| self.prove_process(plan, process, is_one, talk, cancelled).boxed()).collect();
        let ports = try_join_all(proofs).await?;
        let answers: Vec<(String, u16)> = processes.iter().zip(ports).filter_map(|(process, port)| Some((process.name(), port?))).collect();
        agreed(&answers)
    }

    async fn prove_process(
        &self,
        plan: &Blueprint,
        process: &Process,
        is_one: bool,
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<Option<u16>> {
        let begun = Instant::now();
        let prefix = if is_one { String::new() } else { format!("{}: ", process.name()) };
        let proof = if process.kind.is_web() && plan.app.answers_requests() {
            let path = health_path(&plan.app);
            self.wait_web(plan, process, cancelled).await.map(|Ready { port, status, after }| {
                talk.detail(format!("{prefix}GET {path} answered {status} after {}", seconds(after)));
                Some(port)
            })
        } else {
            self.wait_stay(process, cancelled).await.map(|()| {
                talk.detail(format!("{} ran for {}", process.name(), seconds(STAY_TIME)));
                None
            })
        };
        match proof {
            Ok(port) => Ok(port),
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
        let host = host_of(&plan.app);
        let question = question(&plan.app, &host);
        let candidate = Candidate { container, address, bridged: process.address, port, question, patience, cancelled };
        self.wait_ready(&candidate, &plan.release).await
    }

    async fn wait_ready(&self, candidate: &Candidate<'_>, release: &Release) -> Result<Ready, NotReady> {
        let confirm = self.rooms().settings.ready_confirm;
        let last = AtomicU16::new(0);
        let elsewhere = async {
            // What serves has its port: requests go there. And a port that is not published cannot be asked.
            match candidate.bridged.filter(|own| candidate.address.ip() == *own && release.state == ReleaseState::Starting) {
                Some(own) => self.seek_port(candidate, own, &release.image, confirm, &last).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = candidate.cancelled.cancelled() => Err(NotReady::Cancelled),
            exit = self.exited(candidate.container) => Err(exit),
            ready = probe_until_ready(candidate, confirm, &last) => Ok(ready),
            ready = elsewhere => Ok(ready),
            () = tokio::time::sleep(candidate.patience) => {
                Err(NotReady::TimedOut { status: Some(last.load(Ordering::Relaxed)).filter(|status| *status > 0) })
            }
        }
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
        let is_set = |name: &str| plan.config.keys().any(|known| known.as_str() == name);
        Sighting {
            process: process.name(),
            is_web: process.kind.is_web(),
            port: plan.port().unwrap_or_default(),
            path: health_path(&plan.app).to_owned(),
            waited,
            exit,
            memory_bytes: plan.app.memory_bytes,
            speaking: self.speaking(plan, process, &listening).await,
            listening,
            status,
            is_printing: log.last().is_some_and(|line| is_recent(line.at)),
            log: log.into_iter().map(|line| line.text).collect(),
        }
        .explain(&plan.app.name, &is_set)
    }

    /// Asks what else a process listens on, for the explanation; what cannot be asked is taken to speak.
    async fn speaking(&self, plan: &Blueprint, process: &Process, listening: &[SocketAddr]) -> Vec<(u16, u16)> {
        let ports = other_ports(listening, plan.port().unwrap_or_default());
        match process.address {
            Some(own) if !self.publishes().await.unwrap_or(false) => question(&plan.app, &host_of(&plan.app)).ask(own, &ports).await,
            _ => ports.into_iter().map(|port| (port, 0)).collect(),
        }
    }
}

fn host_of(app: &App) -> String {
    format!("{}.localhost", app.name)
}

fn is_recent(at: Stamp) -> bool {
    let age = Stamp::now().as_millis() - at.as_millis();
    u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) < STILL_PRINTING)
}

fn question<'a>(app: &'a App, host: &'a str) -> Question<'a> {
    Question { protocol: app.edge.protocol, host, path: health_path(app) }
}

pub(super) fn health_path(app: &App) -> &str {
    app.health_path.as_deref().unwrap_or("/")
}

/// Probes without end; `last` keeps the latest status for the explanation, 0 before the first.
async fn probe_until_ready(candidate: &Candidate<'_>, confirm: Duration, last: &AtomicU16) -> Ready {
    let begun = Instant::now();
    let mut pause = FASTEST_PROBE;
    let mut first: Option<Duration> = None;
    loop {
        let status = match candidate.question.put(candidate.address).await {
            Probe::Answered(status) => Some(status),
            _ => None,
        };
        if let Some(status) = status {
            last.store(status, Ordering::Relaxed);
        }
        match (status.filter(|status| *status < 500), first) {
            (Some(status), Some(after)) => return Ready { port: candidate.port, status, after },
            (Some(status), None) if confirm.is_zero() => return Ready { port: candidate.port, status, after: begun.elapsed() },
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
