//! One call over the private socket, rendered by whoever asked.

use std::io::Read;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;

use super::files::Source;
use crate::command::frame::Frame;
use crate::command::wire::{self, PROTOCOL, Received, Request};
use crate::command::{Answer, Command, End, Event};
use crate::error::{Error, Result};

/// A part of the reply that is to be shown.
pub enum Shown {
    Value(Answer),
    Event(Event),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
}

/// Sends the command to the server behind `socket`, shows its reply as it comes and returns the exit code.
pub fn call(socket: &Path, command: Command, input: Source, show: &mut dyn FnMut(Shown)) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::failed("the command line could not start").because(err))?;
    let result = runtime.block_on(exchange(socket, command, input, show));
    // A reader that still waits on the terminal must not hold the exit.
    runtime.shutdown_background();
    result
}

async fn exchange(socket: &Path, command: Command, input: Source, show: &mut dyn FnMut(Shown)) -> Result<u8> {
    let stream = UnixStream::connect(socket).await.map_err(|err| no_server(socket, err))?;
    let (mut reader, mut writer) = stream.into_split();
    let reads = command.reads_input();
    let request = Request { protocol: PROTOCOL, command, terminal: None };
    request.to_frame().write(&mut writer).await.map_err(cut)?;
    let receive = async {
        loop {
            match wire::receive(&mut reader).await.map_err(cut)? {
                Received::Value(answer) => show(Shown::Value(answer)),
                Received::Event(event) => show(Shown::Event(event)),
                Received::Attached { .. } => {}
                Received::Stdout(bytes) => show(Shown::Stdout(bytes)),
                Received::Stderr(bytes) => show(Shown::Stderr(bytes)),
                Received::End(End { code, error: None }) => return Ok(code),
                Received::End(end) => return end.into_result().map(|()| 0),
            }
        }
    };
    let send = async {
        if reads {
            let _ = send_input(input, &mut writer).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = receive => result,
        () = send => Ok(0),
    }
}

async fn send_input(mut input: Source, writer: &mut OwnedWriteHalf) -> std::io::Result<()> {
    loop {
        let (back, chunk) = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; 64 << 10];
            let read = input.read(&mut chunk);
            (input, read.map(|length| chunk[..length].to_vec()))
        })
        .await
        .map_err(std::io::Error::other)?;
        input = back;
        match chunk? {
            chunk if chunk.is_empty() => break,
            chunk => Frame::new(wire::INPUT, chunk).write(writer).await?,
        }
    }
    Frame::new(wire::INPUT_END, []).write(writer).await?;
    writer.flush().await
}

fn no_server(socket: &Path, err: std::io::Error) -> Error {
    let place = socket.parent().unwrap_or(socket).display();
    let err_is_denied = err.kind() == std::io::ErrorKind::PermissionDenied;
    if err_is_denied {
        return Error::not_allowed(format!("the server in {place} belongs to another user"))
            .hint("use sudo, or `ssh mini …` with your key")
            .because(err);
    }
    Error::unavailable(format!("no server answers in {place}"))
        .hint("start it with `mini server`, or name its data dir: MINI_DATA=DIR mini …")
        .because(err)
}

fn cut(err: std::io::Error) -> Error {
    Error::failed("the server cut the connection").hint("see what it says in its own log").because(err)
}
