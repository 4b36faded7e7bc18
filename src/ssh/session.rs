//! One channel of a client: opened, asked for something, served, closed in the right order.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use russh::server::Msg;
use russh::{Channel, ChannelWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

use super::input::{InputPump, Stdin};
use super::output::writers;
use super::presence::Presence;
use super::request::Request;
use super::terminal::{self, Discipline, Terminal};
use super::{Desk, WordsIo};
use crate::command::GitIo;
use crate::model::Caller;

/// Exit status after ^C: 128 and the number of SIGINT, as a shell has it.
const INTERRUPTED: u32 = 130;
/// Exit status of a fault of our own.
const FAULT: u32 = 1;

/// A channel on which the client has yet to say what it wants. Its input is drained from the first moment.
pub(super) struct Opening {
    channel: ChannelWriteHalf<Msg>,
    stdin: Stdin,
    presence: Presence,
    discipline: Discipline,
    terminal: Option<Terminal>,
    resizes: watch::Receiver<(u32, u32)>,
    git_protocol: Option<String>,
    /// One of the channels that a connection may have; free again when the desk is done.
    _slot: OwnedSemaphorePermit,
}

/// A channel whose request is served.
pub(super) struct Session<D> {
    pub desk: D,
    pub caller: Caller,
    pub request: Request,
    pub opening: Opening,
}

// === impl Opening ===

impl Opening {
    /// Takes a channel over; `tasks` owns the task that drains it, `cut` ends it.
    pub fn new(channel: Channel<Msg>, slot: OwnedSemaphorePermit, cut: &CancellationToken, tasks: &TaskTracker) -> Self {
        let (from_client, channel) = channel.split();
        let presence = Presence::new(cut);
        let discipline = Discipline::default();
        let (sizes, resizes) = watch::channel((0, 0));
        let (pump, stdin) = InputPump::new(presence.clone(), discipline.clone(), sizes);
        tasks.spawn(pump.run(from_client));
        Opening { channel, stdin, presence, discipline, terminal: None, resizes, git_protocol: None, _slot: slot }
    }

    /// Remembers the terminal that the client asked for.
    pub fn set_terminal(&mut self, cols: u32, rows: u32, term: &str) {
        let (resizes, discipline) = (self.resizes.clone(), self.discipline.clone());
        self.terminal = Some(Terminal { cols, rows, term: terminal::tame(term), resizes, discipline });
    }

    /// Keeps `GIT_PROTOCOL` when its value is one that git itself would send; tells whether it did.
    pub fn set_git_protocol(&mut self, value: &str) -> bool {
        let fits = matches!(value, "version=0" | "version=1" | "version=2");
        if fits {
            self.git_protocol = Some(value.to_owned());
        }
        fits
    }

    /// Settles whether bytes are translated. Called before the client's first byte of input can arrive.
    pub fn settle(&self, request: &Request) {
        if self.terminal.is_none() || matches!(request, Request::Git { .. }) {
            self.discipline.turn_off();
        }
    }
}

// === impl Session ===

impl<D: Desk> Session<D> {
    /// Serves the request, then sends all output, the exit status, the end and the close, in this order.
    pub async fn run(self) {
        let Session { desk, caller, request, opening } = self;
        let Opening { channel, stdin, presence, discipline, terminal, git_protocol, _slot, .. } = opening;
        let (stdout, stderr, outbox) = writers(&discipline);
        let io = WordsIo { stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr), terminal, gone: presence.gone() };
        let done = CancellationToken::new();

        let work = async {
            let _done = done.clone().drop_guard();
            AssertUnwindSafe(serve(&desk, &caller, request, io, git_protocol)).catch_unwind().await.ok()
        };
        let (status, ()) = tokio::join!(work, outbox.send(&channel, &presence, &done));

        presence.closed().run_until_cancelled(end(&channel, status, presence.was_interrupted())).await;
        presence.close();
        debug!(key.name = %caller.name, exit.status = status, "an ssh session ended");
    }
}

async fn serve<D: Desk>(desk: &D, caller: &Caller, request: Request, io: WordsIo, protocol: Option<String>) -> u32 {
    crate::failpoint!("ssh::session");
    match request {
        Request::Words(words) => desk.words(caller, words, io).await,
        Request::Git { service, repository } => {
            let WordsIo { stdin, stdout, stderr, gone, .. } = io;
            desk.git(caller, service, &repository, GitIo { protocol, stdin, stdout, stderr, gone }).await
        }
        Request::Refused { why, status } => {
            refuse(io, &why).await;
            status
        }
    }
}

async fn refuse(mut io: WordsIo, why: &str) {
    use tokio::io::AsyncWriteExt;
    if let Err(err) = io.stderr.write_all(format!("{why}\n").as_bytes()).await {
        debug!("the client left before it was refused: {err}");
    }
}

/// Ends a channel. A client that has left does not hear it, which is nobody's fault.
async fn end(channel: &ChannelWriteHalf<Msg>, status: Option<u32>, was_interrupted: bool) {
    let status = match status {
        Some(_) if was_interrupted => INTERRUPTED,
        Some(status) => status,
        None => {
            error!("a session panicked: its trace is above");
            let _ = channel.extended_data_bytes(1, "mini has a fault here; its log says more\n").await;
            FAULT
        }
    };
    let _ = channel.exit_status(status).await;
    let _ = channel.eof().await;
    let _ = channel.close().await;
}
