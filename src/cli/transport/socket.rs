//! The way to a server on this machine: its private socket.

use std::path::Path;

use tokio::net::UnixStream;

use super::frames::{self, Failure};
use super::{Ask, Show};
use crate::error::{Error, Result};

pub async fn exchange(socket: &Path, ask: Ask, show: Show<'_>) -> Result<u8> {
    let stream = UnixStream::connect(socket).await.map_err(|err| no_server(socket, err))?;
    let (from, to) = stream.into_split();
    frames::exchange(from, to, ask, show).await.map_err(|failure| match failure {
        Failure::Said(err) => err,
        Failure::Cut(err) => Error::failed("the server cut the connection").hint("see what it says in its own log").because(err),
    })
}

fn no_server(socket: &Path, err: std::io::Error) -> Error {
    let place = socket.parent().unwrap_or(socket).display();
    if err.kind() == std::io::ErrorKind::PermissionDenied {
        return Error::not_allowed(format!("the server in {place} belongs to another user"))
            .hint("use sudo, or reach it with your key: mini config set-host ssh://localhost:2222")
            .because(err);
    }
    Error::unavailable(format!("no server answers in {place}"))
        .hint("start it with `mini server`, or name its data dir: MINI_DATA=DIR mini …")
        .because(err)
}
