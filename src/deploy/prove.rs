//! From an image to a release that answers, while the old one serves: number, start, probe; all of it can be thrown away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::environment::{self, Config};
use super::explain::{Sighting, seconds};
use super::place::PLACE_TRIES;
use super::ready::{Candidate, NotReady, Ready};
use super::turns::{Attempt, ReleaseTurn};
use super::{Deployer, Talk};
use crate::engine::{ContainerSpec, ContainerSummary, is_address_taken};
use crate::error::{Error, Result};
use crate::git::Recorded;
use crate::model::limits::FAILURE_LOG_LINES;
use crate::model::{ContainerId, ImageId, ReleaseKind, Revision, Stage, Version};
use crate::route::Traffic;
use crate::store::{App, DeployId, NewRelease, Release};

/// What a release is made of.
pub(super) struct Recipe {
    pub app: App,
    pub deploy: DeployId,
    pub kind: ReleaseKind,
    /// `None`: an image without a source.
    pub revision: Option<Revision>,
    /// The revision's commit, which the switch makes part of the repository.
    pub recorded: Option<Recorded>,
    pub image: ImageId,
    pub image_tag: String,
    pub exposed: Vec<u16>,
    pub by: String,
    pub description: String,
    pub config: Config,
}

/// A release that answers and does not serve yet. It is either switched to or abandoned.
pub(super) struct Proven {
    pub recipe: Recipe,
    pub release: Release,
    pub container: ContainerId,
    pub address: SocketAddr,
    /// The release that serves meanwhile.
    pub beside: Option<Version>,
    pub traffic: Traffic,
    pub turn: ReleaseTurn,
}

/// The only process type so far.
pub(super) const WEB: &str = "web.1";

impl Deployer {
    /// Starts the recipe's release and waits until it answers. On an error nothing of it is left but its failed row.
    pub(super) async fn prove(&self, recipe: Recipe, turn: ReleaseTurn, talk: &Talk, attempt: &Attempt) -> Result<Proven> {
        let port = environment::port(&recipe.config, &recipe.exposed)?;
        let rooms = self.rooms();
        let beside = rooms.store.app(recipe.app.id.clone()).await?.current_version;
        let traffic = rooms.routes.traffic(&recipe.app.id);
        let new = NewRelease {
            kind: recipe.kind,
            revision: recipe.revision.clone(),
            image: recipe.image.clone(),
            image_tag: recipe.image_tag.clone(),
            by: recipe.by.clone(),
            description: recipe.description.clone(),
            config: recipe.config.clone(),
        };
        let release = rooms.store.begin_release(recipe.app.id.clone(), new).await?;
        if let Err(err) = rooms.store.attach_version(recipe.deploy, release.version).await {
            self.fail_release(&recipe, release.version, err.sentence()).await;
            return Err(err);
        }
        match beside {
            Some(old) => talk.step(format!("Starting {WEB} beside {old}")),
            None => talk.step(format!("Starting {WEB}")),
        }
        talk.stage(Stage::Starting);
        match self.start_and_probe(&recipe, &release, port, talk, attempt).await {
            Ok((container, address)) => Ok(Proven { recipe, release, container, address, beside, traffic, turn }),
            Err(err) => {
                let err = attempt.verdict_on(err);
                self.discard_release(&recipe.app, release.version).await;
                self.fail_release(&recipe, release.version, err.sentence()).await;
                Err(err)
            }
        }
    }

