//! What answers an app's requests: a pure function of its rows and of which of its processes are ready.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Deployer;
use crate::error::Result;
use crate::model::{AppId, ContainerId, Domain, HostName, ProcessState, ProcessType, Version};
use crate::route::{Drained, Release as Route};
use crate::store::{App, Process, Release};

/// What the routes are made of besides the rows.
#[derive(Default)]
pub(super) struct Routing {
    /// Routes are made one at a time: two readers of the rows might publish in the wrong order.
    turn: tokio::sync::Mutex<()>,
    /// When each route of a release has answered its last request; a release has one for each change of its processes.
    drains: Mutex<HashMap<(AppId, Version), Vec<Drained>>>,
    /// Containers of serving processes that are not ready: they died, or came back and have not answered yet.
    unready: Mutex<HashSet<ContainerId>>,
    /// Those of them that somebody waits for.
    awaited: Mutex<HashSet<ContainerId>>,
}

// === impl Routing ===

impl Routing {
    /// Notes that a container is not ready; tells whether that is new.
    pub fn fell(&self, container: &ContainerId) -> bool {
        self.unready().insert(container.clone())
    }

    /// Notes that a container is ready, or gone for good.
    pub fn rose(&self, container: &ContainerId) {
        self.unready().remove(container);
    }

    pub fn is_ready(&self, container: &ContainerId) -> bool {
        !self.unready().contains(container)
    }

    /// Notes that somebody waits until a container is ready; `None` when another one does.
    pub fn await_ready(&self, container: &ContainerId) -> Option<Awaiting<'_>> {
        let is_new = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(container.clone());
        is_new.then(|| Awaiting { routing: self, container: container.clone() })
    }

    fn unready(&self) -> MutexGuard<'_, HashSet<ContainerId>> {
        self.unready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_drain(&self, app: &AppId, version: Version, drained: Drained) {
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        drains.retain(|_, waits| {
            waits.retain(|wait| !wait.is_drained());
            !waits.is_empty()
        });
        drains.entry((app.clone(), version)).or_default().push(drained);
    }

    fn all_drains(&self, app: &AppId) -> Vec<(Version, Drained)> {
        let drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        let of_app = drains.iter().filter(|((of, _), _)| of == app);
        of_app.flat_map(|((_, version), waits)| waits.iter().map(|wait| (*version, wait.clone()))).collect()
    }

    fn drains(&self, app: &AppId, version: Version) -> Vec<Drained> {
        let drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        drains.get(&(app.clone(), version)).cloned().unwrap_or_default()
    }
}

/// Somebody waits until a container is ready; until this is dropped.
pub(super) struct Awaiting<'a> {
    routing: &'a Routing,
    container: ContainerId,
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.routing.awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.container);
    }
}

impl Deployer {
    /// Lets an app's requests be answered by what its rows say serves and is ready.
    pub(super) async fn reroute(&self, app: &AppId) -> Result<()> {
        self.reroute_from(app).await.map(drop)
    }

    /// As [`Self::reroute`]; returns what drained or answered before, of all releases of the app.
    async fn reroute_from(&self, app: &AppId) -> Result<Vec<(Version, Drained)>> {
        let _one_at_a_time = self.inner.routing.turn.lock().await;
        let before = self.inner.routing.all_drains(app);
        let (store, routes) = (&self.rooms().store, &self.rooms().routes);
        let app = store.app(app.clone()).await?;
        self.publish_front(&app).await?;
        let Some(version) = app.current_version else { return Ok(before) };
        let release = store.release(app.id.clone(), version).await?;
        let rows = store.processes_of(app.id.clone(), version).await?;
        let upstreams = self.upstreams(&release, &rows).await;
        let reason = match self.why_down(&app, &release).await? {
            None if upstreams.is_empty() && self.all_loop(&rows) => Some("it crashes again and again"),
            reason => reason,
        };
        if let Some(reason) = reason {
            routes.set_down(&app.id, reason);
            drop(routes.hold(&app.id));
            return Ok(before);
        }
        if upstreams.is_empty() {
            drop(routes.hold(&app.id));
        } else if routes.version(&app.id) != Some(version) || routes.upstreams(&app.id) != upstreams {
            let (route, drained) = Route::new(app.name.clone(), app.id.clone(), version, upstreams);
            self.inner.routing.note_drain(&app.id, version, drained);
            drop(routes.switch(&app.id, route));
        }
        routes.set_up(&app.id);
        Ok(before)
    }

