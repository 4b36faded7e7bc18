//! The client's half of a channel: always drained, its data handed to the desk, its leaving noticed.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use russh::{ChannelMsg, ChannelReadHalf, Sig};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;

use super::presence::Presence;
use super::terminal::Discipline;

/// Chunks of input (32 KiB each at most) that wait for the desk.
const WAITING_CHUNKS: usize = 64;
/// russh grants a channel new window by itself, so back-pressure can only be made by not draining; that stops the client's
/// other channels too, and nobody would notice it leaving. Hence an end to the patience.
const STALL_DEADLINE: Duration = Duration::from_mins(1);

/// The desk's end of the input.
pub(super) type Stdin = StreamReader<ReceiverStream<io::Result<Bytes>>, Bytes>;

/// Reads a channel until it is over, from before the command line to after the exit status.
pub(super) struct InputPump {
    inlet: Inlet,
    presence: Presence,
    discipline: Discipline,
    resizes: watch::Sender<(u32, u32)>,
    /// Data before a command line belongs to nobody.
    is_started: bool,
}

/// Our end of the desk's input.
struct Inlet {
    /// Gone once the input has ended or nobody reads it: what comes then is dropped.
    pipe: Option<mpsc::Sender<io::Result<Bytes>>>,
    /// A place kept free, so that a cut can always be told from an end.
    last_word: Option<mpsc::OwnedPermit<io::Result<Bytes>>>,
}

// === impl InputPump ===

impl InputPump {
    /// Makes the pump of one channel and the stream that the desk will read.
    pub fn new(presence: Presence, discipline: Discipline, resizes: watch::Sender<(u32, u32)>) -> (Self, Stdin) {
        let (inlet, stdin) = Inlet::new();
        let pump = InputPump { inlet, presence, discipline, resizes, is_started: false };
        (pump, stdin)
    }

    /// Drains the channel until either side closes it.
    pub async fn run(mut self, mut channel: ChannelReadHalf) {
        let closed = self.presence.closed().clone();
        let drained = async {
            while let Some(msg) = channel.wait().await {
                match msg {
                    ChannelMsg::Close => break,
                    msg => self.take(msg).await,
                }
            }
        };
        closed.run_until_cancelled(drained).await;
        self.inlet.fail(io::ErrorKind::ConnectionAborted, "the client left in the middle of its input");
        self.presence.close();
    }

    async fn take(&mut self, msg: ChannelMsg) {
        match msg {
            ChannelMsg::Exec { .. } | ChannelMsg::RequestShell { .. } => self.is_started = true,
            ChannelMsg::Data { data } if self.is_started => self.take_data(data).await,
            ChannelMsg::Eof => self.inlet.end(),
            ChannelMsg::WindowChange { col_width, row_height, .. } => {
                self.resizes.send_replace((col_width, row_height));
            }
            ChannelMsg::Signal { signal: Sig::INT } => self.presence.interrupt(),
            _ => {}
        }
    }

    async fn take_data(&mut self, data: Bytes) {
        if !self.discipline.is_on() {
            return self.inlet.push(data).await;
        }
        let typed = Discipline::read_typed(&data);
        self.inlet.push(typed.bytes).await;
        if typed.ended {
            self.inlet.end();
        }
        if typed.interrupted {
            self.presence.interrupt();
        }
    }
}

// === impl Inlet ===

impl Inlet {
    fn new() -> (Self, Stdin) {
        let (pipe, waiting) = mpsc::channel(WAITING_CHUNKS + 1);
        let last_word = pipe.clone().try_reserve_owned().ok();
        let stdin = StreamReader::new(ReceiverStream::new(waiting));
        (Inlet { pipe: Some(pipe), last_word }, stdin)
    }

    async fn push(&mut self, data: Bytes) {
        let Some(pipe) = &self.pipe else { return };
        if data.is_empty() {
            return;
        }
        match tokio::time::timeout(STALL_DEADLINE, pipe.send(Ok(data))).await {
            Ok(Ok(())) => {}
            // The desk has no use for input: keep draining.
            Ok(Err(_)) => self.end(),
            Err(_) => self.fail(io::ErrorKind::TimedOut, "the input was not read for a minute"),
        }
    }

    /// Ends the input as its sender wished.
    fn end(&mut self) {
        self.pipe = None;
        self.last_word = None;
    }

    /// Ends the input with an error, unless it has ended: half a file must not look like a whole one.
    fn fail(&mut self, kind: io::ErrorKind, why: &'static str) {
        self.pipe = None;
        if let Some(place) = self.last_word.take() {
            place.send(Err(io::Error::new(kind, why)));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn an_end_is_told_from_a_cut() {
        for (ends_well, expected) in [(true, None), (false, Some(io::ErrorKind::ConnectionAborted))] {
            let (mut inlet, mut stdin) = Inlet::new();
            inlet.push("half".into()).await;
            if ends_well {
                inlet.end();
            }
            inlet.fail(io::ErrorKind::ConnectionAborted, "cut");

            let mut text = String::new();
            let read = stdin.read_to_string(&mut text).await;

            assert_eq!(read.err().map(|err| err.kind()), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn input_that_nobody_reads_stops_blocking_and_is_not_taken_as_whole() {
        let (mut inlet, mut stdin) = Inlet::new();
        for _ in 0..1000 {
            inlet.push("chunk".into()).await;
        }
        inlet.end();

        let mut text = String::new();
        let err = stdin.read_to_string(&mut text).await.unwrap_err();

        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_desk_that_drops_its_input_stalls_nobody() {
        let (mut inlet, stdin) = Inlet::new();
        drop(stdin);

        for _ in 0..1000 {
            inlet.push("chunk".into()).await;
        }

        assert!(inlet.pipe.is_none());
    }
}
