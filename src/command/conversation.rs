//! The server's side of the frame protocol: one call, whatever stream it came over.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;

use super::call::{Call, Input, Reply};
use super::frame::Frame;
use super::wire::{self, Request};
use crate::error::{Error, Result};

/// Frames of input that wait for a command to read them.
const WAITING_INPUT: usize = 8;

/// What a client sends after its request, on its way to the command.
struct Pump {
    input: Option<mpsc::Sender<io::Result<Bytes>>>,
    sizes: watch::Sender<(u32, u32)>,
}

/// Serves one call: reads its request, feeds it what follows and sends its reply. Returns when all is sent, or the client has left.
///
/// `cancelled` is the call's: it is cancelled when `from` ends, and the door cancels it when it knows sooner.
pub async fn converse<F: Future<Output = Result<Reply>>>(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    cancelled: CancellationToken,
    run: impl FnOnce(Call) -> F,
) -> io::Result<()> {
    let request = match Frame::read(&mut from).await {
        Ok(Some(frame)) => Request::from_frame(&frame),
        Ok(None) => return Ok(()),
        Err(err) => Err(Error::usage("the server did not understand this client").because(err)),
    };
    let (inlet, chunks) = mpsc::channel(WAITING_INPUT);
    let (sizes, resizes) = watch::channel((0, 0));
    let answer = async {
        let reply = match request {
            Ok(Request { command, terminal, .. }) => {
                let input = Input::new(StreamReader::new(ReceiverStream::new(chunks)));
                run(Call { command, input, terminal, resizes, cancelled: cancelled.clone() }).await
            }
            Err(err) => Err(err),
        };
        wire::send_reply(reply, &mut to).await
    };
    let listen = async {
        Pump { input: Some(inlet), sizes }.run(&mut from).await;
        cancelled.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        sent = answer => sent,
        () = listen => Ok(()),
    }
}

// === impl Pump ===

impl Pump {
    /// Hands on what the client sends; returns when it has left.
    async fn run(mut self, from: &mut (impl AsyncRead + Unpin)) {
        while let Ok(Some(frame)) = Frame::read(from).await {
            self.take(frame).await;
        }
        self.cut().await;
    }

    async fn take(&mut self, frame: Frame) {
        match frame.kind {
            wire::INPUT => self.feed(frame.payload).await,
            wire::INPUT_END => self.input = None,
            wire::RESIZE => {
                if let Some(size) = wire::size_in(&frame) {
                    self.sizes.send_replace(size);
                }
            }
            _ => {}
        }
    }

    /// A command that does not read its input is no reason to stop listening for its client.
    async fn feed(&mut self, bytes: Vec<u8>) {
        if let Some(open) = &self.input
            && open.send(Ok(bytes.into())).await.is_err()
        {
            self.input = None;
        }
    }

    /// An input that nobody ended was cut: half of an archive must not pass for the whole.
    async fn cut(self) {
        if let Some(open) = self.input {
            let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "the client left in the middle of its input");
            let _ = open.send(Err(cut)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::Command;
    use super::super::call::{Attached, Output};
    use super::super::wire::{INPUT, INPUT_END, PROTOCOL, Received};
    use super::*;

    fn request() -> Frame {
        Request { protocol: PROTOCOL, command: Command::Whoami, terminal: None }.to_frame()
    }

    async fn written(frames: &[Frame]) -> Vec<u8> {
        let mut wire = Vec::new();
        for frame in frames {
            frame.write(&mut wire).await.unwrap();
        }
        wire
    }

    #[tokio::test]
    async fn a_program_gets_its_input_and_sizes_and_gives_its_output_and_exit_code() {
        let sent = [request(), wire::resize_frame(80, 24), Frame::new(INPUT, *b"hello"), Frame::new(INPUT_END, [])];
        let (client, server) = tokio::io::duplex(1 << 16);
        let (mut heard, mut say) = tokio::io::split(client);
        let (from, to) = tokio::io::split(server);
        tokio::io::AsyncWriteExt::write_all(&mut say, &written(&sent).await).await.unwrap();

        let serve = converse(from, to, CancellationToken::new(), |call| async move {
            let mut text = String::new();
            call.input.into_reader().read_to_string(&mut text).await.unwrap();
            let (output, receiver) = mpsc::channel(4);
            output.send(Ok(Output::Stdout(format!("{text} {:?}", *call.resizes.borrow()).into()))).await.unwrap();
            output.send(Ok(Output::Exited(7))).await.unwrap();
            Ok(Reply::Attached(Attached { has_terminal: true, output: receiver }))
        });
        serve.await.unwrap();

        assert_eq!(wire::receive(&mut heard).await.unwrap(), Received::Attached { has_terminal: true });
        assert_eq!(wire::receive(&mut heard).await.unwrap(), Received::Stdout(b"hello (80, 24)".to_vec()));
        let Received::End(end) = wire::receive(&mut heard).await.unwrap() else { panic!("no end") };
        assert_eq!((end.code, end.error), (7, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_that_is_cut_is_an_error_and_not_an_end() {
        let sent = written(&[request(), Frame::new(INPUT, *b"half")]).await;
        let cancelled = CancellationToken::new();
        let (seen, saw) = tokio::sync::oneshot::channel();

        let serve = converse(sent.as_slice(), tokio::io::sink(), cancelled.clone(), |call| async move {
            let mut text = String::new();
            let read = call.input.into_reader().read_to_string(&mut text).await;
            seen.send(read.map_err(|err| err.kind())).unwrap();
            std::future::pending().await
        });
        let (served, saw) = tokio::join!(tokio::time::timeout(std::time::Duration::from_secs(5), serve), saw);

        assert_eq!(saw.unwrap(), Err(io::ErrorKind::ConnectionAborted));
        assert!(served.is_err() && cancelled.is_cancelled());
    }
}
