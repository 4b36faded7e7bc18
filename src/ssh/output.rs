//! The desk's half of a channel: two writers, one order, real back-pressure.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, PollSender};

use super::presence::Presence;
use super::terminal::Discipline;

/// `SSH_EXTENDED_DATA_STDERR` (RFC 4254 §5.2).
const STDERR: u32 = 1;
/// The largest chunk taken at once: one packet.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks between the desk and the client's window.
const WAITING_CHUNKS: usize = 8;

/// By which stream a chunk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

type Chunk = (Stream, Bytes);

/// A stream that the desk writes to. A write is done at once or not at all, so it may be cancelled; flushing is not needed.
pub(super) struct ChannelWriter {
    stream: Stream,
    outlet: PollSender<Chunk>,
    discipline: Discipline,
    last: u8,
}

/// What the writers have written and the client has not got yet.
pub(super) struct Outbox {
    chunks: mpsc::Receiver<Chunk>,
}

/// Makes stdout, stderr and the outbox behind both.
pub(super) fn writers(discipline: &Discipline) -> (ChannelWriter, ChannelWriter, Outbox) {
    let (outlet, chunks) = mpsc::channel(WAITING_CHUNKS);
    let writer = |stream| ChannelWriter { stream, outlet: PollSender::new(outlet.clone()), discipline: discipline.clone(), last: 0 };
    (writer(Stream::Stdout), writer(Stream::Stderr), Outbox { chunks })
}

// === impl Outbox ===

impl Outbox {
    /// Sends chunks in the order in which they were written, until the writers are dropped and all is sent.
    ///
    /// `done` ends it too: a writer that outlives its session does not hold the exit status back.
    pub async fn send(mut self, channel: &ChannelWriteHalf<Msg>, presence: &Presence, done: &CancellationToken) {
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                chunk = self.chunks.recv() => match chunk {
                    // russh forgets who waits for window when the client closes the channel: that wait would never end.
                    Some(chunk) => match presence.closed().run_until_cancelled(send(channel, chunk)).await {
                        Some(Ok(())) => {}
                        _ => return,
                    },
                    None => return,
                },
                () = done.cancelled(), if is_open => {
                    is_open = false;
                    self.chunks.close();
                }
            }
        }
    }
}

async fn send(channel: &ChannelWriteHalf<Msg>, (stream, bytes): Chunk) -> Result<(), russh::Error> {
    match stream {
        Stream::Stdout => channel.data_bytes(bytes).await,
        Stream::Stderr => channel.extended_data_bytes(STDERR, bytes).await,
    }
}

// === impl ChannelWriter ===

impl AsyncWrite for ChannelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let writer = &mut *self;
        let taken = &buf[..buf.len().min(CHUNK_BYTES)];
        if taken.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(writer.outlet.poll_reserve(cx)).map_err(|_| left())?;
        let bytes = if writer.discipline.is_on() { Discipline::end_lines(taken, &mut writer.last) } else { Bytes::copy_from_slice(taken) };
        writer.outlet.send_item((writer.stream, bytes)).map_err(|_| left())?;
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: the end of a channel belongs behind the exit status.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn left() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the client left")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    fn untranslated() -> Discipline {
        let discipline = Discipline::default();
        discipline.turn_off();
        discipline
    }

    #[tokio::test]
    async fn both_streams_keep_the_order_in_which_they_were_written() {
        let (mut stdout, mut stderr, mut outbox) = writers(&untranslated());
        stdout.write_all(b"one\n").await.unwrap();
        stderr.write_all(b"two\n").await.unwrap();
        stdout.write_all(b"three\n").await.unwrap();

        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(outbox.chunks.recv().await.unwrap());
        }

        let expected = [(Stream::Stdout, "one\n"), (Stream::Stderr, "two\n"), (Stream::Stdout, "three\n")];
        assert_eq!(seen, expected.map(|(stream, text)| (stream, Bytes::from(text))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_stops_the_writer() {
        let (mut stdout, _stderr, _outbox) = writers(&untranslated());

        let flood = tokio::time::timeout(Duration::from_mins(1), stdout.write_all(&vec![0; 1 << 20])).await;

        assert!(flood.is_err(), "a megabyte was taken in without a reader");
    }

    #[tokio::test]
    async fn writing_to_a_client_that_left_is_a_broken_pipe() {
        let (mut stdout, _stderr, outbox) = writers(&untranslated());
        drop(outbox);

        let err = stdout.write_all(b"hello").await.unwrap_err();

        assert_eq!(err.kind(), io::ErrorKind::BrokenPipe);
    }
}
