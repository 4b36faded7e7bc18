//! A program and its caller, joined: bytes both ways, no faster than the slower of the two, and the terminal's size.

use std::io::{self, ErrorKind};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::hijack::Stream;
use crate::command::{Input, Output, Resizes, Terminal};
use crate::error::{Error, Result};

/// Read at once from either side; with the few of them that wait for the caller, all the memory that a program costs.
const CHUNK_BYTES: usize = 32 << 10;
/// ^D: a terminal has no other end of input (termios(3), `VEOF`).
const END_OF_TYPING: &[u8] = &[4];

/// The caller's side of an attached program.
pub struct Console {
    pub input: Input,
    /// The program gets a terminal when its caller has one.
    pub terminal: Option<Terminal>,
    pub resizes: Resizes,
}

/// The engine's side of an attached program.
pub struct Attachment {
    pub(super) stream: Stream,
    pub(super) has_terminal: bool,
}

// === impl Attachment ===

impl Attachment {
    /// Joins the program with its caller until the program's output has ended; `resize` is told each new size.
    ///
    /// Output that nobody takes holds the program up, and so does input that it does not read. Errors: the engine broke off, or the
    /// caller's input was cut, of which a part must not pass for the whole.
    pub async fn join<F>(self, console: Console, output: &mpsc::Sender<Result<Output>>, resize: impl Fn(u32, u32) -> F) -> Result<()>
    where
        F: Future<Output = ()>,
    {
        let Console { input, mut resizes, .. } = console;
        let (program, typed) = tokio::io::split(self.stream);
        let told = async {
            let told = if self.has_terminal { tell_raw(program, output).await } else { tell_framed(program, output).await };
            told.map_err(|err| Error::unavailable("the Docker Engine broke off the program's output").because(err))
        };
        let fed = async {
            feed(input, typed, self.has_terminal).await?;
            std::future::pending().await
        };
        let resized = async {
            while resizes.changed().await.is_ok() {
                let (cols, rows) = *resizes.borrow_and_update();
                resize(cols, rows).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            told = told => told,
            fed = fed => fed,
            () = resized => Ok(()),
        }
    }
}

/// Hands a terminal's output on as it comes; ends quietly when the caller takes no more.
async fn tell_raw(mut program: impl AsyncRead + Unpin, output: &mpsc::Sender<Result<Output>>) -> io::Result<()> {
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        if program.read_buf(&mut chunk).await? == 0 || output.send(Ok(Output::Stdout(chunk.freeze()))).await.is_err() {
            return Ok(());
        }
    }
}

/// Takes stdout and stderr apart: frames of `u8 stream, 3 zero bytes, u32 length (big endian)`, as the engine's API has them under
/// "Attach to a container".
async fn tell_framed(mut program: impl AsyncRead + Unpin, output: &mpsc::Sender<Result<Output>>) -> io::Result<()> {
    loop {
        let mut head = [0; 8];
        if program.read(&mut head[..1]).await? == 0 {
            return Ok(());
        }
        program.read_exact(&mut head[1..]).await?;
        let wrap: fn(Bytes) -> Output = match head[0] {
            0 | 1 => Output::Stdout,
            2 => Output::Stderr,
            other => return Err(io::Error::new(ErrorKind::InvalidData, format!("a frame of the stream {other}"))),
        };
        // A frame is handed on in pieces: its length is no reason to hold it.
        let mut left = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        while left > 0 {
            let mut chunk = BytesMut::zeroed(left.min(CHUNK_BYTES));
            let length = program.read(&mut chunk).await?;
            if length == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            chunk.truncate(length);
            left -= length;
            if output.send(Ok(wrap(chunk.freeze()))).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Types what the caller sends, to its end. A program that reads no more is no error.
async fn feed(input: Input, mut program: impl AsyncWrite + Unpin, has_terminal: bool) -> Result<()> {
    let mut input = input.into_reader();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = input.read(&mut chunk).await.map_err(|err| Error::failed(format!("the program was ended: {err}")))?;
        let written = match &chunk[..length] {
            [] if has_terminal => program.write_all(END_OF_TYPING).await,
            [] => program.shutdown().await,
            typed => program.write_all(typed).await,
        };
        let flushed = if written.is_ok() { program.flush().await } else { written };
        if length == 0 || flushed.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(bytes: &[u8]) -> (io::Result<()>, Vec<Output>) {
        let (sender, mut receiver) = mpsc::channel(64);
        let told = tell_framed(bytes, &sender).await;
        drop(sender);
        let mut seen = Vec::new();
        while let Some(output) = receiver.recv().await {
            seen.push(output.unwrap());
        }
        (told, seen)
    }

    #[tokio::test]
    async fn both_streams_are_told_apart_in_their_order() {
        let (told, seen) = told(b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x01!\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x01.").await;

        assert!(told.is_ok());
        assert_eq!(seen, [Output::Stdout("hi".into()), Output::Stderr("!".into()), Output::Stdout(".".into())]);
    }

    #[tokio::test]
    async fn a_long_frame_comes_in_pieces_and_a_cut_one_is_an_error() {
        let mut bytes = vec![1, 0, 0, 0, 0, 1, 0, 0];
        bytes.resize(8 + 65_536 - 1, b'x');

        let (told, seen) = told(&bytes).await;

        assert_eq!(told.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(seen.len(), 2);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        assert_eq!(told(b"\x07\0\0\0\xff\xff\xff\xff").await.0.unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_terminal_is_told_its_end_and_a_cut_is_none() {
        let mut typed = Vec::new();
        feed(Input::new(&b"exit\n"[..]), &mut typed, true).await.unwrap();

        assert_eq!(typed, b"exit\n\x04");

        let cut = tokio_util::io::StreamReader::new(futures_util::stream::iter([
            Ok(Bytes::from("half")),
            Err(io::Error::new(ErrorKind::ConnectionAborted, "the client left in the middle of its input")),
        ]));
        let err = feed(Input::new(cut), &mut Vec::new(), false).await.unwrap_err();
        assert!(err.sentence().contains("in the middle of its input"), "{err}");
    }

    #[tokio::test]
    async fn output_that_nobody_takes_is_not_read() {
        let (sender, receiver) = mpsc::channel(2);
        let (mut program, stream) = tokio::io::duplex(1024);

        let flood = async { tokio::time::timeout(std::time::Duration::from_millis(200), program.write_all(&vec![0; 1 << 20])).await };
        let (flooded, ()) = tokio::join!(flood, async {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(300), tell_raw(stream, &sender)).await;
        });

        assert!(flooded.is_err(), "a megabyte was taken without a reader");
        drop(receiver);
    }
}
