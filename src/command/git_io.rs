//! The two git services and the streams over which they are spoken: protocol, not vocabulary.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{Look, render_error};
use crate::error::Error;

/// What a git client asks of the other side (gitprotocol-pack(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitService {
    /// `git push`
    ReceivePack,
    /// `git clone`, `git fetch`
    UploadPack,
}

/// One session of a git service: the client's streams and the signs of its presence.
pub struct GitIo {
    /// The value of `GIT_PROTOCOL` if the client sent `version=0`, `1` or `2`.
    pub protocol: Option<String>,
    /// Bytes from the client; ends when the client closes its side.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Cancelled when the client has left, whether it closed, was killed or its network went.
    pub gone: CancellationToken,
}

// === impl GitIo ===

impl GitIo {
    /// Tells the client why git is not even started; a client that has left misses nothing.
    pub async fn tell(&mut self, err: &Error) {
        let _ = self.stderr.write_all(render_error(err, &Look::default()).as_bytes()).await;
        let _ = self.stderr.flush().await;
    }
}