    async fn start_and_probe(
        &self,
        recipe: &Recipe,
        release: &Release,
        port: u16,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<(ContainerId, SocketAddr)> {
        let (container, address) = self.start(recipe, release, port).await?;
        self.reach(recipe.deploy, Stage::Probing, talk).await?;
        let begun = Instant::now();
        let host = format!("{}.localhost", recipe.app.name);
        let candidate = Candidate { container: &container, address, host: &host, cancelled: attempt.token() };
        match self.wait_ready(&candidate).await {
            Ok(Ready { status, after }) => {
                talk.detail(format!("GET / answered {status} after {}", seconds(after)));
                Ok((container, address))
            }
            Err(not_ready) => Err(self.explain(recipe, &container, port, not_ready, begun.elapsed()).await),
        }
    }

    /// Creates and starts the release's container; its address is committed before it exists.
    pub(super) async fn start(&self, recipe: &Recipe, release: &Release, port: u16) -> Result<(ContainerId, SocketAddr)> {
        let rooms = self.rooms();
        let app = &recipe.app;
        let network = self.network_of(app).await?;
        rooms.store.advance(recipe.deploy, Stage::Starting).await?;
        let mut tries = PLACE_TRIES;
        let (container, address) = loop {
            let address = self.take_address(app, &network).await?;
            rooms.store.set_address(app.id.clone(), release.version, address, port).await?;
            let spec = ContainerSpec {
                name: format!("mini-{}-{}-web-1-{}", app.name, &app.id.as_str()[..6], release.version),
                app: app.id.clone(),
                app_name: app.name.clone(),
                version: release.version,
                process: "web".into(),
                index: 1,
                image: recipe.image.clone(),
                env: environment::variables(&app.name, release.version, WEB, release.commit(), port, &recipe.config),
                network: network.id.clone(),
                address,
                port,
                memory_bytes: None,
                command: None,
            };
            // On the heap: the engine's client makes large futures, and this one is inside of many.
            match Box::pin(rooms.engine.create_and_start(spec)).await {
                Err(err) if tries > 0 && is_address_taken(&err) => tries -= 1,
                made => break (made?, address),
            }
        };
        rooms.store.set_container(app.id.clone(), release.version, container.clone()).await?;
        self.inner.starts.send_modify(|starts| *starts += 1);
        Ok((container, SocketAddr::from((address, port))))
    }

    async fn explain(&self, recipe: &Recipe, container: &ContainerId, port: u16, not_ready: NotReady, waited: Duration) -> Error {
        let engine = &self.rooms().engine;
        let (exit, status) = match not_ready {
            NotReady::Engine(err) => return err,
            NotReady::Cancelled => return Error::busy("cancelled while it was starting"),
            NotReady::Exited { code, oom } => (Some((code, oom)), None),
            NotReady::TimedOut { status } => (None, status),
        };
        let listening = if exit.is_none() { engine.listening(container).await.unwrap_or_default() } else { Vec::new() };
        let log = engine.tail(container, FAILURE_LOG_LINES).await.unwrap_or_default();
        let log = log.into_iter().map(|line| line.text).collect();
        Sighting { process: WEB.into(), port, waited, exit, listening, status, log }.explain(&recipe.app.name)
    }

    /// Throws a proven release away: whoever brought it did not take it.
    pub(super) async fn abandon(&self, proven: Proven, reason: &str) {
        self.discard(&proven.recipe.app, proven.release.version, &proven.container, Duration::ZERO).await;
        self.fail_release(&proven.recipe, proven.release.version, reason).await;
    }

    /// Removes whatever containers a release has, also one that was made in the moment in which something else failed.
    pub(super) async fn discard_release(&self, app: &App, version: Version) {
        match self.rooms().engine.list().await {
            Ok(containers) => {
                let of_release =
                    |container: &&ContainerSummary| container.app == app.id && container.version == version && !container.is_one_off();
                for container in containers.iter().filter(of_release) {
                    self.discard(app, version, &container.id, Duration::ZERO).await;
                }
            }
            Err(err) => {
                tracing::error!(app.name = %app.name, release.version = %version, ?err, "a release's containers are left to the next start");
            }
        }
    }

    async fn fail_release(&self, recipe: &Recipe, version: Version, reason: &str) {
        let store = &self.rooms().store;
        if let Err(err) = store.fail_release(recipe.app.id.clone(), version, reason.to_owned()).await {
            tracing::error!(app.name = %recipe.app.name, release.version = %version, ?err, "a failed release could not be marked");
        }
        self.note(&recipe.app.id, "release", &format!("{version} failed: {reason}")).await;
    }
}
