//! The way to a server by the system's `ssh`: frames over `mini-rpc`, questions between ssh and the terminal itself.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;

use super::complaint::{Complaints, explain};
use super::frames::{self, Failure};
use super::{Ask, Show};
use crate::command::wire::PROTOCOL;
use crate::config::SshAddress;
use crate::error::{Error, Result};

/// Another ssh program with its own options, split like a shell would, as git's `GIT_SSH_COMMAND`.
const PROGRAM: &str = "MINI_SSH_COMMAND";

/// Once the stream has ended, ssh has this long to say why.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub async fn exchange(address: &SshAddress, ask: Ask, show: Show<'_>) -> Result<u8> {
    let mut child = command(address)?.spawn().map_err(no_program)?;
    let (Some(to), Some(from), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
        return Err(Error::failed("ssh could not be spoken to"));
    };
    let complaints = Arc::new(Mutex::new(Complaints::default()));
    let mut listening = JoinSet::new();
    listening.spawn(listen(stderr, complaints.clone()));
    match frames::exchange(BufReader::with_capacity(64 << 10, from), to, ask, show).await {
        Ok(code) => Ok(code),
        Err(Failure::Said(err)) => Err(err),
        Err(Failure::Cut(_)) => {
            let status = last_words(&mut child, &mut listening).await;
            let complaints = complaints.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            Err(explain(address, status, &complaints))
        }
    }
}

/// Waits until ssh has ended and its last line is heard; returns its exit code.
async fn last_words(child: &mut Child, listening: &mut JoinSet<()>) -> Option<i32> {
    let ended = async {
        let status = child.wait().await;
        listening.join_next().await;
        status.ok().and_then(|status| status.code())
    };
    tokio::time::timeout(LAST_WORDS, ended).await.ok().flatten()
}

/// Makes the command line: words only, no shell on this side.
fn command(address: &SshAddress) -> Result<Command> {
    let words = match std::env::var(PROGRAM) {
        Ok(line) => {
            shlex::split(&line).filter(|words| !words.is_empty()).ok_or_else(|| Error::usage(format!("{PROGRAM} is no command line")))?
        }
        Err(_) => vec!["ssh".into()],
    };
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg("-T");
    // A server that is gone is noticed; nothing of this machine is lent to it.
    for option in ["ConnectTimeout=10", "ServerAliveInterval=15", "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes"] {
        command.args(["-o", option]);
    }
    command.arg("-p").arg(address.port.to_string()).arg("--").arg(address.destination());
    command.arg("mini-rpc").arg(PROTOCOL.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

fn no_program(err: std::io::Error) -> Error {
    Error::unavailable("there is no `ssh` program here")
        .hint("install OpenSSH's client, or use the API: mini config set-host https://…")
        .because(err)
}

/// Hands on what ssh says, except for what will be said in a better way.
async fn listen(stderr: ChildStderr, complaints: Arc<Mutex<Complaints>>) {
    let mut lines = BufReader::new(stderr).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        // Before it has proven who it is, a server can say what it likes: nothing that moves a terminal's cursor.
        let line: String = String::from_utf8_lossy(&line).trim_end().chars().filter(|c| !c.is_control() || *c == '\t').collect();
        let is_news = complaints.lock().unwrap_or_else(std::sync::PoisonError::into_inner).hear(&line);
        if is_news {
            super::super::print_to(&mut std::io::stderr(), &format!("{line}\n"));
        }
    }
}
