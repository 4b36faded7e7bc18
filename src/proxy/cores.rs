//! A thread for each core, with a runtime, connections and pools of its own.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener as StdListener;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use hyper::header::HeaderValue;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::accept::{self, Listener, Listeners};
use super::admission::Admission;
use super::deal::{Deal, Dealt};
use super::ending::{Call, Cohort};
use super::ids::Ids;
use super::keepalive::watch_peer;
use super::pool::Pool;
use super::tls::Tls;
use super::{Limits, Proxy, TrustedProxies, connection};
use crate::error::{Error, Result};
use crate::route::{AccessWriter, Doorway, Routes};

/// What the connections of one core share.
pub(super) struct Shared {
    pub(super) routes: Routes,
    /// Where this core tells of requests.
    pub(super) access: AccessWriter,
    /// The way to the API, for requests to the server itself.
    pub(super) doorway: Option<Doorway>,
    /// Spoken at the second entrance, if there is one, which is at this port.
    pub(super) tls: Option<Tls>,
    pub(super) https_port: Option<u16>,
    pub(super) limits: Limits,
    pub(super) trusted: TrustedProxies,
    pub(super) pool: Rc<Pool>,
    pub(super) admission: Arc<Admission>,
    pub(super) deal: Deal,
    /// Connections of before the stop, and tunnels.
    pub(super) cohort: Rc<Cohort>,
    pub(super) http1: hyper::server::conn::http1::Builder,
    ids: RefCell<Ids>,
}

/// Serves on every core until `shutdown` and the end of all connections.
pub(super) async fn serve(proxy: Proxy, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
    let unfit = |err| Error::setup("the proxy cannot share its listening socket between cores").because(err);
    let admission = Admission::new(proxy.limits.per_address, proxy.limits.connections);
    let mut cores = Vec::new();
    for (deal, dealt) in Deal::between(count()) {
        let http = duplicate(&listener).map_err(unfit)?;
        let https = proxy.https.as_ref().map(|https| duplicate(&https.listener)).transpose().map_err(unfit)?;
        let core = Core { proxy: proxy.clone(), http, https, deal, dealt, admission: Arc::clone(&admission), shutdown: shutdown.clone() };
        cores.push(core.start()?);
    }
    // Each core lets go of its duplicates when it takes nobody in any more: these would keep the ports.
    drop((listener, proxy));
    for core in cores {
        let ended = core.await.map_err(|err| Error::failed("a core of the proxy ended before its time").because(err))?;
        ended.map_err(|err| Error::setup("a core of the proxy could not start").because(err))?;
    }
    Ok(())
}

/// A second descriptor of the same socket, for another core's runtime; its connections inherit what [`watch_peer`] sets.
fn duplicate(listener: &TcpListener) -> io::Result<StdListener> {
    watch_peer(listener)?;
    listener.as_fd().try_clone_to_owned().map(StdListener::from)
}

fn count() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a core starts with.
struct Core {
    proxy: Proxy,
    http: StdListener,
    https: Option<StdListener>,
    deal: Deal,
    dealt: Dealt,
    admission: Arc<Admission>,
    shutdown: CancellationToken,
}

// === impl Core ===

impl Core {
    /// Starts the thread; what is returned resolves when it has ended, to an error if it panicked.
    fn start(self) -> Result<oneshot::Receiver<io::Result<()>>> {
        let (done, ended) = oneshot::channel();
        let thread = thread::Builder::new().name("proxy".into());
        let started = thread.spawn(move || drop(done.send(self.run())));
        started.map_err(|err| Error::setup("a thread of the proxy could not start").because(err))?;
        Ok(ended)
    }

    fn run(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            let https = self.https.map(Listener::from_std).transpose()?;
            let listeners = Listeners { http: Listener::from_std(self.http)?, https };
            let shared = Rc::new(Shared::new(self.proxy, self.admission, self.deal));
            accept::serve(shared, listeners, self.dealt, self.shutdown).await;
            Ok(())
        })
    }
}

// === impl Shared ===

impl Shared {
    fn new(proxy: Proxy, admission: Arc<Admission>, deal: Deal) -> Shared {
        Shared {
            pool: Rc::new(Pool::new(proxy.limits.idle)),
            access: proxy.routes.access().writer(),
            routes: proxy.routes,
            doorway: proxy.doorway,
            tls: proxy.https.as_ref().map(|https| https.tls.clone()),
            https_port: proxy.https.as_ref().map(|https| https.port),
            limits: proxy.limits,
            trusted: proxy.trusted,
            admission,
            deal,
            cohort: Cohort::new(Call::GoOn),
            http1: connection::http1(),
            ids: RefCell::new(Ids::new()),
        }
    }

    /// Whether the proxy is to end: requests finish, nothing new begins.
    pub(super) fn is_stopping(&self) -> bool {
        self.cohort.is_called(Call::Finish)
    }

    pub(super) fn request_id(&self) -> HeaderValue {
        self.ids.borrow_mut().next()
    }
}
