//! Programs that somebody runs once, with the image, config and commit of what is live.

use std::time::Duration;

use tokio::sync::oneshot;

use super::place::PLACE_TRIES;
use super::roster::Place;
use super::{Deployer, environment};
use crate::engine::{Attach, Attachment, ContainerSpec, ContainerSummary, ONE_OFF, is_address_taken};
use crate::error::{Error, Kind, Result};
use crate::logs::{LogLine, Source};
use crate::model::limits::ARCHIVED_LINES;
use crate::model::{AppId, ConfigName, ContainerId, Secret, Version};
use crate::store::{App, Release};

/// Somebody who follows the logs has this long to find the container of a program that was quick.
const LINGER: Duration = Duration::from_secs(1);

/// A program to run once.
#[derive(Clone)]
pub struct OneOff {
    /// Its name and arguments; never empty.
    pub program: Vec<String>,
    /// Variables beside the app's config; they win over it.
    pub env: Vec<(ConfigName, Secret)>,
    /// Who runs it.
    pub by: String,
}

/// A one-off that was started.
pub(super) struct Started {
    pub place: Place,
    pub version: Version,
    pub container: ContainerId,
    /// `None` for a detached one.
    pub attachment: Option<Attachment>,
}

impl Deployer {
    /// Starts a program that nobody waits for and returns its name, `run.3`. What it prints is kept in the app's log.
    pub async fn run_detached(&self, app: &App, one_off: OneOff) -> Result<String> {
        let (tell, told) = oneshot::channel();
        let (deployer, app) = (self.clone(), app.clone());
        // Its caller may leave in the middle: a container that was made must be known to somebody.
        self.in_background(async move {
            match Box::pin(deployer.start_one_off(&app, &one_off, Attach::Detached, None)).await {
                Ok(Started { place, container, .. }) => {
                    drop(tell.send(Ok(place.process())));
                    deployer.inner.starts.send_modify(|starts| *starts += 1);
                    deployer.see_through(app.id, place, container).await;
                }
                Err(err) => drop(tell.send(Err(err))),
            }
        });
        told.await.map_err(|_| Error::failed("the server stopped in the middle of this"))?
    }

    /// Starts a one-off; on an error nothing of it is left.
    pub(super) async fn start_one_off(&self, app: &App, one_off: &OneOff, attach: Attach, term: Option<String>) -> Result<Started> {
        let rooms = self.rooms();
        let Some(release) = self.live_release(&app.id).await? else {
            return Err(Error::not_found(format!("`{}` has no release yet: there is nothing to run it with", app.name))
                .hint("deploy it first: git push mini main"));
        };
        let network = self.network_of(app).await?;
        let place = self.inner.roster.take(app, &rooms.engine.list().await?)?;
        let mut spec = self.spec_of(app, &release, one_off, &place, term).await?;
        spec.network = network.id.clone();
        let mut tries = PLACE_TRIES;
        loop {
            spec.address = self.take_address(app, &network).await?;
            let container = Box::pin(rooms.engine.create_one_off(spec.clone(), attach)).await?;
            match self.start_made(&app.id, &container, attach).await {
                Ok(attachment) => {
                    let program = one_off.program.first().map_or("", String::as_str);
                    tracing::info!(app.name = %app.name, by = %one_off.by, process = place.process(), program, "a one-off was started");
                    return Ok(Started { place, version: release.version, container, attachment });
                }
                Err(err) => {
                    self.remove_one_off(&container).await;
                    if tries == 0 || !is_address_taken(&err) {
                        return Err(err);
                    }
                    tries -= 1;
                }
            }
        }
    }

    async fn spec_of(&self, app: &App, release: &Release, one_off: &OneOff, place: &Place, term: Option<String>) -> Result<ContainerSpec> {
        let config = self.rooms().store.release_config(app.id.clone(), release.version).await?;
        let port = match release.port {
            Some(port) => port,
            None => environment::port(&config, &[])?,
        };
        let mut env = environment::variables(&app.name, release.version, &place.process(), release.commit(), port, &config);
        env.extend(term.map(|term| ("TERM".to_owned(), Secret::new(term))));
        env.retain(|(name, _)| !one_off.env.iter().any(|(own, _)| own.as_str() == name));
        env.extend(one_off.env.iter().map(|(name, value)| (name.to_string(), value.clone())));
        Ok(ContainerSpec {
            name: place.name.clone(),
            app: app.id.clone(),
            app_name: app.name.clone(),
            version: release.version,
            process: ONE_OFF.to_owned(),
            index: place.index,
            image: release.image.clone(),
            command: Some(one_off.program.clone()),
            env,
            network: String::new(),
            address: std::net::Ipv4Addr::UNSPECIFIED,
            port,
            memory_bytes: app.memory_bytes,
            cpu_millis: app.cpu_millis,
            mounts: self.mounts_of(app).await?,
            joins: self.joins_of(app).await?,
            published: false,
        })
    }

