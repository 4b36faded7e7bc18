//! The HTTP proxy: a request takes a seat at its app's release, waiting for one if need be, and is answered from there. Knows only `route`.
//!
//! Each core has a thread with a runtime, connections and pools of its own: between two cores nothing is shared but the routing table.

mod accept;
mod access;
mod admission;
mod alarm;
mod answer;
mod api;
mod attempt;
mod client;
mod client_io;
mod connection;
mod cores;
mod deal;
mod edge;
mod ending;
mod ends;
mod exchange;
#[doc(hidden)]
pub mod fuzz;
mod headers;
mod hold;
mod http2;
mod ids;
mod interim;
mod journey;
mod keepalive;
mod metrics;
mod multiplex;
mod outgoing;
mod pages;
mod pool;
mod relay;
mod rules;
mod tap;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod upload;
mod upstream;
mod upstream_io;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::model::limits;
use crate::route::{Doorway, Routes};
use tls::Tls;
pub use visitor::TrustedProxies;

pub use metrics::serve_metrics;

/// A reverse proxy over a routing table. It serves one listener; a clone serves another with the same table.
#[derive(Clone)]
pub struct Proxy {
    routes: Routes,
    doorway: Option<Doorway>,
    https: Option<Arc<Https>>,
    limits: Limits,
    trusted: TrustedProxies,
}

/// The second entrance.
struct Https {
    listener: TcpListener,
    tls: Tls,
    port: u16,
}

/// How long peers may take, and how many there may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    handshake: Duration,
    head: Duration,
    keep_alive: Duration,
    connect: Duration,
    progress: Duration,
    idle: Duration,
    grace: Duration,
    hold: Duration,
    held: usize,
    /// Connections of one address, and of all; zero: any number.
    per_address: usize,
    connections: usize,
}

// === impl Proxy ===

impl Proxy {
    #[must_use]
    pub fn new(routes: Routes) -> Proxy {
        let limits = Limits {
            handshake: limits::TLS_HANDSHAKE,
            head: limits::HEAD_TIMEOUT,
            keep_alive: limits::KEEP_ALIVE,
            connect: limits::CONNECT_TIMEOUT,
            progress: limits::BODY_PROGRESS,
            idle: limits::UPSTREAM_IDLE,
            grace: limits::SHUTDOWN_GRACE,
            hold: limits::HOLD_TIME,
            held: limits::HELD_REQUESTS,
            per_address: limits::CLIENT_CONNECTIONS_PER_ADDRESS,
            connections: admission::most_connections(),
        };
        Proxy { routes, doorway: None, https: None, limits, trusted: TrustedProxies::default() }
    }

    /// Lets requests to the server itself through to the API.
    #[must_use]
    pub fn with_api(self, doorway: Doorway) -> Proxy {
        Proxy { doorway: Some(doorway), ..self }
    }

    /// Sets how many connections one client address may have at once; an IPv6 address counts with its whole /64. Zero: any number.
    #[must_use]
    pub fn with_connections_per_address(mut self, most: usize) -> Proxy {
        self.limits.per_address = most;
        self
    }

    /// Sets which proxies before this one are believed about their clients.
    #[must_use]
    pub fn with_trusted(self, trusted: TrustedProxies) -> Proxy {
        Proxy { trusted, ..self }
    }

    /// Sets how long peers may owe bytes, and how long a client's connection may idle: for tests, which cannot wait for the real limits.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Proxy {
        (self.limits.head, self.limits.keep_alive, self.limits.progress) = (patience, patience, patience);
        self.limits.handshake = patience;
        self
    }

    /// Also serves TLS on `listener`, where https is spoken: with the certificates of the routes, HTTP/1.1 or HTTP/2 as agreed on.
    ///
    /// # Errors
    /// Of kind `Setup`: the machine's random numbers or keys cannot be used.
    pub fn with_https(mut self, listener: TcpListener) -> Result<Proxy> {
        let tls = Tls::new(self.routes.clone())?;
        let port = listener.local_addr().map_or(0, |address| address.port());
        self.https = Some(Arc::new(Https { listener, tls, port }));
        Ok(self)
    }

    /// Serves `listener` on every core until `shutdown`: then closes tunnels and idle connections, lets requests finish for at most
    /// [`limits::SHUTDOWN_GRACE`] and cuts the rest; meanwhile it still accepts. Then it stops accepting, gives those who came last the
    /// same time, and returns. A failing `accept` is waited out, never fatal.
    ///
    /// # Errors
    /// A thread or its runtime cannot be started; of kind `Setup`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
        cores::serve(self, listener, shutdown).await
    }
}
