//! One small HTTP request from the host to a container: is anybody there?

use std::io::ErrorKind;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::Protocol;
use crate::model::limits::PROBE_TIMEOUT;

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It speaks HTTP; this is the status.
    Answered(u16),
    /// Nothing listens there, or it cannot be reached.
    Refused,
    /// It did not answer within `PROBE_TIMEOUT`.
    TimedOut,
    /// It took the connection and closed it without an answer.
    Closed,
    /// It answered something else than HTTP, or than the version in which it was asked.
    NotHttp,
}

/// Runs what belongs to one connection, until the probe is over.
#[derive(Clone)]
struct Beside {
    tasks: TaskTracker,
    over: CancellationToken,
}

const AGENT: &str = "mini-probe";

/// Asks `GET path` of an address once, within `PROBE_TIMEOUT`. The connection is closed afterwards, the body is not read.
pub async fn probe(address: SocketAddr, protocol: Protocol, host: &str, path: &str) -> Probe {
    tokio::time::timeout(PROBE_TIMEOUT, attempt(address, protocol, host, path)).await.unwrap_or(Probe::TimedOut)
}

async fn attempt(address: SocketAddr, protocol: Protocol, host: &str, path: &str) -> Probe {
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(err) if err.kind() == ErrorKind::TimedOut => return Probe::TimedOut,
        Err(_) => return Probe::Refused,
    };
    match protocol {
        Protocol::Http1 => over_http1(stream, host, path).await,
        Protocol::H2c => over_http2(stream, host, path).await,
    }
}

async fn over_http1(stream: TcpStream, host: &str, path: &str) -> Probe {
    let request = Request::get(path).header(HOST, host).header(USER_AGENT, AGENT).header(CONNECTION, "close");
    let (Ok((mut sender, connection)), Ok(request)) = (http1::handshake(TokioIo::new(stream)).await, request.body(Empty::<Bytes>::new()))
    else {
        return Probe::NotHttp;
    };
    // The connection is driven right here: when the answer is in, both are dropped and nothing runs on.
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    };
    match answer {
        Ok(response) => Probe::Answered(response.status().as_u16()),
        Err(err) if err.is_parse() => Probe::NotHttp,
        Err(_) => Probe::Closed,
    }
}

async fn over_http2(stream: TcpStream, host: &str, path: &str) -> Probe {
    let over = CancellationToken::new();
    let _until_the_end = over.clone().drop_guard();
    let beside = Beside { tasks: TaskTracker::new(), over };
    let request = Request::get(format!("http://{host}{path}")).header(USER_AGENT, AGENT).body(Empty::<Bytes>::new());
    let (Ok((mut sender, connection)), Ok(request)) = (http2::handshake(beside.clone(), TokioIo::new(stream)).await, request) else {
        return Probe::NotHttp;
    };
    beside.execute(async { drop(connection.await) });
    sender.send_request(request).await.map_or(Probe::NotHttp, |response| Probe::Answered(response.status().as_u16()))
}

// === impl Beside ===

impl<F> Executor<F> for Beside
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let over = self.over.clone();
        self.tasks.spawn(async move { drop(over.run_until_cancelled(task).await) });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Probes a peer that reads a request and answers `answer`, or nothing; returns what it read too.
    async fn probe_peer(answer: Option<&'static [u8]>) -> (Probe, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            if let Some(answer) = answer {
                stream.write_all(answer).await.unwrap();
            }
            String::from_utf8_lossy(&head[..length]).into_owned()
        };
        tokio::join!(probe(address, Protocol::Http1, "blog.localhost", "/up?x=1"), peer)
    }

    #[tokio::test]
    async fn who_speaks_http2_is_asked_in_it_and_who_does_not_has_not_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let beside = Beside { tasks: TaskTracker::new(), over: CancellationToken::new() };
        let peer = async {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async move {
                let (uri, version) = (request.uri().to_string(), request.version());
                let is_asked = uri == "http://blog.localhost/up?x=1" && version == hyper::Version::HTTP_2;
                hyper::Response::builder().status(if is_asked { 418 } else { 400 }).body(Empty::<Bytes>::new())
            });
            let served = hyper::server::conn::http2::Builder::new(beside.clone()).serve_connection(TokioIo::new(stream), service);
            let _ = served.await;
        };

        let (answer, ()) = tokio::join!(probe(address, Protocol::H2c, "blog.localhost", "/up?x=1"), peer);
        assert_eq!(answer, Probe::Answered(418));

        let old = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        };
        assert_eq!(tokio::join!(probe(address, Protocol::H2c, "blog.localhost", "/"), old).0, Probe::NotHttp);
    }

    #[tokio::test]
    async fn a_status_is_an_answer() {
        let (answer, head) = probe_peer(Some(b"HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nhel")).await;

        assert_eq!(answer, Probe::Answered(503));
        assert!(head.starts_with("GET /up?x=1 HTTP/1.1\r\nhost: blog.localhost\r\n"), "{head}");
    }

    #[tokio::test]
    async fn other_protocols_and_silence_are_told_apart() {
        assert_eq!(probe_peer(Some(b"SSH-2.0-OpenSSH_9.2\r\n")).await.0, Probe::NotHttp);
        assert_eq!(probe_peer(None).await.0, Probe::Closed);
    }

    #[tokio::test]
    async fn nobody_there_is_refused_and_a_mute_peer_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();

        assert_eq!(probe(address, Protocol::Http1, "a", "/").await, Probe::TimedOut);
        drop(listener);
        assert_eq!(probe(address, Protocol::Http1, "a", "/").await, Probe::Refused);
    }
}
