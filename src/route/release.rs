//! One running release as the proxy sees it, and the lease that keeps it alive while a request is on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::upstream::Upstream;
use super::{Meter, WaitingRoom};
use crate::model::{AppId, AppName, Version};

/// A hold on a release, taken with the table look-up and kept until the last body byte. Drained means: the last one was dropped.
pub type Lease = Arc<Release>;

/// A release and the addresses at which it answers. It never changes: other addresses are a new generation, put in by a switch.
pub struct Release {
    app: AppName,
    app_id: AppId,
    version: Version,
    upstreams: Box<[Upstream]>,
    generation: u64,
    is_retired: AtomicBool,
    meter: Arc<Meter>,
    waiting_room: Arc<WaitingRoom>,
    _drained: DropGuard,
}

/// The promise that a release is no longer used by anyone: not by the table, not by a request, not by a tunnel.
#[derive(Clone, Debug)]
pub struct Drained(CancellationToken);

/// Addresses and versions may come back; these numbers do not, so no pool can mix two releases up.
static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

// === impl Release ===

impl Release {
    /// Makes a release that answers at `upstreams`, and the promise that resolves once nobody holds it.
    ///
    /// Without any upstream its requests are held.
    #[must_use]
    pub fn new(app: AppName, app_id: AppId, version: Version, upstreams: Vec<SocketAddr>) -> (Release, Drained) {
        let drained = CancellationToken::new();
        let release = Release {
            meter: Arc::new(Meter::new(app_id.clone())),
            app,
            app_id,
            version,
            upstreams: upstreams.into_iter().map(Upstream::new).collect(),
            generation: NEXT_GENERATION.fetch_add(1, Ordering::Relaxed),
            is_retired: AtomicBool::new(false),
            waiting_room: Arc::default(),
            _drained: drained.clone().drop_guard(),
        };
        (release, Drained(drained))
    }

    #[must_use]
    pub fn app(&self) -> &AppName {
        &self.app
    }

    #[must_use]
    pub fn app_id(&self) -> &AppId {
        &self.app_id
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the addresses at which this release answers.
    pub fn upstreams(&self) -> impl Iterator<Item = SocketAddr> {
        self.upstreams.iter().map(Upstream::address)
    }

    /// Returns how many requests and tunnels are on this release.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.upstreams.iter().map(Upstream::in_flight).sum()
    }

    /// Returns a number that no other release of this process has: with an address, the key of connection pools.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the table let go of this release: what is running may finish, nothing new comes.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// Returns the counters of the app.
    #[must_use]
    pub fn counters(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Returns where requests wait that every upstream refused.
    #[must_use]
    pub fn waiting_room(&self) -> &Arc<WaitingRoom> {
        &self.waiting_room
    }

    pub(super) fn belong(&mut self, meter: &Arc<Meter>, waiting_room: &Arc<WaitingRoom>) {
        self.meter = Arc::clone(meter);
        self.waiting_room = Arc::clone(waiting_room);
    }

    pub(super) fn count(&self) -> usize {
        self.upstreams.len()
    }

    pub(super) fn at(&self, index: usize) -> &Upstream {
        &self.upstreams[index]
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }
}

// === impl Drained ===

impl Drained {
    /// Waits until the last lease was dropped. A lease that the caller itself holds, such as the one from `switch`, counts.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.0.is_cancelled()
    }
}