    /// Publishes under which names an app answers and what the proxy does for it besides: no process changes, so no deploy is waited for.
    pub(super) async fn announce(&self, app: &AppId) -> Result<()> {
        let _one_at_a_time = self.inner.routing.turn.lock().await;
        let app = self.rooms().store.app(app.clone()).await?;
        self.publish_front(&app).await
    }

    /// Takes a destroyed app out of the routes; whoever read its row before has published it by now.
    pub(super) async fn unroute(&self, app: &AppId) {
        let _one_at_a_time = self.inner.routing.turn.lock().await;
        drop(self.rooms().routes.remove_app(app));
    }

    async fn publish_front(&self, app: &App) -> Result<()> {
        let (store, routes) = (&self.rooms().store, &self.rooms().routes);
        routes.add_app(app.name.clone(), app.id.clone());
        let domains: Vec<HostName> = store.domains(app.id.clone()).await?.iter().map(Domain::host).collect();
        routes.set_domains(&app.id, &domains);
        routes.set_edge(&app.id, &app.edge);
        Ok(())
    }

    /// Waits until what took requests of a release before now has answered them; the deadline leaves what is left to be cut.
    pub(super) async fn wait_drained(&self, app: &App, version: Version, deadline: Duration) {
        self.wait_all(self.inner.routing.drains(&app.id, version), deadline).await;
    }

    /// Publishes a change of a live release's processes and returns what drains with it: to be waited for with [`Self::wait_all`].
    ///
    /// The change is made: what cannot be routed now is left to the next resync.
    pub(super) async fn reroute_and_drain(&self, app: &App, version: Version) -> Vec<Drained> {
        match self.reroute_from(&app.id).await {
            Ok(before) => before.into_iter().filter(|(of, _)| *of == version).map(|(_, drained)| drained).collect(),
            Err(err) => {
                tracing::error!(app.name = %app.name, release.version = %version, ?err, "changed processes could not be routed; the next resync does it");
                self.inner.routing.drains(&app.id, version)
            }
        }
    }

    pub(super) async fn wait_all(&self, drains: Vec<Drained>, deadline: Duration) {
        let all = async {
            for drained in &drains {
                drained.wait().await;
            }
        };
        let _ = tokio::time::timeout(deadline, all).await;
    }

    async fn why_down(&self, app: &App, release: &Release) -> Result<Option<&'static str>> {
        if app.is_stopped {
            return Ok(Some("it was stopped"));
        }
        if !app.answers_requests() {
            return Ok(Some("it answers no requests from outside"));
        }
        let web = ProcessType::web();
        let has_web = release.process_table.has(&web) && self.rooms().store.formation(app.id.clone()).await?.quantity(&web) > 0;
        Ok((!has_web).then_some("it runs no web process"))
    }

    /// Whether waiting for a web process would be in vain: each one dies as soon as it is back.
    fn all_loop(&self, rows: &[Process]) -> bool {
        let mut web = rows.iter().filter(|row| row.state == ProcessState::Serving && row.kind.is_web()).peekable();
        let loops =
            |row: &Process| row.container.as_ref().and_then(|container| self.inner.crashes.of(container)).is_some_and(|(_, loops)| loops);
        web.peek().is_some() && web.all(loops)
    }

    async fn upstreams(&self, release: &Release, rows: &[Process]) -> Vec<SocketAddr> {
        let answers = |row: &&Process| {
            let is_ready = row.container.as_ref().is_some_and(|container| self.inner.routing.is_ready(container));
            row.state == ProcessState::Serving && row.kind.is_web() && is_ready
        };
        let (mut places, port) = (Vec::new(), release.port.unwrap_or_default());
        for row in rows.iter().filter(answers) {
            match self.place_of(row, port).await {
                Ok(place) => places.extend(place),
                Err(err) => {
                    tracing::warn!(process = row.name(), ?err, "where a process answers is not known; the next resync asks again");
                }
            }
        }
        places
    }
}
