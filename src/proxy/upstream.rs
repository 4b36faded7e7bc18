//! One HTTP/1.1 connection to an app, or to the API. It has no task: whoever waits for its answer moves it, and dropping it hangs up.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::alarm::Alarm;
use super::keepalive::watch_peer;
use super::multiplex::Stream;
use super::tap::Tap;
use super::upload::{UploadBody, UploadWatch};
use super::upstream_io::{UpstreamIo, Wire};

/// A connection to an app: hyper's two halves kept together. It is large, and therefore boxed where it moves.
pub(super) struct Link {
    sender: SendRequest<UploadBody>,
    wire: Connection<TokioIo<UpstreamIo>, UploadBody>,
    is_finished: bool,
    alarm: Alarm,
    pub(super) tap: Tap,
}

/// What brings an answer.
pub(super) enum Carrier {
    /// A connection that it has to itself.
    Link(Box<Link>),
    /// A part of one.
    Stream(Stream),
}

/// Why there is no answer of the app.
pub(super) enum Failure {
    /// Nobody listens at the app's address.
    Refused(std::io::Error),
    /// The app closed the connection, or spoke something that is not HTTP; `unsent` holds a request of which no byte left.
    Cut(hyper::Error, Option<Box<Request<UploadBody>>>),
    /// The app took too long to accept or to answer.
    Late,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(err) => write!(f, "{err}"),
            Failure::Cut(err, _) => write!(f, "{err}"),
            Failure::Late => f.write_str("not in time"),
        }
    }
}

// === impl Failure ===

impl Failure {
    /// Whether it says something about the upstream, and not about us: without descriptors or ports nobody can be reached.
    pub(super) fn is_of_upstream(&self) -> bool {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
        match self {
            Failure::Refused(err) => matches!(
                err.kind(),
                ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut
            ),
            Failure::Cut(..) | Failure::Late => true,
        }
    }
}

// === impl Link ===

impl Link {
    /// Connects to an app.
    pub(super) async fn open(address: SocketAddr, deadline: Duration) -> Result<Box<Link>, Failure> {
        let stream = timeout(deadline, TcpStream::connect(address)).await.map_err(|_| Failure::Late)?.map_err(Failure::Refused)?;
        watch_peer(&stream).map_err(Failure::Refused)?;
        Self::over(Wire::Tcp(stream)).await
    }

    /// Takes a stream through the doorway.
    pub(super) async fn through(stream: DuplexStream) -> Result<Box<Link>, Failure> {
        Self::over(Wire::Doorway(stream)).await
    }

    async fn over(wire: Wire) -> Result<Box<Link>, Failure> {
        let tap = Tap::default();
        let io = TokioIo::new(UpstreamIo::new(wire, tap.clone()));
        let (sender, wire) = Builder::new().handshake(io).await.map_err(|err| Failure::Cut(err, None))?;
        Ok(Box::new(Link { sender, wire, is_finished: false, alarm: Alarm::default(), tap }))
    }

    /// Hands a request over; [`Self::receive`] is what sends it.
    pub(super) fn send(&mut self, request: Request<UploadBody>) -> impl Future<Output = Arrival> + use<> {
        self.sender.try_send_request(request)
    }

    /// Sends the request and waits for the head of its answer, at most `patience` after the app took the last byte of the upload.
    pub(super) async fn receive(
        &mut self,
        mut answer: Pin<&mut impl Future<Output = Arrival>>,
        upload: Option<&UploadWatch>,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, Failure> {
        let (wire, is_finished) = (&mut self.wire, &mut self.is_finished);
        let arrival = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            drive(wire, is_finished, cx);
            answer.as_mut().poll(cx)
        });
        await_head(arrival, upload, patience, &mut self.alarm).await
    }

    /// Lets the connection read and write what it can.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.wire, &mut self.is_finished, cx);
    }

    /// Whether the next request can go on this connection; notices an app that hung up meanwhile.
    pub(super) fn is_ready(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.is_finished && self.sender.is_ready()
    }

    /// Takes the socket back after a 101, with the bytes that were already read from it.
    pub(super) fn into_wire(self) -> (Wire, Bytes) {
        let parts = self.wire.into_parts();
        (parts.io.into_inner().into_wire(), parts.read_buf)
    }
}

fn drive(wire: &mut Connection<TokioIo<UpstreamIo>, UploadBody>, is_finished: &mut bool, cx: &mut Context<'_>) {
    // Errors reach the one who waits for the answer or its body.
    if !*is_finished && Pin::new(wire).poll(cx).is_ready() {
        *is_finished = true;
    }
}

// === impl Stream ===

impl Stream {
    /// Sends a request and waits for the head of its answer, as [`Link::receive`] does.
    pub(super) async fn send(
        &mut self,
        request: Request<UploadBody>,
        upload: Option<&UploadWatch>,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, Failure> {
        await_head(self.connection.sender().try_send_request(request), upload, patience, &mut Alarm::default()).await
    }
}

pub(super) type Arrival = Result<Response<Incoming>, TrySendError<Request<UploadBody>>>;

/// Waits at most `patience` after the app took the last byte of the upload; `None`: any time.
async fn await_head(
    arrival: impl Future<Output = Arrival>,
    upload: Option<&UploadWatch>,
    patience: Option<Duration>,
    alarm: &mut Alarm,
) -> Result<Response<Incoming>, Failure> {
    let Some(patience) = patience else { return arrival.await.map_err(cut) };
    let mut arrival = pin!(arrival);
    let mut deadline = Instant::now() + patience;
    loop {
        tokio::select! {
            biased;
            answer = arrival.as_mut() => return answer.map_err(cut),
            () = poll_fn(|cx| alarm.poll(cx, deadline)) => {}
        }
        let left = patience.saturating_sub(upload.map_or(patience, UploadWatch::idle));
        if left.is_zero() {
            return Err(Failure::Late);
        }
        deadline = Instant::now() + left;
    }
}

fn cut(mut err: TrySendError<Request<UploadBody>>) -> Failure {
    let unsent = err.take_message().map(Box::new);
    Failure::Cut(err.into_error(), unsent)
}
