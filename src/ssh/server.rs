//! The SSH server: accepts, bounds, and ends when it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::server::Config;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span, warn};

use super::admission::{Admission, Rules};
use super::config::russh_config;
use super::connection::{self, Ground};
use super::{Desk, HostKey};
use crate::model::limits::{LOGIN_DEADLINE, LOGINS_AT_ONCE, LOGINS_PER_ADDRESS, SSH_CONNECTIONS};

/// Pause after a failed accept, which is mostly EMFILE: it passes when a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// After the drain, what was cut has this long to notice.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// An SSH server that may serve several listeners; they share its bounds.
#[derive(Clone)]
pub struct SshServer<D> {
    desk: D,
    config: Arc<Config>,
    admission: Admission,
    connections: Arc<Semaphore>,
    login_deadline: Duration,
}

// === impl SshServer ===

impl<D: Desk> SshServer<D> {
    /// Makes a server that shows `host_key` and asks `desk`.
    #[must_use]
    pub fn new(desk: D, host_key: HostKey) -> Self {
        Self::with_login_deadline(desk, host_key, LOGIN_DEADLINE)
    }

    /// Makes a server whose clients have `login_deadline` for their login.
    #[must_use]
    pub(super) fn with_login_deadline(desk: D, host_key: HostKey, login_deadline: Duration) -> Self {
        let rules = Rules { per_address: LOGINS_PER_ADDRESS, at_once: LOGINS_AT_ONCE, patience: login_deadline };
        SshServer {
            desk,
            config: russh_config(host_key),
            admission: Admission::new(rules),
            connections: Arc::new(Semaphore::new(SSH_CONNECTIONS)),
            login_deadline,
        }
    }

    /// Serves `listener` until `shutdown`, then gives sessions `drain` to end before they are cut.
    ///
    /// Connections without a session are closed at once. Returns at the latest a second after `drain`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken, drain: Duration) {
        let tasks = TaskTracker::new();
        let ground = Ground {
            desk: self.desk.clone(),
            config: Arc::clone(&self.config),
            admission: self.admission.clone(),
            login_deadline: self.login_deadline,
            shutdown: shutdown.clone(),
            drain,
            tasks: tasks.clone(),
        };
        shutdown.run_until_cancelled(self.accept_all(&listener, &ground)).await;
        drop(listener);
        tasks.close();
        if timeout(drain + CUT_GRACE, tasks.wait()).await.is_err() {
            warn!(tasks = tasks.len(), "ssh sessions did not end after they were cut");
        }
    }

    async fn accept_all(&self, listener: &TcpListener, ground: &Ground<D>) {
        let mut is_failing = false;
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    is_failing = false;
                    self.welcome(socket, peer, ground);
                }
                // It concerns one client or one moment, never the server.
                Err(err) => {
                    if !is_failing {
                        warn!("ssh connections cannot be accepted for now: {err}");
                    }
                    is_failing = true;
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&self, socket: TcpStream, peer: SocketAddr, ground: &Ground<D>) {
        let Ok(place) = Arc::clone(&self.connections).try_acquire_owned() else {
            return debug!(client.addr = %peer, "turned an ssh client away: too many connections");
        };
        let served = connection::serve(ground.clone(), socket, peer).instrument(info_span!("ssh", client.addr = %peer));
        ground.tasks.spawn(async move {
            served.await;
            drop(place);
        });
    }
}
