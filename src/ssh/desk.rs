//! The platform as the desk behind this door: words are rendered here for a client that is only a terminal, frames for `mini`.

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Desk, Terminal, WordsIo};
use crate::command::wire::PROTOCOL;
use crate::command::{
    Asked, Attached, Call, GitIo, GitService, Input, Look, Output, Reply, Terminal as CallTerminal, converse, parse_words, render_answer,
    render_error, render_event,
};
use crate::error::{Error, Result};
use crate::model::{Caller, Fingerprint};
use crate::platform::Platform;

/// The word by which the `mini` client asks for frames; the version of [`PROTOCOL`] follows it.
const RPC: &str = "mini-rpc";

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl Desk for Platform {
    async fn identify(&self, key: &Fingerprint) -> Option<Caller> {
        match Platform::identify(self, key).await {
            Ok(caller) => caller,
            Err(err) => {
                tracing::error!(?err, "a key could not be looked up");
                None
            }
        }
    }

    async fn logged_in(&self, key: &Fingerprint) {
        // A login must not fail because the disk is full.
        if let Err(err) = Platform::logged_in(self, key).await {
            tracing::warn!(?err, "a login could not be noted");
        }
    }

    async fn git(&self, caller: &Caller, service: GitService, repository: &str, io: GitIo) -> u32 {
        Platform::git(self, caller, service, repository, io).await
    }

    async fn words(&self, caller: &Caller, words: Vec<String>, io: WordsIo) -> u32 {
        match words.split_first() {
            Some((word, versions)) if word == RPC => speak_frames(self, caller, versions, io).await,
            _ => speak_text(self, caller, &words, io).await,
        }
    }
}

/// Serves the `mini` client, which renders by itself. Exit status 0 means: the frames tell how it ended.
async fn speak_frames(platform: &Platform, caller: &Caller, versions: &[String], io: WordsIo) -> u32 {
    let WordsIo { stdin, stdout, mut stderr, terminal, gone } = io;
    let ours = PROTOCOL.to_string();
    let refusal = match versions {
        [version] if *version == ours && terminal.is_none() => None,
        [version] if *version == ours => Some(Error::usage(format!("`{RPC}` speaks frames, which no terminal shows"))),
        _ => Some(Error::usage(format!("this server speaks `{RPC} {ours}`")).hint("use the same version on both sides")),
    };
    if let Some(err) = refusal {
        write(&mut stderr, &render_error(&err, &Look::default())).await;
        return err.exit_code().into();
    }
    if let Err(err) = converse(stdin, stdout, gone, |call| platform.run(caller, call)).await {
        tracing::debug!(%err, "the client left before its answer");
    }
    0
}

async fn speak_text(platform: &Platform, caller: &Caller, words: &[String], io: WordsIo) -> u32 {
    let WordsIo { stdin, mut stdout, mut stderr, terminal, gone } = io;
    let mut look = terminal.as_ref().map_or_else(Look::default, Terminal::look);
    let said = match parse_words(words) {
        Err(err) => Err(err),
        Ok(Asked::Help(text)) => {
            write(&mut stdout, &text).await;
            Ok(0)
        }
        Ok(Asked::Do { command, json }) => {
            look.json = json;
            let mut call = Call::new(command, Input::new(stdin), gone);
            if let Some(terminal) = &terminal {
                call.terminal = Some(CallTerminal { cols: terminal.cols, rows: terminal.rows, term: terminal.term.clone() });
                call.resizes = terminal.resizes.clone();
            }
            answer(platform, caller, call, &look, terminal.as_ref(), &mut stdout, &mut stderr).await
        }
    };
    let code = match said {
        Ok(code) => code,
        Err(err) => {
            write(&mut stderr, &render_error(&err, &look)).await;
            err.exit_code()
        }
    };
    u32::from(code)
}

/// Renders a reply and returns the exit code.
async fn answer(
    platform: &Platform,
    caller: &Caller,
    call: Call,
    look: &Look,
    terminal: Option<&Terminal>,
    stdout: &mut Writer,
    stderr: &mut Writer,
) -> Result<u8> {
    match platform.run(caller, call).await? {
        Reply::Value(answer) => write(stdout, &render_answer(&answer, look)).await,
        Reply::Lines(mut lines) => {
            while let Some(event) = lines.recv().await {
                match render_event(&event?, look) {
                    (true, talk) => write(stderr, &talk).await,
                    (false, data) => write(stdout, &data).await,
                }
            }
        }
        Reply::Attached(attached) => {
            if let Some(terminal) = terminal.filter(|_| attached.has_terminal) {
                terminal.enter_raw();
            }
            return relay(attached, stdout, stderr).await;
        }
    }
    Ok(0)
}

/// Hands a program's output on as it is and returns its exit code.
async fn relay(mut attached: Attached, stdout: &mut Writer, stderr: &mut Writer) -> Result<u8> {
    while let Some(output) = attached.output.recv().await {
        match output? {
            Output::Stdout(bytes) => write_bytes(stdout, &bytes).await,
            Output::Stderr(bytes) => write_bytes(stderr, &bytes).await,
            Output::Exited(code) => return Ok(code),
        }
    }
    Err(Error::failed("the program's end was not seen"))
}

async fn write(to: &mut Writer, text: &str) {
    write_bytes(to, text.as_bytes()).await;
}

/// A client that has left is told by `gone`; its lost output is nobody's loss.
async fn write_bytes(to: &mut Writer, bytes: &[u8]) {
    if to.write_all(bytes).await.is_ok() {
        let _ = to.flush().await;
    }
}
