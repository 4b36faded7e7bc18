//! A call that turns its connection into a program's own stream, in both directions.
//!
//! bollard can do this too, and then takes a terminal's output for its frames: a program that prints the right eight bytes
//! would make it wait for 4 GiB.

use bollard::errors::Error as Refusal;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{Engine, failure};
use crate::error::Result;

/// A refusal is a sentence in JSON.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// The connection of an attached program. Shutting it down for writing ends the program's input.
pub(super) type Stream = TokioIo<Upgraded>;

#[derive(Deserialize)]
struct Message {
    message: String,
}

impl Engine {
    /// Posts `body` to `path` and takes the connection over, within the answer deadline.
    pub(super) async fn hijack(&self, path: &str, body: Vec<u8>) -> Result<Stream> {
        let request = Request::post(path)
            .header(HOST, "docker")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            .body(Full::from(body))
            .expect("a path of hex digits and known words is a request");
        let deadline = self.inner.answer;
        let taken = tokio::time::timeout(deadline, self.take_over(request)).await;
        taken.map_err(|_| failure::silent(deadline))?.map_err(|err| self.explain(err))
    }

    async fn take_over(&self, request: Request<Full<Bytes>>) -> Result<Stream, Refusal> {
        let stream = UnixStream::connect(self.socket()).await;
        let stream = stream.map_err(|_| Refusal::SocketNotFoundError(self.socket().display().to_string()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let upgrade = async move {
            let answer = sender.send_request(request).await.map_err(broken)?;
            match answer.status() {
                StatusCode::SWITCHING_PROTOCOLS => hyper::upgrade::on(answer).await.map_err(broken),
                _ => Err(refusal(answer).await),
            }
        };
        // Driven right here: the connection is over when it is handed out, or when its sender is gone.
        let (upgraded, _) = tokio::join!(upgrade, connection.with_upgrades());
        upgraded.map(TokioIo::new)
    }
}

async fn refusal(answer: Response<Incoming>) -> Refusal {
    let status_code = answer.status().as_u16();
    let body =
        Limited::new(answer.into_body(), MAX_REFUSAL_BYTES).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = serde_json::from_slice(&body).map(|Message { message }| message);
    Refusal::DockerResponseServerError { status_code, message: message.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned()) }
}

fn broken(err: hyper::Error) -> Refusal {
    Refusal::IOError { err: std::io::Error::other(err) }
}
