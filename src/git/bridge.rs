//! Carries a session's bytes between the client and a git process, until git has exited and its last byte is out.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Output};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, copy_buf};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::command::GitIo;

/// As much as a pipe holds (pipe(7)).
const BUFFER_BYTES: usize = 64 << 10;

/// A running git in a process group of its own. Dropped while it runs, the whole group is killed.
pub(super) struct Running {
    child: Child,
    /// How long it may go on when its client has left.
    grace: Duration,
}

// === impl Running ===

impl Running {
    pub(super) fn spawn(command: &mut Command, grace: Duration) -> io::Result<Running> {
        Ok(Running { child: command.process_group(0).kill_on_drop(true).spawn()?, grace })
    }

    /// Serves a client to the end and returns git's exit code, as a shell would (128 and the signal, if there was one).
    ///
    /// `busy` tells whether a hook waits for the server: such a git is left alone, whatever the client does.
    pub(super) async fn serve(mut self, io: GitIo, busy: watch::Receiver<bool>) -> io::Result<u32> {
        let GitIo { stdin, stdout, stderr, gone, .. } = io;
        let feeding = feed(self.child.stdin.take(), stdin, &gone);
        let out = drain(self.child.stdout.take(), stdout, &gone);
        let err = drain(self.child.stderr.take(), stderr, &gone);
        // Feeding ends with git at the latest: a client need not close its side.
        let exited = async {
            tokio::select! {
                status = self.exited(&gone, busy) => status,
                never = forever(feeding) => match never {},
            }
        };
        let (status, (), ()) = tokio::join!(exited, out, err);
        status.map(exit_code)
    }

    /// Waits for a git that has no client, and returns what it said on stderr.
    pub(super) async fn output(mut self) -> io::Result<Output> {
        let mut stderr = Vec::new();
        if let Some(mut said) = self.child.stderr.take() {
            said.read_to_end(&mut stderr).await?;
        }
        Ok(Output { status: self.child.wait().await?, stdout: Vec::new(), stderr })
    }

    /// Waits for git; once the client has left and no hook is running, not longer than the grace.
    async fn exited(&mut self, gone: &CancellationToken, busy: watch::Receiver<bool>) -> io::Result<ExitStatus> {
        tokio::select! {
            status = self.child.wait() => return status,
            () = overdue(gone, busy, self.grace) => {}
        }
        tracing::warn!("git did not end after its client had left, and was killed");
        self.kill_group();
        self.child.wait().await
    }

    /// Kills git and all that it started. Only while it has not been waited for: later the number may be another's.
    fn kill_group(&self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = id {
            // Gone already is as good.
            _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

async fn forever(work: impl Future<Output = ()>) -> Infallible {
    work.await;
    pending().await
}

async fn overdue(gone: &CancellationToken, mut busy: watch::Receiver<bool>, grace: Duration) {
    gone.cancelled().await;
    loop {
        // The sender lives as long as the session; without it no hook is running.
        _ = busy.wait_for(|busy| !*busy).await;
        let is_called = async { busy.wait_for(|busy| *busy).await.is_err() };
        match tokio::time::timeout(grace, is_called).await {
            Ok(false) => {}
            Ok(true) => return tokio::time::sleep(grace).await,
            Err(_) => return,
        }
    }
}

/// Gives git what the client sends, and an end when the client ends or leaves.
async fn feed(git: Option<ChildStdin>, client: impl AsyncRead + Unpin, gone: &CancellationToken) {
    let Some(mut git) = git else { return };
    let mut client = BufReader::with_capacity(BUFFER_BYTES, client);
    tokio::select! {
        // git that hangs up has said why on its other streams.
        _ = copy_buf(&mut client, &mut git) => {}
        () = gone.cancelled() => {}
    }
}

/// Gives the client what git says; without a client it is still read to the end, so that git can come to its own.
async fn drain(git: Option<impl AsyncRead + Unpin>, mut client: impl AsyncWrite + Unpin, gone: &CancellationToken) {
    let Some(mut git) = git else { return };
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut is_there = true;
    while let Ok(count @ 1..) = git.read(&mut buffer).await {
        if is_there {
            is_there = tokio::select! {
                sent = send(&mut client, &buffer[..count]) => sent.is_ok(),
                () = gone.cancelled() => false,
            };
        }
    }
}

async fn send(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

fn exit_code(status: ExitStatus) -> u32 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u32::try_from(code).unwrap_or(1)
}
