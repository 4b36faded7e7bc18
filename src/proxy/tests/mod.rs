//! The proxy over real sockets: raw clients in front, raw apps behind, all on loopback and bounded in time.

mod answers;
mod doorway;
mod holds;
mod http2;
mod lifecycle;
mod limits;
mod misbehaviour;
mod streams;
mod tls;
mod upstreams;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Limits, Proxy};
use crate::error::Result;
use crate::model::{AppId, Version};
use crate::route::{Doorway, Drained, Edge, Lease, Protocol, Release, Routes, Target, Traffic};

const PATIENCE: Duration = Duration::from_secs(10);

/// A websocket's opening.
const WEBSOCKET: &str = "GET /ws HTTP/1.1\r\nHost: blog.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A served proxy with one app, `blog`.
struct Rig {
    address: SocketAddr,
    routes: Routes,
    id: AppId,
    shutdown: CancellationToken,
    served: JoinHandle<Result<()>>,
    /// Where TLS is spoken.
    https: SocketAddr,
}

/// An app in the test: every connection is given to a handler. Dropping it hangs up on everybody.
struct App {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

// === impl Rig ===

impl Rig {
    async fn start() -> Rig {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Limits)) -> Rig {
        Self::start_before(None, change).await
    }

    /// Starts a proxy before whatever takes streams in behind `doorway`.
    async fn start_before(doorway: Option<Doorway>, change: impl FnOnce(&mut Limits)) -> Rig {
        let (routes, id) = (Routes::new(None).unwrap(), AppId::random());
        routes.add_app("blog".parse().unwrap(), id.clone());
        let mut proxy = Proxy { doorway, ..Proxy::new(routes.clone()) };
        proxy.limits.per_address = 0;
        change(&mut proxy.limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let https = second.local_addr().unwrap();
        let proxy = proxy.with_https(second).unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = TaskTracker::new().spawn(proxy.serve(listener, shutdown.clone()));
        Rig { address, routes, id, shutdown, served, https }
    }

    fn switch(&self, version: u32, upstream: SocketAddr) -> (Drained, Option<Lease>) {
        self.switch_to(version, &[upstream])
    }

    fn switch_to(&self, version: u32, upstreams: &[SocketAddr]) -> (Drained, Option<Lease>) {
        let (release, drained) = Release::new("blog".parse().unwrap(), self.id.clone(), Version(version), upstreams.to_vec());
        (drained, self.routes.switch(&self.id, release))
    }

    /// Gives `blog` this long to the first byte of its answers.
    fn expect_first_byte_within(&self, time: Duration) {
        self.routes.set_edge(&self.id, &Edge { first_byte: Some(time), ..Edge::default() });
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request and returns everything until the proxy closes.
    async fn talk(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    /// Sends a plain GET for `blog` that ends the connection.
    async fn get(&self, path: &str) -> String {
        self.talk(&format!("GET {path} HTTP/1.1\r\nhost: blog.localhost\r\nconnection: close\r\n\r\n")).await
    }

    /// Sends a POST for `blog` with a small body that ends the connection.
    async fn post(&self, body: &str) -> String {
        let length = body.len();
        self.talk(&format!("POST / HTTP/1.1\r\nhost: blog.localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")).await
    }

    fn lease(&self) -> Lease {
        match self.routes.lookup(&"blog.localhost".parse().unwrap()) {
            Target::Upstream(lease) => lease,
            _ => panic!("no release answers"),
        }
    }

    /// Returns how many requests wait while `blog` is held.
    fn waiting(&self) -> usize {
        match self.routes.lookup(&"blog.localhost".parse().unwrap()) {
            Target::Held { waiting_room, .. } => waiting_room.taken(),
            Target::Upstream(lease) => lease.waiting_room().taken(),
            _ => 0,
        }
    }

    fn traffic(&self) -> Traffic {
        self.routes.traffic(&self.id)
    }
}

// === impl App ===

impl App {
    async fn start<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> App
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), handle)
    }

    fn start_on<F>(listener: TcpListener, handle: impl Fn(TcpStream) -> F + Send + 'static) -> App
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (mut tasks, count) = (JoinSet::new(), Arc::clone(&connections));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(handle(stream));
            }
        });
        App { address, connections, _tasks: tasks }
    }

    /// An app that answers every request of a connection with `body`.
    async fn saying(body: &'static str) -> App {
        Self::saying_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), body)
    }

    fn saying_on(listener: TcpListener, body: &'static str) -> App {
        Self::start_on(listener, move |mut stream| async move {
            while read_whole(&mut stream).await.is_some() {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    }

    /// An app that keeps every request waiting until `go`, and then answers with `body`.
    async fn waiting_for(go: &CancellationToken, body: &'static str) -> App {
        let go = go.clone();
        Self::start(move |mut stream| {
            let go = go.clone();
            async move {
                while read_whole(&mut stream).await.is_some() {
                    go.cancelled().await;
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        })
        .await
    }

    /// An app that answers one request of each connection with these bytes and closes.
    async fn answering(bytes: &'static str) -> App {
        Self::start(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(bytes.as_bytes()).await;
        })
        .await
    }

    /// An app that answers with the head that it got.
    async fn echoing_heads() -> App {
        Self::start(|mut stream| async move {
            let head = read_head(&mut stream).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads up to the empty line, a byte at a time so that nothing of what follows is taken; `None` at the end of the stream.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("a head within patience").ok()?;
        head.push(byte);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Reads a request or a keep-alive answer with its body, which is as long as `content-length` says.
async fn read_whole(stream: &mut TcpStream) -> Option<String> {
    let head = read_head(stream).await?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
    Some(head + &read_bytes(stream, length).await)
}

async fn read_answer(stream: &mut TcpStream) -> Option<String> {
    read_whole(stream).await
}

async fn read_bytes(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("bytes within patience").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads until the end of the stream; a reset ends it too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the end within patience");
    String::from_utf8(bytes).unwrap()
}

/// A port of loopback that is taken, and refuses.
struct Closed(TcpSocket);

impl Closed {
    fn new() -> Closed {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Closed(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Takes connections from now on.
    fn open(self) -> TcpListener {
        self.0.listen(128).unwrap()
    }
}

/// Waits until a fact holds.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "expected {status}: {answer}");
}
