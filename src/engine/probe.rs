//! One small HTTP request from the host to a container: is anybody there?

use std::io::ErrorKind;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

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
    /// It answered something else than HTTP.
    NotHttp,
}

/// Asks `GET path` of an address once, within `PROBE_TIMEOUT`. The connection is closed afterwards, the body is not read.
pub async fn probe(address: SocketAddr, host: &str, path: &str) -> Probe {
    tokio::time::timeout(PROBE_TIMEOUT, attempt(address, host, path)).await.unwrap_or(Probe::TimedOut)
}

async fn attempt(address: SocketAddr, host: &str, path: &str) -> Probe {
    let stream = match TcpStream::connect(address).await {
        Ok(stream) => stream,
        Err(err) if err.kind() == ErrorKind::TimedOut => return Probe::TimedOut,
        Err(_) => return Probe::Refused,
    };
    let request = Request::get(path).header(HOST, host).header(USER_AGENT, "mini-probe").header(CONNECTION, "close");
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
        tokio::join!(probe(address, "blog.localhost", "/up?x=1"), peer)
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

        assert_eq!(probe(address, "a", "/").await, Probe::TimedOut);
        drop(listener);
        assert_eq!(probe(address, "a", "/").await, Probe::Refused);
    }
}
