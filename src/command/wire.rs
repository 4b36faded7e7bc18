//! How a call and its reply travel between the command line and the server: frames over a stream.
//!
//! The client sends one `C` (a [`Request`] in JSON), then `I` frames of input, an `E` where it ends, and a `W` whenever its
//! terminal has changed. The server answers with one `V` (an [`Answer`]), any number of `L` (an [`Event`]), or an `A` and then
//! `O` and `R` frames (a program's stdout and stderr), and always with one `X` (an [`End`]). A client that closes has left.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use super::arguments::checked;
use super::call::{Attached, End, Event, Output, Reply, Terminal};
use super::frame::Frame;
use super::{Answer, Command};
use crate::error::{Error, Result};

/// The version of this protocol; a server refuses another one in words.
pub const PROTOCOL: u32 = 1;

pub const REQUEST: u8 = b'C';
pub const INPUT: u8 = b'I';
pub const INPUT_END: u8 = b'E';
pub const RESIZE: u8 = b'W';
const VALUE: u8 = b'V';
const LINE: u8 = b'L';
const ATTACHED: u8 = b'A';
const STDOUT: u8 = b'O';
const STDERR: u8 = b'R';
const END: u8 = b'X';

/// The first frame of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub protocol: u32,
    pub command: Command,
    pub terminal: Option<Terminal>,
}

/// What the client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Value(Answer),
    Event(Event),
    /// A program speaks from now on; whether it has a terminal.
    Attached {
        has_terminal: bool,
    },
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    End(End),
}

/// What an `A` frame holds.
#[derive(Serialize, Deserialize)]
struct Attachment {
    has_terminal: bool,
}

// === impl Request ===

impl Request {
    pub fn to_frame(&self) -> Frame {
        frame_of(REQUEST, self)
    }

    /// Parses the first frame. Errors: `Usage`, in words that tell an old client from an old server.
    pub fn from_frame(frame: &Frame) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            protocol: u32,
        }
        let not_ours = || Error::usage("the server did not understand this client");
        if frame.kind != REQUEST {
            return Err(not_ours());
        }
        let head: Head = parse(frame).map_err(|err| not_ours().because(err))?;
        if head.protocol != PROTOCOL {
            return Err(Error::usage(format!("the client speaks protocol {}, the server {PROTOCOL}", head.protocol))
                .hint("use the same version on both sides"));
        }
        let request: Self = parse(frame).map_err(|err| not_ours().because(err).hint("use the same version on both sides"))?;
        Ok(Request { command: checked(&request.command)?, ..request })
    }
}

/// Sends a reply to its end; an error of the call itself becomes the end's.
pub async fn send_reply(reply: Result<Reply>, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let result = match reply {
        Err(err) => Err(err),
        Ok(Reply::Value(answer)) => frame_of(VALUE, &answer).write(to).await.map(|()| Ok(()))?,
        Ok(Reply::Lines(mut lines)) => loop {
            match lines.recv().await {
                Some(Ok(event)) => frame_of(LINE, &event).write(to).await?,
                Some(Err(err)) => break Err(err),
                None => break Ok(()),
            }
        },
        Ok(Reply::Attached(attached)) => match send_output(attached, to).await? {
            Ok(code) => return frame_of(END, &End { code, error: None }).write(to).await,
            Err(err) => Err(err),
        },
    };
    frame_of(END, &End::of(&result)).write(to).await
}

