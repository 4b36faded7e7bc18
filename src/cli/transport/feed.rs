//! The input of a call: made on a thread of its own, sent as fast as the server takes it.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// One piece of input; with the pieces that wait, all that is ever in memory.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_WAITING: usize = 4;

/// Writes the input to its end, blocking. An error means that the input must not pass for a whole one.
pub type Feed = Box<dyn FnOnce(Sink) -> Result<()> + Send>;

/// Where a feed writes: pieces leave when they are full, on `flush`, and with `finish`.
pub struct Sink {
    piece: Vec<u8>,
    to: mpsc::Sender<Vec<u8>>,
}

/// A feed at work.
pub struct Feeding {
    pieces: mpsc::Receiver<Vec<u8>>,
    work: JoinHandle<Result<()>>,
}

/// Reads all of `reader`, each read as a piece: somebody may be typing.
pub fn of_reader(mut reader: impl Read + Send + 'static) -> Feed {
    Box::new(move |mut sink| {
        let mut piece = vec![0; 64 << 10];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) if sink.write_all(&piece[..length]).and_then(|()| sink.flush()).is_err() => return Ok(()),
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(Error::failed("the input could not be read").because(err)),
            }
        }
    })
}

/// Starts a feed.
pub fn start(feed: Feed) -> Feeding {
    let (to, pieces) = mpsc::channel(PIECES_WAITING);
    let sink = Sink { piece: Vec::with_capacity(PIECE_BYTES), to };
    Feeding { pieces, work: tokio::task::spawn_blocking(move || feed(sink)) }
}

// === impl Feeding ===

impl Feeding {
    /// Returns the next piece; `None` at a whole input's end. Errors are the feed's own.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        let done = (&mut self.work).await.map_err(|err| Error::failed("the input could not be made").because(err))?;
        done.map(|()| None)
    }

    /// Reads a small input as text. Errors: it is longer than the server takes, or no text.
    pub async fn text(mut self, limit: usize) -> Result<String> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            bytes.extend(piece);
            if bytes.len() > limit {
                return Err(Error::usage(format!("the input is over {} KiB", limit / 1024)));
            }
        }
        String::from_utf8(bytes).map_err(|_| Error::usage("the input is not UTF-8 text"))
    }
}

// === impl Sink ===

impl Sink {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.to.blocking_send(piece).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the server takes no more"))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if taken == room {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() { Ok(()) } else { self.send() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_bounded_and_whole() {
        let feed: Feed = Box::new(|mut sink| {
            sink.write_all(&vec![7; 3 * PIECE_BYTES / 2]).unwrap();
            sink.flush().unwrap();
            Ok(())
        });
        let mut feeding = start(feed);

        assert_eq!(feeding.next().await.unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(feeding.next().await.unwrap().unwrap().len(), PIECE_BYTES / 2);
        assert_eq!(feeding.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_feed_that_fails_has_no_end() {
        let feed: Feed = Box::new(|mut sink| {
            sink.write_all(b"half").and_then(|()| sink.flush()).unwrap();
            Err(Error::failed("`b` cannot be read"))
        });
        let mut feeding = start(feed);

        assert_eq!(feeding.next().await.unwrap().unwrap(), b"half");
        assert!(feeding.next().await.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_is_not_wanted_any_more_stops() {
        let feeding = start(of_reader(io::repeat(7)));
        let Feeding { pieces, work } = feeding;

        drop(pieces);

        tokio::time::timeout(std::time::Duration::from_secs(10), work).await.unwrap().unwrap().unwrap();
    }
}
