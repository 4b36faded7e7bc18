//! What a client may ask of russh: prove a key, open sessions, run one line in each. Everything else is refused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session as Russh, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Error, Pty};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, info};

use super::Desk;
use super::request::Request;
use super::session::{Opening, Session};
use crate::model::limits::CHANNELS_PER_CONNECTION;
use crate::model::{Caller, Fingerprint, PublicKey};

/// One client's connection, as russh drives it.
pub(super) struct Client<D> {
    desk: D,
    peer: SocketAddr,
    /// The connection's span: russh runs this handler in a task of its own.
    span: Span,
    signs: Signs,
    /// Set by a signature and by nothing else.
    key: Option<Fingerprint>,
    openings: HashMap<ChannelId, Opening>,
    slots: Arc<Semaphore>,
}

/// What the connection's owner is told, and what it tells.
#[derive(Clone)]
pub(super) struct Signs {
    /// The client has proven its key.
    pub logged_in: CancellationToken,
    /// The server takes no new sessions.
    pub shutdown: CancellationToken,
    /// The connection ends now.
    pub cut: CancellationToken,
    /// Owns the sessions of this connection; the others of its tasks are in `tasks`.
    pub sessions: TaskTracker,
    pub tasks: TaskTracker,
}

// === impl Client ===

impl<D: Desk> Client<D> {
    pub fn new(desk: D, peer: SocketAddr, signs: Signs) -> Self {
        let slots = Arc::new(Semaphore::new(CHANNELS_PER_CONNECTION));
        Client { desk, peer, span: Span::current(), signs, key: None, openings: HashMap::new(), slots }
    }

    /// Asks the desk who is behind a key. `Config::preferred` is only advertised, so the algorithm is checked here.
    async fn identify(&self, key: &russh::keys::PublicKey, algorithm: &Algorithm) -> Option<(Fingerprint, Caller)> {
        if matches!(algorithm, Algorithm::Rsa { hash: None }) {
            debug!(client.addr = %self.peer, "refused a signature with SHA-1");
            return None;
        }
        let fingerprint = fit_to_log_in(key)?;
        let caller = self.desk.identify(&fingerprint).await;
        if caller.is_none() {
            debug!(client.addr = %self.peer, key.fingerprint = %fingerprint, "refused an unknown key");
        }
        caller.map(|caller| (fingerprint, caller))
    }

    /// Starts what the client asked for on a channel. A channel runs one request only (RFC 4254 §6.5).
    async fn start(&mut self, id: ChannelId, request: Request, russh: &mut Russh) -> Result<(), Error> {
        let opening = self.openings.remove(&id);
        // Asked anew for each request: the key may have been removed, or may do less, since it signed.
        let caller = match &self.key {
            Some(key) => self.desk.identify(key).await,
            None => None,
        };
        let (Some(opening), Some(caller)) = (opening, caller) else {
            debug!(client.addr = %self.peer, "refused a request of a key that is no longer known");
            return russh.channel_failure(id);
        };
        opening.settle(&request);
        russh.channel_success(id)?;
        let session = Session { desk: self.desk.clone(), caller, request, opening };
        self.signs.sessions.spawn(session.run().instrument(self.span.clone()));
        Ok(())
    }
}

/// Returns the fingerprint of a key that the model accepts: no DSA, no short RSA.
fn fit_to_log_in(key: &russh::keys::PublicKey) -> Option<Fingerprint> {
    let line = key.to_openssh().ok()?;
    match PublicKey::parse(&line) {
        Ok(key) => Some(key.fingerprint()),
        Err(err) => {
            debug!(key.fingerprint = %key.fingerprint(HashAlg::Sha256), "refused a key: {err}");
            None
        }
    }
}

/// Certificates, passwords and everything else keep the trait's default: reject.
impl<D: Desk> Handler for Client<D> {
    type Error = Error;

    /// Spares a client the signature of a key that nobody knows. It has proven nothing yet and nothing is noted.
    async fn auth_publickey_offered(&mut self, _user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        match self.identify(offer.public_key, offer.algorithm).await {
            Some(_) => Ok(Auth::Accept),
            None => Ok(Auth::reject()),
        }
    }

    /// Binds the connection to the key that signed, whichever was offered before and whatever the user is called.
    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        let Some((fingerprint, caller)) = self.identify(key.public_key, key.algorithm).await else {
            return Ok(Auth::reject());
        };
        info!(client.addr = %self.peer, key.name = %caller.name, key.fingerprint = %fingerprint, "logged in over ssh");
        debug!(client.addr = %self.peer, "the user name given was {user:?}");
        self.desk.logged_in(&fingerprint).await;
        self.key = Some(fingerprint);
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, _russh: &mut Russh) -> Result<(), Error> {
        self.signs.logged_in.cancel();
        Ok(())
    }

    async fn channel_open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, _russh: &mut Russh) -> Result<(), Error> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let Some(slot) = slot.ok().filter(|_| !self.signs.shutdown.is_cancelled()) else {
            debug!(client.addr = %self.peer, "refused a session: too many, or the server stops");
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        self.openings.insert(channel.id(), Opening::new(channel, slot, &self.signs.cut, &self.signs.tasks));
        reply.accept().await;
        Ok(())
    }

    /// Forgets a channel that was opened and never used; a session notices by itself.
    async fn channel_close(&mut self, id: ChannelId, _russh: &mut Russh) -> Result<(), Error> {
        self.openings.remove(&id);
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, line: &[u8], russh: &mut Russh) -> Result<(), Error> {
        self.start(id, Request::parse(line), russh).await
    }

    async fn shell_request(&mut self, id: ChannelId, russh: &mut Russh) -> Result<(), Error> {
        self.start(id, Request::Words(Vec::new()), russh).await
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        cols: u32,
        rows: u32,
        _pixel_width: u32,
        _pixel_height: u32,
        _modes: &[(Pty, u32)],
        russh: &mut Russh,
    ) -> Result<(), Error> {
        let Some(opening) = self.openings.get_mut(&id) else { return russh.channel_failure(id) };
        opening.set_terminal(cols, rows, term);
        russh.channel_success(id)
    }

    /// Takes `GIT_PROTOCOL` and nothing else: variables such as `GIT_SSH_COMMAND` or `LD_PRELOAD` run programs.
    async fn env_request(&mut self, id: ChannelId, name: &str, value: &str, russh: &mut Russh) -> Result<(), Error> {
        let opening = self.openings.get_mut(&id).filter(|_| name == "GIT_PROTOCOL");
        if opening.is_some_and(|opening| opening.set_git_protocol(value)) {
            return russh.channel_success(id);
        }
        debug!(client.addr = %self.peer, "refused the environment variable {name:?}");
        russh.channel_failure(id)
    }

    // russh answers neither of these two by itself, and a client waits for the answer.
    async fn subsystem_request(&mut self, id: ChannelId, name: &str, russh: &mut Russh) -> Result<(), Error> {
        debug!(client.addr = %self.peer, "refused the subsystem {name:?}");
        russh.channel_failure(id)
    }

    async fn x11_request(&mut self, id: ChannelId, _: bool, _: &str, _: &str, _: u32, russh: &mut Russh) -> Result<(), Error> {
        russh.channel_failure(id)
    }
}
