//! One call over a stream of frames, whichever program or socket carries it.

use std::cell::RefCell;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::terminal::{RawMode, Resizes};
use super::feed::{self, Feeding};
use super::{Ask, Show, Shown};
use crate::command::End;
use crate::command::frame::Frame;
use crate::command::wire::{self, PROTOCOL, Received, Request};
use crate::error::{Error, Result};

/// Why there is no answer.
pub enum Failure {
    /// The server, or this side, said why.
    Said(Error),
    /// The stream ended before the answer did.
    Cut(std::io::Error),
}

/// Holds the conversation and returns the exit code.
pub async fn exchange(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, ask: Ask, show: Show<'_>) -> Result<u8, Failure> {
    let Ask { command, input, terminal } = ask;
    let resizes = if terminal.is_some() { Resizes::listen().map_err(Failure::Said)? } else { Resizes::none() };
    let request = Request { protocol: PROTOCOL, command, terminal };
    // Who does not read our request may still have said why.
    let asked = request.to_frame().write(&mut to).await;
    let show = RefCell::new(show);
    let send = async {
        if asked.is_ok() {
            send(input, resizes, &mut to, &show).await?;
        }
        std::future::pending::<Result<u8, Failure>>().await
    };
    tokio::select! {
        code = receive(&mut from, &show) => code,
        failed = send => failed,
    }
}

async fn receive(from: &mut (impl AsyncRead + Unpin), show: &RefCell<Show<'_>>) -> Result<u8, Failure> {
    // The terminal is as it was before, however this ends.
    let mut raw = None;
    loop {
        let shown = match wire::receive(from).await.map_err(Failure::Cut)? {
            Received::Value(answer) => Shown::Value(answer),
            Received::Event(event) => Shown::Event(event),
            Received::Stdout(bytes) => Shown::Stdout(bytes),
            Received::Stderr(bytes) => Shown::Stderr(bytes),
            Received::Attached { has_terminal } => {
                if has_terminal {
                    raw = Some(RawMode::enter().map_err(Failure::Said)?);
                }
                continue;
            }
            Received::End(End { code, error: None }) => return Ok(code),
            Received::End(end) => {
                drop(raw);
                return end.into_result().map(|()| 0).map_err(Failure::Said);
            }
        };
        show.borrow_mut()(shown);
    }
}

/// Sends input and sizes until both have ended. A stream that is closed is no failure: the receiving side hears why.
async fn send(
    input: Option<feed::Feed>,
    mut resizes: Resizes,
    to: &mut (impl AsyncWrite + Unpin),
    show: &RefCell<Show<'_>>,
) -> Result<(), Failure> {
    let mut feeding = input.map(feed::start);
    loop {
        let frame = tokio::select! {
            piece = next_piece(&mut feeding) => if let Some(piece) = piece.map_err(Failure::Said)? {
                Frame::new(wire::INPUT, piece)
            } else {
                feeding = None;
                Frame::new(wire::INPUT_END, [])
            },
            (cols, rows) = resizes.next() => wire::resize_frame(cols, rows),
        };
        let is_end = frame.kind == wire::INPUT_END;
        if frame.write(to).await.is_err() || to.flush().await.is_err() {
            return Ok(());
        }
        if is_end {
            show.borrow_mut()(Shown::Sent);
        }
    }
}

/// Waits for ever once there is no more input.
async fn next_piece(feeding: &mut Option<Feeding>) -> Result<Option<Vec<u8>>> {
    match feeding {
        Some(feeding) => feeding.next().await,
        None => std::future::pending().await,
    }
}
