//! The story of a release: queue → build → start → probe → store → switch → drain → retire, with its journal.
//!
//! The only writer of releases and routes. A *source* (a push, a rebuild) is built under the push turn; everything that
//! makes a release (it, a config change, a rollback) then takes the release turn for number, start, probe and switch.

mod alter;
mod attached;
mod build;
mod builders;
mod cancel;
mod certificates;
mod change;
mod complaint;
mod converge;
mod crashes;
mod delivery;
mod destroy;
mod domains;
mod environment;
mod explain;
mod fault;
mod image;
mod isolation;
mod journal;
mod last_words;
mod link;
mod logged;
mod lost;
mod names;
mod oneoff;
mod owed;
mod patience;
mod phase;
mod place;
mod preview;
mod prove;
mod push;
mod reach;
mod ready;
mod rebuild;
mod record;
mod recover;
mod refs;
mod reroute;
mod retention;
mod retire;
mod roster;
mod seek;
mod space;
mod start;
mod storage;
mod supervise;
mod switch;
mod talk;
mod ticket;
mod turns;
mod upkeep;
mod upload;
mod way;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Settings;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::git::Git;
use crate::logs::{LogLine, Logs, Source};
use crate::model::limits::UPLOADS_AT_ONCE;
use crate::model::{AppId, EdgeChange, Stamp, Version};
use crate::route::Routes;
use crate::store::{App, AppSetting, Store};

pub use alter::Alteration;
pub use attached::Entry;
pub use change::{Change, ConfigChange};
pub use delivery::{Cargo, Delivery, Parcel};
pub use environment::Config;
pub use isolation::Reached;
pub use names::friendly_name;
pub use oneoff::OneOff;
pub use preview::Preview;
pub use push::Target;
pub use space::{Disk, Holds};
pub use storage::Mounting;
pub use talk::Talk;
pub use upkeep::{Freed, Kept, Upkeep};

/// The rooms that a deploy works with.
pub struct Rooms {
    pub settings: Settings,
    pub store: Store,
    pub engine: Engine,
    pub git: Git,
    pub routes: Routes,
    pub logs: Logs,
    /// Where HTTP really listens: URLs are printed with it.
    pub http_port: u16,
    /// Where HTTPS really listens, if it does.
    pub https_port: Option<u16>,
}

/// The handle through which releases are made; a cheap clone.
#[derive(Clone)]
pub struct Deployer {
    inner: Arc<Inner>,
}

struct Inner {
    rooms: Rooms,
    turns: turns::Turns,
    routing: reroute::Routing,
    /// Certificates are published by one at a time: two readers of the rows might publish in the wrong order.
    certifying: tokio::sync::Mutex<()>,
    reach: reach::Way,
    crashes: crashes::Crashes,
    patience: patience::Patience,
    /// Releases that a task of this run ends.
    retiring: Mutex<HashSet<(AppId, Version)>>,
    lost: lost::Lost,
    builders: builders::Builders,
    uploads: Arc<Semaphore>,
    /// What goes on after its caller has been answered: draining, retiring, start-up repairs.
    background: TaskTracker,
    /// What the last run left under way, until it is ended.
    left: Mutex<Option<recover::Left>>,
    /// What the database had no room for.
    owed: Mutex<Vec<owed::End>>,
    /// Counts the starts of containers, so that a log follower notices new ones.
    starts: watch::Sender<u64>,
    roster: roster::Roster,
    /// Isolation is tried by one at a time; held meanwhile.
    trial: tokio::sync::Mutex<()>,
    /// Room is made by one at a time.
    upkeep: tokio::sync::Mutex<()>,
    /// Rung when a domain may want a certificate.
    certificates_wanted: Notify,
    /// The server stops: what only waits, waits no more.
    stopping: CancellationToken,
}

// === impl Deployer ===

