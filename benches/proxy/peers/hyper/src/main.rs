//! The least that a proxy of hyper does: what is left of mini's costs when its rules, limits, lines and figures are taken away.
//!
//! As in mini each core has a runtime, connections and a pool of its own, and no connection to an app has a task. Nothing is judged,
//! nothing is stripped, nothing has a limit: a yardstick, not a proxy to use. `bare-hyper HTTP H2C ROUTES`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::{env, fs, future, io, thread};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1 as app;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A core's connections to apps, those that were used last on top.
type Pool = RefCell<HashMap<SocketAddr, Vec<Box<Link>>>>;

struct Core {
    routes: HashMap<Box<[u8]>, SocketAddr>,
    pool: Pool,
}

/// One connection to an app; whoever waits for its answer moves it.
struct Link {
    sender: app::SendRequest<Incoming>,
    wire: app::Connection<TokioIo<TcpStream>, Incoming>,
    is_finished: bool,
}

/// An app's answer, and the connection that brings it, which goes back into the pool at its end.
struct Answer {
    incoming: Incoming,
    held: Option<(Box<Link>, SocketAddr, Rc<Core>)>,
}

/// hyper wants what HTTP/2's connections spawn to be spawned by this.
#[derive(Clone)]
struct OnThisCore;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [http, h2c, routes] = &arguments[..] else { return Err(io::Error::other("bare-hyper HTTP H2C ROUTES")) };
    let (http, h2c) = (address(http)?, address(h2c)?);
    let routes = fs::read_to_string(routes)?;
    let cores = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let started: Vec<_> = (0..cores).map(|_| scope.spawn(|| run(http, h2c, &routes))).collect();
        started.into_iter().try_for_each(|core| core.join().unwrap_or_else(|_| Err(io::Error::other("a core panicked"))))
    })
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(io::Error::other)
}

fn run(http: SocketAddr, h2c: SocketAddr, routes: &str) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let routes = routes.lines().filter_map(|line| line.split_once(' '));
        let routes = routes.map(|(host, to)| Ok((host.as_bytes().into(), address(to)?))).collect::<io::Result<_>>()?;
        let core = Rc::new(Core { routes, pool: Pool::default() });
        tokio::try_join!(serve(&core, listen(http)?, false), serve(&core, listen(h2c)?, true)).map(drop)
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

async fn serve(core: &Rc<Core>, listener: TcpListener, is_http2: bool) -> io::Result<()> {
    loop {
        let (stream, client) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let core = Rc::clone(core);
        let client = HeaderValue::from_str(&client.ip().to_string()).map_err(io::Error::other)?;
        let service = service_fn(move |request| forward(Rc::clone(&core), client.clone(), request));
        let stream = TokioIo::new(stream);
        if is_http2 {
            spawn_local(async move { drop(http2::Builder::new(OnThisCore).serve_connection(stream, service).await) });
        } else {
            spawn_local(async move { drop(http1::Builder::new().serve_connection(stream, service).await) });
        }
    }
}

async fn forward(core: Rc<Core>, client: HeaderValue, mut request: Request<Incoming>) -> Result<Response<Answer>, Fault> {
    let host = match request.headers().get(HOST) {
        Some(host) => host.clone(),
        None => HeaderValue::from_str(request.uri().authority().map_or("", |authority| authority.as_str()))?,
    };
    let name = host.as_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
    let app = *core.routes.get(name).ok_or("there is no such host")?;
    let path = request.uri_mut().path_and_query().cloned().ok_or("a target is a path")?;
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.insert(const { HeaderName::from_static("x-forwarded-for") }, client);
    headers.insert(const { HeaderName::from_static("x-forwarded-proto") }, HeaderValue::from_static("http"));
    headers.insert(const { HeaderName::from_static("x-forwarded-host") }, host.clone());
    headers.insert(HOST, host);
    let standing = core.pool.borrow_mut().get_mut(&app).and_then(Vec::pop);
    let mut link = match standing {
        Some(link) => link,
        None => Link::open(app).await?,
    };
    let (mut head, incoming) = link.send(request).await?.into_parts();
    head.headers.remove(CONNECTION);
    let mut answer = Answer { incoming, held: Some((link, app, core)) };
    if answer.incoming.is_end_stream() {
        answer.end();
    }
    Ok(Response::from_parts(head, answer))
}

// === impl Link ===

impl Link {
    async fn open(address: SocketAddr) -> Result<Box<Link>, Fault> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, wire) = app::Builder::new().handshake(TokioIo::new(stream)).await?;
        Ok(Box::new(Link { sender, wire, is_finished: false }))
    }

    async fn send(&mut self, request: Request<Incoming>) -> hyper::Result<Response<Incoming>> {
        let mut answer = pin!(self.sender.send_request(request));
        let (wire, is_finished) = (&mut self.wire, &mut self.is_finished);
        future::poll_fn(|cx| {
            drive(wire, is_finished, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }
}

fn drive(wire: &mut app::Connection<TokioIo<TcpStream>, Incoming>, is_finished: &mut bool, cx: &mut Context<'_>) {
    *is_finished = *is_finished || Pin::new(wire).poll(cx).is_ready();
}

// === impl Answer ===

impl Answer {
    fn end(&mut self) {
        let Some((mut link, app, core)) = self.held.take() else { return };
        drive(&mut link.wire, &mut link.is_finished, &mut Context::from_waker(Waker::noop()));
        if !link.is_finished && link.sender.is_ready() {
            core.pool.borrow_mut().entry(app).or_default().push(link);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some((link, ..)) = &mut this.held else { return Poll::Ready(None) };
        let mut frame = Pin::new(&mut this.incoming).poll_frame(cx);
        if frame.is_pending() {
            drive(&mut link.wire, &mut link.is_finished, cx);
            frame = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        let frame = ready!(frame);
        if frame.is_none() || this.incoming.is_end_stream() {
            this.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

// === impl OnThisCore ===

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisCore {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}
