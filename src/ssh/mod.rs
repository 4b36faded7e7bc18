//! The SSH door: a key that signed becomes a Caller, a command line becomes a git service or words; nothing is decided here.
//!
//! `server` accepts → `connection`: a seat by `admission`, a login in time → `handler`: keys, channels, requests →
//! `request`: the command line → `session`: the desk's work between `input` and `output`, the halves of a channel.

mod admission;
mod config;
mod connection;
mod desk;
mod eager;
mod handler;
mod host_key;
mod input;
mod kill_switch;
mod output;
mod presence;
mod request;
mod server;
mod session;
mod terminal;
#[cfg(test)]
mod tests;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::command::{GitIo, GitService};
use crate::model::{Caller, Fingerprint};

pub use host_key::HostKey;
pub use server::SshServer;
pub use terminal::Terminal;

/// The desk that this door speaks to.
pub trait Desk: Clone + Send + Sync + 'static {
    /// Returns the caller behind a key, or `None`. Asked for an offered key and *again* after its signature was checked.
    fn identify(&self, key: &Fingerprint) -> impl Future<Output = Option<Caller>> + Send;

    /// Notes that a key has signed and is in.
    fn logged_in(&self, key: &Fingerprint) -> impl Future<Output = ()> + Send;

    /// Serves a git service over `io` and returns its exit status.
    ///
    /// `repository` is what the client named, without one leading `/` or `~/`, one trailing `/` and one `.git`: it is not
    /// parsed yet.
    fn git(&self, caller: &Caller, service: GitService, repository: &str, io: GitIo) -> impl Future<Output = u32> + Send;

    /// Runs a command line that was split into words and returns its exit status; no words at all is `ssh host`: help.
    fn words(&self, caller: &Caller, words: Vec<String>, io: WordsIo) -> impl Future<Output = u32> + Send;
}

/// The streams of a command line and the signs of its client's presence.
///
/// What was written to `stdout` and `stderr` reaches the client in that order and before the exit status, flushed or not.
pub struct WordsIo {
    /// Bytes from the client. Its end is the client's own end; a client that vanished instead is an error.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Present when the client asked for a terminal (`ssh -t`, or `ssh host` alone).
    pub terminal: Option<Terminal>,
    /// Cancelled when the client has left or pressed ^C.
    pub gone: CancellationToken,
}