    async fn start_made(&self, app: &AppId, container: &ContainerId, attach: Attach) -> Result<Option<Attachment>> {
        let rooms = self.rooms();
        let attachment = match attach {
            Attach::Detached => None,
            Attach::Piped | Attach::Terminal { .. } => Some(rooms.engine.attach(container, attach).await?),
        };
        rooms.engine.start(container).await?;
        // Who destroys an app takes its row first and then looks for containers: one of the two sees this one.
        if let Err(err) = self.present(app).await {
            self.remove_one_off(container).await;
            if let Err(stays) = rooms.engine.remove_network(app).await {
                tracing::warn!(app.id = %app, err = ?stays, "the network of a destroyed app is left");
            }
            return Err(err);
        }
        Ok(attachment)
    }

    pub(super) async fn remove_one_off(&self, container: &ContainerId) {
        if let Err(err) = self.rooms().engine.remove(container).await {
            tracing::warn!(container.id = %container.short(), ?err, "a one-off could not be removed; it is tried again");
        }
    }

    /// Removes what an attached one-off left when its server died, and sees detached ones through to their ends. Those that somebody
    /// looks after are left alone.
    pub(super) async fn sweep_one_off(&self, container: ContainerSummary) -> Result<()> {
        let Some(place) = self.inner.roster.adopt(&container) else { return Ok(()) };
        let is_wanted = match self.present(&container.app).await {
            Ok(_) => !container.attached,
            Err(err) if err.kind() == Kind::NotFound => false,
            Err(err) => return Err(err),
        };
        if is_wanted {
            let deployer = self.clone();
            self.in_background(async move { deployer.see_through(container.app, place, container.id).await });
        } else {
            tracing::info!(app.id = %container.app, process = place.process(), "removing a one-off that has lost its caller");
            self.remove_one_off(&container.id).await;
        }
        Ok(())
    }

    /// Waits for a detached one-off's end, keeps what it said and removes it. A server that stops leaves it to the next one.
    async fn see_through(&self, app: AppId, place: Place, container: ContainerId) {
        let engine = &self.rooms().engine;
        let ended = tokio::select! {
            ended = engine.wait_exit(&container) => ended,
            () = self.stopping().cancelled() => return,
        };
        let process = place.process();
        let exit = match ended {
            Ok(exit) => exit,
            Err(err) if err.kind() == Kind::NotFound => return tracing::debug!(app.id = %app, process, "a one-off is gone"),
            // The next resync looks after it again.
            Err(err) => return tracing::warn!(app.id = %app, process, ?err, "a one-off was lost sight of"),
        };
        tracing::info!(app.id = %app, process, exit_code = exit.code, "a one-off ended");
        let why = if exit.oom { ", out of memory" } else { "" };
        self.note(&app, ONE_OFF, &format!("{process} ended with exit code {}{why}", exit.code)).await;
        if self.inner.starts.receiver_count() > 0 {
            let _ = self.stopping().run_until_cancelled(tokio::time::sleep(LINGER)).await;
        }
        self.keep_words(&app, &process, &container).await;
        self.remove_one_off(&container).await;
        drop(place);
        self.drop_its_image(&app).await;
    }

    /// Copies what a one-off said into the app's log.
    async fn keep_words(&self, app: &AppId, process: &str, container: &ContainerId) {
        let kept = async {
            let lines = self.rooms().engine.tail(container, ARCHIVED_LINES).await?;
            let lines = lines.into_iter().map(|line| LogLine::new(line.at, Source::app(process), &line.text)).collect();
            self.rooms().logs.archive(app.clone(), lines).await
        };
        if let Err(err) = kept.await {
            tracing::warn!(app.id = %app, process, ?err, "what a one-off said could not be kept");
        }
    }

    /// The release that a one-off was made of may be long gone, and its image was kept for this.
    pub(super) async fn drop_its_image(&self, app: &AppId) {
        let Ok(app) = self.present(app).await else { return };
        if let Err(err) = self.drop_old_images(&app).await {
            tracing::warn!(app.name = %app.name, ?err, "images could not be looked through after a one-off");
        }
    }
}
