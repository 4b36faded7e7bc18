//! Ends a connection from outside, whatever russh is waiting for.

use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::os::fd::AsFd;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// A second handle of a connection's socket.
///
/// russh has no login deadline, reads no `disconnect` during a key exchange, and its task lives on when its handle is
/// dropped. A socket that is shut down ends it in every state.
pub(super) struct KillSwitch {
    socket: StdTcpStream,
    cut: CancellationToken,
}

// === impl KillSwitch ===

impl KillSwitch {
    pub fn new(socket: &TcpStream) -> std::io::Result<Self> {
        let socket = StdTcpStream::from(socket.as_fd().try_clone_to_owned()?);
        Ok(KillSwitch { socket, cut: CancellationToken::new() })
    }

    /// Returns the sign that everything on this connection has to end.
    pub fn cut_sign(&self) -> &CancellationToken {
        &self.cut
    }

    /// Ends the connection now. A socket that the client has already closed is fine.
    pub fn cut(&self) {
        self.cut.cancel();
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A connection whose owner is gone ends with it.
impl Drop for KillSwitch {
    fn drop(&mut self) {
        self.cut();
    }
}
