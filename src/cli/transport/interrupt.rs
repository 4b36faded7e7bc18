//! The signals that end a call.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Error, Result};

/// Waits for Ctrl-C, a hang-up or a polite kill, and returns 128 and the signal's number.
pub async fn signalled() -> Result<u8> {
    let listen = |kind| signal(kind).map_err(|err| Error::failed("signals cannot be heard").because(err));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
        _ = hangup.recv() => 129,
    })
}
