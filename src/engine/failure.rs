//! What the engine's refusals and silences mean to a person.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bollard::errors::Error as Refusal;

use crate::error::{Error, Kind};

const ADDRESS_TAKEN: &str = "Address already in use";

/// Returns the HTTP status with which the engine refused, if it was a refusal.
pub(super) fn status(err: &Refusal) -> Option<u16> {
    match err {
        Refusal::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Makes the absence of a thing a fact instead of a failure.
pub(super) fn absent_is_none<T>(answer: Result<T, Refusal>) -> Result<Option<T>, Refusal> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(err) if status(&err) == Some(404) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Tells whether a container could not start because another one has its address.
pub fn is_address_taken(err: &Error) -> bool {
    err.kind() == Kind::Busy && err.sentence().contains(ADDRESS_TAKEN)
}

/// The engine took the call and never answered.
pub(super) fn silent(deadline: Duration) -> Error {
    Error::unavailable(format!("the Docker Engine did not answer in {} s", deadline.as_secs()))
        .hint("look at `docker info` and `journalctl -u docker` on the server")
}

/// Says in a sentence why a call failed.
pub(super) fn explain(socket: &Path, answer: Duration, err: Refusal) -> Error {
    match &err {
        Refusal::RequestTimeoutError => silent(answer),
        Refusal::SocketNotFoundError(_) => absent(socket).because(err),
        Refusal::HyperLegacyError { err: connect } if connect.is_connect() => unreachable(socket, err),
        Refusal::DockerResponseServerError { status_code, message } => {
            let sentence = format!("the Docker Engine refused: {}", message.trim());
            Error::new(refusal_kind(*status_code, message), sentence).because(err)
        }
        Refusal::DockerStreamError { error } => Error::failed(format!("the Docker Engine failed: {}", error.trim())).because(err),
        _ => Error::unavailable("the Docker Engine broke off its answer").because(err),
    }
}

fn absent(socket: &Path) -> Error {
    Error::unavailable(format!("no Docker Engine answers at {}", socket.display())).hint("start Docker: systemctl start docker")
}

fn unreachable(socket: &Path, err: Refusal) -> Error {
    if io_kind(&err) == Some(ErrorKind::PermissionDenied) {
        let sentence = format!("the server's user may not talk to the Docker Engine at {}", socket.display());
        return Error::unavailable(sentence).hint("add that user to the group `docker` and start the server again").because(err);
    }
    absent(socket).because(err)
}

fn io_kind(err: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let mut cause = Some(err);
    while let Some(err) = cause {
        if let Some(io) = err.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = err.source();
    }
    None
}

fn refusal_kind(status: u16, message: &str) -> Kind {
    match status {
        404 => Kind::NotFound,
        409 => Kind::Busy,
        _ if message.contains(ADDRESS_TAKEN) => Kind::Busy,
        _ => Kind::Failed,
    }
}