/// Sends what a program writes and returns its exit code.
async fn send_output(mut attached: Attached, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<Result<u8>> {
    frame_of(ATTACHED, &Attachment { has_terminal: attached.has_terminal }).write(to).await?;
    while let Some(output) = attached.output.recv().await {
        match output {
            Ok(Output::Stdout(bytes)) => Frame::new(STDOUT, bytes).write(to).await?,
            Ok(Output::Stderr(bytes)) => Frame::new(STDERR, bytes).write(to).await?,
            Ok(Output::Exited(code)) => return Ok(Ok(code)),
            Err(err) => return Ok(Err(err)),
        }
    }
    Ok(Err(Error::failed("the program's end was not seen")))
}

/// Makes the frame that tells the server of the terminal's new size.
#[must_use]
pub fn resize_frame(cols: u32, rows: u32) -> Frame {
    frame_of(RESIZE, &(cols, rows))
}

/// Reads a `W` frame; `None` for one that makes no sense.
pub(super) fn size_in(frame: &Frame) -> Option<(u32, u32)> {
    parse(frame).ok()
}

/// Receives the next part of a reply. Errors: the connection was cut, or something else than a server answers.
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Received> {
    let Some(frame) = Frame::read(from).await? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    match frame.kind {
        VALUE => parse(&frame).map(Received::Value),
        LINE => parse(&frame).map(Received::Event),
        ATTACHED => parse(&frame).map(|Attachment { has_terminal }| Received::Attached { has_terminal }),
        STDOUT => Ok(Received::Stdout(frame.payload)),
        STDERR => Ok(Received::Stderr(frame.payload)),
        END => parse(&frame).map(Received::End),
        kind => Err(io::Error::new(io::ErrorKind::InvalidData, format!("an unknown frame of kind {kind}"))),
    }
}

fn frame_of(kind: u8, value: &impl Serialize) -> Frame {
    Frame::new(kind, serde_json::to_vec(value).expect("calls and replies hold nothing that JSON cannot"))
}

fn parse<T: DeserializeOwned>(frame: &Frame) -> io::Result<T> {
    serde_json::from_slice(&frame.payload).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_stream_that_fails_ends_with_its_error() {
        let (sender, lines) = mpsc::channel(4);
        sender.send(Ok(Event::Talk("building".into()))).await.unwrap();
        sender.send(Err(Error::busy("somebody else deploys").hint("wait"))).await.unwrap();
        drop(sender);

        let mut wire = Vec::new();
        send_reply(Ok(Reply::Lines(lines)), &mut wire).await.unwrap();
        let mut reader = wire.as_slice();

        assert_eq!(receive(&mut reader).await.unwrap(), Received::Event(Event::Talk("building".into())));
        let Received::End(end) = receive(&mut reader).await.unwrap() else { panic!("no end") };
        assert_eq!(end.code, 5);
        assert_eq!(end.into_result().unwrap_err().next_step(), Some("wait"));
    }

    #[test]
    fn another_protocol_and_nonsense_are_refused_in_words() {
        for payload in [&b"{\"protocol\":9,\"command\":\"new-thing\"}"[..], b"{}", b"\xff", b"{\"protocol\":1,\"command\":\"nonsense\"}"] {
            assert!(Request::from_frame(&Frame::new(REQUEST, payload)).is_err());
        }
    }

    #[test]
    fn what_could_not_be_typed_is_refused_ready_made_too() {
        let request = |command: serde_json::Value| {
            let payload = serde_json::json!({ "protocol": PROTOCOL, "command": command, "terminal": null });
            Request::from_frame(&Frame::new(REQUEST, payload.to_string()))
        };
        let deploy = |message: &str| {
            let fields =
                serde_json::json!({ "app": "blog", "input": "-", "image": null, "commit": null, "message": message, "no_cache": false });
            request(serde_json::json!({ "deploy": fields }))
        };
        let run =
            |program: &[&str]| request(serde_json::json!({ "run": { "app": "blog", "detach": false, "env": [], "program": program } }));
        let logs = |lines: u32| {
            let fields =
                serde_json::json!({ "app": "blog", "follow": false, "lines": lines, "process": null, "source": null, "since": null });
            request(serde_json::json!({ "logs": fields }))
        };

        assert!(deploy("a word").is_ok() && run(&["ls", "-a"]).is_ok() && logs(100).is_ok());
        for refused in [deploy("\u{1b}]52;c;x"), run(&[]), logs(u32::MAX)] {
            assert_eq!(refused.err().unwrap().exit_code(), 2);
        }
    }
}
