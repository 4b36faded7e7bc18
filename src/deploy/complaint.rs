//! What stands in the output when a program could not even be started: the machinery's words, made a sentence.

use tokio::sync::mpsc;

use crate::command::{Look, Output, render_error};
use crate::error::{Error, Result};

/// How the containers' `init` and the engine begin: `[FATAL tini (7)] exec nope failed: No such file or directory`,
/// `OCI runtime exec failed: exec failed: …: exec: "nope": executable file not found in $PATH: unknown`.
const BEGINNINGS: [&[u8]; 2] = [b"[FATAL tini (", b"OCI runtime exec failed: "];
const ABSENT: [&str; 3] = ["No such file or directory", "no such file or directory", "not found in $PATH"];
/// A line with a path in it.
const MAX_COMPLAINT_BYTES: usize = 8 << 10;
/// As a shell has them (POSIX, 2.8.2).
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// What is to be said if a program cannot be started.
pub(super) struct Complaint {
    program: String,
    place: String,
}

/// Hands output on; holds a first line back, and returns it, if it is all there is and looks like a complaint.
pub(super) async fn forward(mut hearing: mpsc::Receiver<Result<Output>>, outlet: &mpsc::Sender<Result<Output>>) -> Option<Output> {
    let mut held: Option<Output> = None;
    let mut is_open = true;
    while let Some(next) = hearing.recv().await {
        let next = match (held.take(), next) {
            (first, Ok(next)) if is_open => match joined(first, next) {
                Ok(complaint) => {
                    held = Some(complaint);
                    continue;
                }
                Err((first, next)) => {
                    is_open = false;
                    if let Some(first) = first {
                        outlet.send(Ok(first)).await.ok()?;
                    }
                    Ok(next)
                }
            },
            (_, next) => next,
        };
        outlet.send(next).await.ok()?;
    }
    held
}

/// Joins what is held and what follows it if that may still be a complaint: they are written in pieces. Else both are given back.
fn joined(first: Option<Output>, next: Output) -> Result<Output, (Option<Output>, Output)> {
    let text = [first.as_ref().map_or(&[][..], bytes_of), bytes_of(&next)].concat();
    let is_line = text.len() <= MAX_COMPLAINT_BYTES && !text[..text.len().saturating_sub(1)].contains(&b'\n');
    let is_complaint = is_line && BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
    match (&first, &next) {
        (None | Some(Output::Stdout(_)), Output::Stdout(_)) if is_complaint => Ok(Output::Stdout(text.into())),
        (None | Some(Output::Stderr(_)), Output::Stderr(_)) if is_complaint => Ok(Output::Stderr(text.into())),
        _ => Err((first, next)),
    }
}

fn bytes_of(output: &Output) -> &[u8] {
    match output {
        Output::Stdout(bytes) | Output::Stderr(bytes) => bytes,
        Output::Exited(_) => &[],
    }
}

// === impl Complaint ===

impl Complaint {
    pub fn new(program: &[String], place: &str) -> Self {
        Complaint { program: program.first().cloned().unwrap_or_default(), place: place.to_owned() }
    }

    /// Returns the program's name, without its arguments.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Sends the end of a program that ended with `code`, and before it what was held back or what it means.
    pub async fn conclude(&self, code: u8, held: Option<Output>, has_terminal: bool, outlet: &mpsc::Sender<Result<Output>>) {
        let (last, code) = match held {
            Some(held) if code >= NOT_EXECUTABLE => {
                let (err, code) = self.explain(&String::from_utf8_lossy(bytes_of(&held)));
                let text = render_error(&err, &Look::default());
                (Some(if has_terminal { Output::Stdout(text.replace('\n', "\r\n").into()) } else { Output::Stderr(text.into()) }), code)
            }
            held => (held, code),
        };
        for output in last.into_iter().chain([Output::Exited(code)]) {
            // A caller that has left needs no end.
            let _ = outlet.send(Ok(output)).await;
        }
    }

    fn explain(&self, text: &str) -> (Error, u8) {
        let program = self.program.escape_debug();
        if ABSENT.iter().any(|absent| text.contains(absent)) {
            return (Error::failed(format!("there is no program `{program}` in {}", self.place)), NOT_FOUND);
        }
        let text = text.trim().trim_end_matches(": unknown");
        let why = text.rsplit(": ").next().unwrap_or(text).to_lowercase();
        (Error::failed(format!("`{program}` cannot be executed in {}: {}", self.place, why.escape_debug())), NOT_EXECUTABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a caller sees of `pieces` and an exit code.
    async fn seen(pieces: &[&'static str], code: u8) -> Vec<Output> {
        let (say, hearing) = mpsc::channel(8);
        let (outlet, mut output) = mpsc::channel(8);
        for piece in pieces {
            say.send(Ok(Output::Stderr((*piece).into()))).await.unwrap();
        }
        drop(say);
        let held = forward(hearing, &outlet).await;
        Complaint::new(&["nope".into(), "s3cret".into()], "web.1").conclude(code, held, false, &outlet).await;
        drop(outlet);
        let mut seen = Vec::new();
        while let Some(output) = output.recv().await {
            seen.push(output.unwrap());
        }
        seen
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_127_and_one_that_is_none_126() {
        for (text, said, code) in [
            ("[FATAL tini (7)] exec nope failed: No such file or directory\n", "there is no program `nope` in web.1", 127),
            ("[FATAL tini (7)] exec nope failed: Permission denied\n", "`nope` cannot be executed in web.1: permission denied", 126),
            (
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown\r\n",
                "there is no program `nope` in web.1",
                127,
            ),
            (
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": permission denied: unknown\r\n",
                "`nope` cannot be executed in web.1: permission denied",
                126,
            ),
        ] {
            let expected = [Output::Stderr(format!("mini: {said}\n").into()), Output::Exited(code)];
            assert_eq!(seen(&[text], 126).await, expected, "{text}");
            let (beginning, rest) = text.split_at(30);
            assert_eq!(seen(&[beginning, rest], 126).await, expected, "in pieces: {text}");
        }
    }

    #[tokio::test]
    async fn a_program_that_says_such_things_by_itself_is_heard() {
        let text = "[FATAL tini (7)] exec nope failed: No such file or directory\n";

        assert_eq!(seen(&[text], 0).await, [Output::Stderr(text.into()), Output::Exited(0)]);
        assert_eq!(seen(&[text, "more"], 127).await, [Output::Stderr(text.into()), Output::Stderr("more".into()), Output::Exited(127)]);
        assert_eq!(seen(&[], 127).await, [Output::Exited(127)]);
    }
}
