//! Programs whose caller is there: in a container of their own (`run`), or beside an app's process (`enter`).

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Deployer;
use super::complaint::{Complaint, forward};
use super::oneoff::{OneOff, Started};
use crate::command::{Attached, Output};
use crate::engine::{Attach, Attachment, Console, ContainerSummary, ExecId};
use crate::error::{Error, Kind, Result};
use crate::model::{ContainerId, ProcessName, ProcessState};
use crate::store::{App, Process};

/// Chunks of output (32 KiB each at most) that wait for the caller.
const WAITING_OUTPUT: usize = 4;
/// A program whose caller has left has this long after SIGTERM.
const LEFT_GRACE: Duration = Duration::from_secs(2);
/// No terminal type is longer (terminfo names are 1 to 32 characters in practice).
const MAX_TERM_BYTES: usize = 64;

/// A program to run beside an app's process.
#[derive(Clone)]
pub struct Entry {
    /// `None` is what serves: `web.1`.
    pub process: Option<ProcessName>,
    /// Its name and arguments; empty is a shell.
    pub program: Vec<String>,
    /// Who enters.
    pub by: String,
}

/// The caller of an attached program, as the one who looks after it has it.
struct Caller {
    console: Console,
    attach: Attach,
    outlet: mpsc::Sender<Result<Output>>,
    cancelled: CancellationToken,
}

/// An attached program, as the engine has it.
enum Program {
    Container(ContainerId),
    Exec(ContainerId, ExecId),
}

impl Deployer {
    /// Starts a program in a container of its own and joins it with its caller; with `cancelled` it ends, and its container goes.
    pub async fn run_attached(&self, app: &App, one_off: OneOff, console: Console, cancelled: CancellationToken) -> Result<Attached> {
        let (caller, output) = Caller::new(console, cancelled);
        let (tell, told) = oneshot::channel();
        let (deployer, app, attach) = (self.clone(), app.clone(), caller.attach);
        // The caller may leave in the middle: a container that was made must be known to somebody.
        self.in_background(async move {
            match Box::pin(deployer.start_one_off(&app, &one_off, attach, caller.term())).await {
                Ok(started) => {
                    drop(tell.send(Ok(())));
                    deployer.attend_one_off(&app, &one_off, started, caller).await;
                }
                Err(err) => drop(tell.send(Err(err))),
            }
        });
        joined(attach, output, told).await
    }

    /// Starts a program, or a shell, beside a process of the app that runs, and joins it with its caller.
    pub async fn enter(&self, app: &App, entry: Entry, console: Console, cancelled: CancellationToken) -> Result<Attached> {
        let (caller, output) = Caller::new(console, cancelled);
        let (tell, told) = oneshot::channel();
        let (deployer, app, attach) = (self.clone(), app.clone(), caller.attach);
        self.in_background(async move {
            match Box::pin(deployer.start_entry(&app, &entry, attach, caller.term())).await {
                Ok((program, attachment, complaint)) => {
                    drop(tell.send(Ok(())));
                    deployer.attend(program, attachment, complaint, caller).await;
                }
                Err(err) => drop(tell.send(Err(err))),
            }
        });
        joined(attach, output, told).await
    }

    async fn attend_one_off(&self, app: &App, one_off: &OneOff, started: Started, caller: Caller) {
        let Started { place, version, container, attachment } = started;
        let attachment = attachment.expect("an attached one-off has its attachment");
        let complaint = Complaint::new(&one_off.program, &format!("the image of {version}"));
        self.attend(Program::Container(container.clone()), attachment, complaint, caller).await;
        self.remove_one_off(&container).await;
        drop(place);
        if self.live_release(&app.id).await.is_ok_and(|live| live.is_none_or(|live| live.version != version)) {
            self.drop_its_image(&app.id).await;
        }
    }

    async fn start_entry(
        &self,
        app: &App,
        entry: &Entry,
        attach: Attach,
        term: Option<String>,
    ) -> Result<(Program, Attachment, Complaint)> {
        let engine = &self.rooms().engine;
        let process = self.process_to_enter(app, entry.process.as_ref()).await?;
        let name = process.process_name();
        let program = if entry.program.is_empty() {
            let shell = engine.shell(&process.id).await?;
            let shell = shell.ok_or_else(|| {
                Error::not_found(format!("{name} of `{}` has no shell", app.name))
                    .hint(format!("name a program: enter {} {name} -- PROGRAM", app.name))
            })?;
            vec![shell.to_owned()]
        } else {
            entry.program.clone()
        };
        let complaint = Complaint::new(&program, &name);
        let env = term.map(|term| format!("TERM={term}")).into_iter().collect();
        tracing::info!(app.name = %app.name, by = %entry.by, process = name, program = complaint.program(), "a process was entered");
        let (exec, attachment) = engine.exec(&process.id, program, env, attach).await?;
        Ok((Program::Exec(process.id, exec), attachment, complaint))
    }