impl Deployer {
    #[must_use]
    pub fn new(rooms: Rooms) -> Self {
        let builders = builders::Builders::new(rooms.settings.builds);
        let inner = Inner {
            rooms,
            turns: turns::Turns::default(),
            routing: reroute::Routing::default(),
            certifying: tokio::sync::Mutex::default(),
            reach: reach::Way::default(),
            crashes: crashes::Crashes::default(),
            patience: patience::Patience::default(),
            retiring: Mutex::default(),
            lost: lost::Lost::default(),
            builders,
            uploads: Arc::new(Semaphore::new(UPLOADS_AT_ONCE)),
            background: TaskTracker::new(),
            starts: watch::Sender::new(0),
            left: Mutex::default(),
            owed: Mutex::default(),
            roster: roster::Roster::default(),
            trial: tokio::sync::Mutex::default(),
            upkeep: tokio::sync::Mutex::default(),
            certificates_wanted: Notify::new(),
            stopping: CancellationToken::new(),
        };
        Deployer { inner: Arc::new(inner) }
    }

    /// Cancels every deploy that has not begun its switch and lets none begin; ends attached programs and followers of logs.
    pub fn stop(&self, reason: &str) {
        self.inner.turns.stop(reason);
        self.inner.stopping.cancel();
    }

    /// Returns the token that is cancelled when the server stops.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.inner.stopping
    }

    /// Returns the bell that is rung when a domain may want a certificate.
    #[must_use]
    pub fn certificates_wanted(&self) -> &Notify {
        &self.inner.certificates_wanted
    }

    /// Waits for background work, at most `grace`; what is left is repaired at the next start.
    pub async fn settle(&self, grace: Duration) {
        self.inner.background.close();
        if tokio::time::timeout(grace, self.inner.background.wait()).await.is_err() {
            tracing::info!(tasks = self.inner.background.len(), "old releases are left to the next start");
        }
    }

    /// Returns a counter that changes whenever a container was started.
    #[must_use]
    pub fn starts(&self) -> watch::Receiver<u64> {
        self.inner.starts.subscribe()
    }

    #[must_use]
    pub fn rooms(&self) -> &Rooms {
        &self.inner.rooms
    }

    /// Runs work that outlives its caller; `settle` waits for it.
    pub fn in_background(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.background.spawn(work);
    }

    /// Where sources are spooled; emptied at each start.
    fn tmp(&self) -> std::path::PathBuf {
        self.rooms().settings.data.join("tmp")
    }

    /// Asks the git room, which blocks on files, from a thread that may.
    async fn git<T: Send + 'static>(&self, work: impl FnOnce(&Git) -> Result<T> + Send + 'static) -> Result<T> {
        let git = self.rooms().git.clone();
        let done = tokio::task::spawn_blocking(move || work(&git)).await;
        done.map_err(|err| Error::failed("the repository could not be read").because(err))?
    }

    /// Makes another branch the one that deploys; the next push of it is then no longer refused.
    pub async fn set_deploy_branch(&self, app: &App, branch: &str) -> Result<()> {
        let _turn = self.inner.turns.release(&app.id).await;
        self.rooms().store.set_deploy_branch(app.id.clone(), branch.to_owned()).await
    }

    /// Makes something true of an app whose containers stay as they are; whether it answers requests shows at once.
    pub async fn set_options(&self, app: &AppId, settings: Vec<AppSetting>) -> Result<()> {
        let _turn = self.inner.turns.release(app).await;
        self.rooms().store.set_app(app.clone(), settings).await?;
        self.reroute(app).await
    }

    /// Changes what the proxy does for an app besides forwarding: at once, whatever of it is being deployed.
    pub async fn set_edge(&self, app: &AppId, changes: Vec<EdgeChange>) -> Result<()> {
        self.rooms().store.set_app(app.clone(), changes.into_iter().map(AppSetting::Edge).collect()).await?;
        self.announce(app).await
    }

    /// Appends a line of mini's own to an app's log. A full disk must not stop a deploy: it is told once, by `logs`.
    async fn note(&self, app: &AppId, process: &str, text: &str) {
        self.note_all(app, vec![LogLine::new(Stamp::now(), Source::mini(process), text)]).await;
    }

    async fn note_all(&self, app: &AppId, lines: Vec<LogLine>) {
        if let Err(err) = self.inner.rooms.logs.append_all(app.clone(), lines).await {
            tracing::warn!(app.id = %app, ?err, "lines could not be added to the app's log");
        }
    }
}
