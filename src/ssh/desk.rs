//! The platform as the desk behind this door: words are rendered here, for a client that is only a terminal.

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Desk, WordsIo};
use crate::command::{Asked, Call, GitIo, GitService, Input, Reply, Terminal, parse_words, render_answer, render_error, render_event};
use crate::error::Result;
use crate::model::{Caller, Fingerprint};
use crate::platform::Platform;

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
        let WordsIo { stdin, mut stdout, mut stderr, terminal, gone } = io;
        let terminal = terminal.map(|terminal| Terminal { cols: terminal.cols, rows: terminal.rows, term: terminal.term.clone() });
        let said = match parse_words(&words) {
            Err(err) => Err(err),
            Ok(Asked::Help(text)) => {
                write(&mut stdout, &text).await;
                Ok(())
            }
            Ok(Asked::Do { command, json }) => {
                let call = Call { command, input: Input::new(stdin), terminal, cancelled: gone };
                answer(self, caller, call, json, &mut stdout, &mut stderr).await
            }
        };
        let code = match &said {
            Ok(()) => 0,
            Err(err) => {
                write(&mut stderr, &render_error(err)).await;
                err.exit_code()
            }
        };
        u32::from(code)
    }
}

async fn answer(platform: &Platform, caller: &Caller, call: Call, json: bool, stdout: &mut Writer, stderr: &mut Writer) -> Result<()> {
    match platform.run(caller, call).await? {
        Reply::Value(answer) => write(stdout, &render_answer(&answer, json)).await,
        Reply::Lines(mut lines) => {
            while let Some(event) = lines.recv().await {
                match render_event(&event?, json) {
                    (true, talk) => write(stderr, &talk).await,
                    (false, data) => write(stdout, &data).await,
                }
            }
        }
    }
    Ok(())
}

/// A client that has left is told by `gone`; its lost output is nobody's loss.
async fn write(to: &mut Writer, text: &str) {
    if to.write_all(text.as_bytes()).await.is_ok() {
        let _ = to.flush().await;
    }
}