    /// Finds a container that runs: that of the live release, or the one that was named.
    async fn process_to_enter(&self, app: &App, named: Option<&ProcessName>) -> Result<ContainerSummary> {
        let Some(live) = self.live_release(&app.id).await? else {
            return Err(Error::not_found(format!("`{}` has no release yet: there is nothing to enter", app.name))
                .hint("deploy it first: git push mini main"));
        };
        let serving = self.rooms().store.processes_of(app.id.clone(), live.version).await?;
        let first = serving.iter().find(|row| row.state == ProcessState::Serving && row.kind.is_web()).or(serving.first());
        let serves = |container: &ContainerSummary| serving.iter().any(|row| row.container.as_ref() == Some(&container.id));
        let is_meant = |container: &ContainerSummary| match named {
            None => first.is_some_and(|row| row.container.as_ref() == Some(&container.id)),
            Some(name) => (container.is_one_off() || serves(container)) && name.covers(&container.process, container.index),
        };
        let mut containers = self.rooms().engine.list().await?;
        containers.sort_by_key(|container| container.index);
        let shown = named.map_or_else(|| first.map_or_else(|| "web.1".to_owned(), Process::name), ToString::to_string);
        let see = format!("see what runs: ps {}; a program stands behind --: enter {} -- ls", app.name, app.name);
        match containers.into_iter().find(|container| container.app == app.id && is_meant(container)) {
            Some(container) if container.running => Ok(container),
            Some(_) => Err(Error::failed(format!("{shown} of `{}` does not run", app.name)).hint(format!("see why: logs {}", app.name))),
            None => Err(Error::not_found(format!("`{}` has no process {shown}", app.name)).hint(see)),
        }
    }

    /// Serves an attached program until it has ended, and ends it when its caller leaves or the server stops.
    async fn attend(&self, program: Program, attachment: Attachment, complaint: Complaint, caller: Caller) {
        let Caller { console, attach, outlet, cancelled } = caller;
        let run = async {
            if let Attach::Terminal { cols, rows } = attach {
                program.resize(self, cols, rows).await;
            }
            let (heard, hearing) = mpsc::channel(1);
            let join = async {
                let joined = attachment.join(console, &heard, |cols, rows| program.resize(self, cols, rows)).await;
                drop(heard);
                joined
            };
            let (joined, held) = tokio::join!(join, forward(hearing, &outlet));
            joined?;
            let code = program.wait(self).await?;
            Ok((code, held))
        };
        let ended = tokio::select! {
            ended = run => ended,
            () = cancelled.cancelled() => Err(Error::failed("the program was ended: its caller left")),
            () = outlet.closed() => Err(Error::failed("the program was ended: its caller left")),
            () = self.stopping().cancelled() => {
                Err(Error::unavailable("mini is restarting: the program was ended").hint("run it again in a moment"))
            }
        };
        match ended {
            Ok((code, held)) => complaint.conclude(code, held, attach.has_terminal(), &outlet).await,
            Err(err) => {
                // Sent without waiting: who does not read must not keep the program alive.
                drop(outlet.try_send(Err(err)));
                program.end(self, attach.has_terminal()).await;
            }
        }
    }
}

async fn joined(attach: Attach, output: mpsc::Receiver<Result<Output>>, told: oneshot::Receiver<Result<()>>) -> Result<Attached> {
    told.await.map_err(|_| Error::failed("the server stopped in the middle of this"))??;
    Ok(Attached { has_terminal: attach.has_terminal(), output })
}

// === impl Caller ===

impl Caller {
    fn new(console: Console, cancelled: CancellationToken) -> (Self, mpsc::Receiver<Result<Output>>) {
        let (outlet, output) = mpsc::channel(WAITING_OUTPUT);
        let attach = match &console.terminal {
            Some(terminal) => Attach::Terminal { cols: terminal.cols, rows: terminal.rows },
            None => Attach::Piped,
        };
        (Caller { console, attach, outlet, cancelled }, output)
    }

    /// Returns the type of the caller's terminal, fit for an environment.
    fn term(&self) -> Option<String> {
        let term = &self.console.terminal.as_ref()?.term;
        let fits = !term.is_empty() && term.len() <= MAX_TERM_BYTES && term.bytes().all(|byte| byte.is_ascii_graphic());
        Some(if fits { term.clone() } else { "dumb".to_owned() })
    }
}

// === impl Program ===

impl Program {
    /// A size that cannot be told is a blemish and no failure.
    async fn resize(&self, deployer: &Deployer, cols: u32, rows: u32) {
        let engine = &deployer.rooms().engine;
        let resized = match self {
            Program::Container(container) => engine.resize(container, cols, rows).await,
            Program::Exec(_, exec) => engine.resize_exec(exec, cols, rows).await,
        };
        if let Err(err) = resized {
            tracing::debug!(?err, "a terminal could not be resized");
        }
    }

    async fn wait(&self, deployer: &Deployer) -> Result<u8> {
        let engine = &deployer.rooms().engine;
        let code = match self {
            Program::Container(container) => engine.wait_exit(container).await.map(|exit| exit.code),
            Program::Exec(_, exec) => engine.wait_exec(exec).await,
        };
        match code {
            Ok(code) => Ok(u8::try_from(code & 0xff).unwrap_or(1)),
            Err(err) if err.kind() == Kind::NotFound => Err(Error::failed("the program was removed").because(err)),
            Err(err) => Err(err),
        }
    }

    /// Ends a program that nobody listens to any more.
    async fn end(&self, deployer: &Deployer, has_terminal: bool) {
        let engine = &deployer.rooms().engine;
        let ended = match self {
            Program::Container(container) => {
                if has_terminal && let Err(err) = engine.hang_up(container).await {
                    tracing::debug!(?err, "a terminal could not be hung up");
                }
                engine.stop(container, LEFT_GRACE).await
            }
            Program::Exec(container, exec) => engine.end_exec(container, exec).await,
        };
        if let Err(err) = ended {
            tracing::warn!(?err, "a program whose caller has left could not be ended");
        }
    }
}
