//! The three ways to a server; one call looks the same through each of them.

mod complaint;
mod feed;
mod frames;
mod http;
mod interrupt;
mod problem;
mod socket;
mod ssh;
mod tls;

use std::path::PathBuf;

pub use feed::{Feed, Sink, of_reader};
pub use http::ServerInfo;

use crate::command::{Answer, Command, Event, Terminal};
use crate::config::{HttpAddress, SshAddress};
use crate::error::{Error, Result};
use crate::model::Secret;

/// The way to a server.
#[derive(Clone, Debug)]
pub enum Transport {
    /// The private socket of a server on this machine.
    Socket(PathBuf),
    /// The system's `ssh`, with its agent, configuration and known hosts.
    Ssh(SshAddress),
    Http(HttpAddress, Option<Secret>),
}

/// What is asked.
pub struct Ask {
    pub command: Command,
    /// What the command reads; `None` when it reads nothing.
    pub input: Option<Feed>,
    /// This side's terminal, when both input and output are one.
    pub terminal: Option<Terminal>,
}

/// A part of the reply, or of the call's own progress.
pub enum Shown {
    Value(Answer),
    Event(Event),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// All of the input is on its way.
    Sent,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the server's exit code.
    Code(u8),
    /// By a signal to this process: 128 and its number. The connection is closed, so that the server cancels.
    Interrupted(u8),
}

type Show<'a> = &'a mut dyn FnMut(Shown);

// === impl Ask ===

impl Ask {
    /// Asks for something that needs neither input nor a terminal.
    pub fn plain(command: Command) -> Self {
        Ask { command, input: None, terminal: None }
    }
}

// === impl Transport ===

impl Transport {
    /// Sends the command, shows its reply as it comes and returns how it ended. Errors: the server's own, or no way to it.
    pub fn call(&self, ask: Ask, show: &mut dyn FnMut(Shown)) -> Result<Ending> {
        block_on(async {
            let exchange = async {
                match self {
                    Transport::Socket(path) => socket::exchange(path, ask, show).await,
                    Transport::Ssh(address) => Box::pin(ssh::exchange(address, ask, show)).await,
                    Transport::Http(address, key) => Box::pin(http::exchange(address, key.as_ref(), ask, show)).await,
                }
            };
            tokio::select! {
                biased;
                signal = interrupt::signalled() => Ok(Ending::Interrupted(signal?)),
                code = exchange => code.map(Ending::Code),
            }
        })
    }

    /// Asks for a value. Errors: the server's own, or that it was interrupted.
    pub fn value(&self, command: Command) -> Result<Answer> {
        let mut answer = None;
        let mut keep = |shown| {
            if let Shown::Value(value) = shown {
                answer = Some(value);
            }
        };
        match self.call(Ask::plain(command), &mut keep)? {
            Ending::Interrupted(_) => Err(Error::failed("interrupted")),
            Ending::Code(_) => answer.ok_or_else(|| Error::failed("the server gave no answer")),
        }
    }
}

/// Asks a server's API what it is, without any key.
pub fn server_info(address: &HttpAddress) -> Result<ServerInfo> {
    block_on(http::server_info(address))
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::failed("the command line could not start").because(err))?;
    let result = runtime.block_on(work);
    // A reader that still waits on the terminal must not hold the exit.
    runtime.shutdown_background();
    result
}
