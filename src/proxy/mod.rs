//! The HTTP proxy: a request takes a seat at its app's release, waiting for one if need be, and is answered from there. Knows only `route`.

mod accept;
mod answer;
mod api;
mod attempt;
mod exchange;
mod headers;
mod hold;
mod io;
mod keepalive;
mod pages;
mod pool;
mod rules;
#[cfg(test)]
mod tests;
mod tunnel;
mod upload;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::{AppId, limits};
use crate::route::{Doorway, Routes};
use pool::Pool;

/// A reverse proxy over a routing table. It serves one listener; a clone serves another with the same table.
#[derive(Clone)]
pub struct Proxy {
    routes: Routes,
    doorway: Option<Doorway>,
    limits: Limits,
}

/// How long peers may take, and how many requests of an app may wait for it.
#[derive(Clone, Copy, Debug)]
struct Limits {
    head: Duration,
    connect: Duration,
    first_byte: Duration,
    progress: Duration,
    idle: Duration,
    grace: Duration,
    hold: Duration,
    held: usize,
}

/// What the connections of one listener share.
struct Shared {
    routes: Routes,
    /// The way to the API, for requests to the server itself.
    doorway: Option<Doorway>,
    limits: Limits,
    pool: Arc<Pool>,
    /// Connections of before `stopping`, and tunnels.
    cohort: Cohort,
    /// Told when the proxy is to end: tunnels and idle connections end, requests finish.
    stopping: CancellationToken,
    /// Request ids: a random half for this listener, a number for the request.
    id_prefix: String,
    next_id: AtomicU64,
}

/// Connections that have one grace to end in.
#[derive(Default)]
struct Cohort {
    tasks: TaskTracker,
    /// Told when the grace is over.
    cut: CancellationToken,
}

/// One client connection.
struct Client {
    ends: headers::Ends,
    /// It may still be sending the body of its last request.
    owes_body: AtomicBool,
}

// === impl Proxy ===

impl Proxy {
    #[must_use]
    pub fn new(routes: Routes) -> Proxy {
        let limits = Limits {
            head: limits::HEAD_TIMEOUT,
            connect: limits::CONNECT_TIMEOUT,
            first_byte: limits::FIRST_BYTE_TIMEOUT,
            progress: limits::BODY_PROGRESS,
            idle: limits::UPSTREAM_IDLE,
            grace: limits::SHUTDOWN_GRACE,
            hold: limits::HOLD_TIME,
            held: limits::HELD_REQUESTS,
        };
        Proxy { routes, doorway: None, limits }
    }

    /// Lets requests to the server itself through to the API.
    #[must_use]
    pub fn with_api(self, doorway: Doorway) -> Proxy {
        Proxy { doorway: Some(doorway), ..self }
    }

    /// Serves `listener` until `shutdown`: then closes tunnels and idle connections, lets requests finish for at most
    /// [`limits::SHUTDOWN_GRACE`] and cuts the rest; meanwhile it still accepts. Then it stops accepting, gives those who came last the
    /// same time, and returns. A failing `accept` is waited out, never fatal.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        accept::serve(Arc::new(Shared::new(self, shutdown)), listener).await;
    }
}

// === impl Shared ===

impl Shared {
    fn new(proxy: Proxy, stopping: CancellationToken) -> Shared {
        Shared {
            pool: Arc::new(Pool::new(proxy.limits.idle)),
            routes: proxy.routes,
            doorway: proxy.doorway,
            limits: proxy.limits,
            cohort: Cohort::default(),
            stopping,
            // 16 random hex digits, whatever they are called.
            id_prefix: AppId::random().into(),
            next_id: AtomicU64::new(0),
        }
    }

    fn request_id(&self) -> HeaderValue {
        let id = format!("{}-{:x}", self.id_prefix, self.next_id.fetch_add(1, Ordering::Relaxed));
        HeaderValue::from_str(&id).expect("hex digits are visible ASCII")
    }
}

// === impl Cohort ===

impl Cohort {
    /// Waits until all have ended, and cuts those that have not after `grace`.
    async fn end(&self, grace: Duration) {
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::info!(connections = self.tasks.len(), "cutting what is still running");
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}
