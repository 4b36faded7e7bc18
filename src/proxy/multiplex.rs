//! Connections that carry many requests at once: HTTP/2 without TLS to apps that ask for it (RFC 9113 §3.3).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::http2::OnThisCore;
use super::keepalive::watch_peer;
use super::tap::Tap;
use super::upload::UploadBody;
use super::upstream::Failure;
use super::upstream_io::{UpstreamIo, Wire};

/// One connection to an app, shared by the requests on it. Dropping the last handle ends it.
#[derive(Clone)]
pub(super) struct Multiplexed {
    sender: SendRequest<UploadBody>,
    /// Missing once it has ended.
    wire: Rc<RefCell<Option<Wiring>>>,
    load: Rc<Cell<usize>>,
}

type Wiring = Connection<TokioIo<UpstreamIo>, UploadBody, OnThisCore>;

/// A request on such a connection; dropped with its answer's body.
pub(super) struct Stream {
    pub(super) connection: Multiplexed,
}

/// Requests on one connection. Beyond these, or what the app allows (RFC 9113 §6.5.2), another one is opened: behind streams that stay
/// open a request would wait for ever.
const STREAMS: usize = 100;

const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// An app that vanished is noticed by a ping without an answer; only while requests are on the connection.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(20);

// === impl Multiplexed ===

impl Multiplexed {
    /// Connects to an app; `tasks` owns what moves the connection.
    pub(super) async fn open(address: SocketAddr, deadline: Duration, tasks: &TaskTracker) -> Result<Multiplexed, Failure> {
        let open = async {
            let stream = TcpStream::connect(address).await.map_err(Failure::Refused)?;
            watch_peer(&stream).map_err(Failure::Refused)?;
            let mut builder = Builder::new(OnThisCore(tasks.clone()));
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_PATIENCE);
            let io = TokioIo::new(UpstreamIo::new(Wire::Tcp(stream), Tap::default()));
            builder.handshake(io).await.map_err(|err| Failure::Cut(err, None))
        };
        let (sender, wire) = timeout(deadline, open).await.map_err(|_| Failure::Late)??;
        let wire = Rc::new(RefCell::new(Some(wire)));
        let moved = Rc::clone(&wire);
        tasks.spawn_local(async move {
            let ended = poll_fn(|cx| moved.borrow_mut().as_mut().map_or(Poll::Ready(Ok(())), |wire| Pin::new(wire).poll(cx))).await;
            // As long as it is there, its sender takes requests.
            moved.take();
            if let Err(err) = ended {
                tracing::debug!(error = %err, upstream = %address, "an HTTP/2 connection to an app ended");
            }
        });
        Ok(Multiplexed { sender, wire, load: Rc::default() })
    }

    pub(super) fn sender(&mut self) -> &mut SendRequest<UploadBody> {
        &mut self.sender
    }

    /// Takes a place for one more request, if there is one.
    pub(super) fn enter(&self) -> Option<Stream> {
        let most = self.wire.borrow().as_ref().map_or(0, |wire| wire.current_max_send_streams().min(STREAMS));
        let has_room = self.load.get() < most && self.is_open();
        has_room.then(|| {
            self.load.set(self.load.get() + 1);
            Stream { connection: self.clone() }
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.load.get() == 0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let load = &self.connection.load;
        load.set(load.get() - 1);
    }
}
