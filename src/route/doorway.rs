//! An in-process way from the proxy to the API: streams without an address, and without an identity.

use std::io;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

/// Bytes on their way in each direction of one stream.
const STREAM_BYTES: usize = 64 << 10;
/// Streams that wait to be taken in; whoever opens more waits, too.
const WAITING: usize = 64;

/// The outer side: opens streams. Clones lead to the same place.
#[derive(Clone)]
pub struct Doorway {
    inlet: mpsc::Sender<DuplexStream>,
}

/// The inner side: streams to take in. Dropped, it refuses everybody.
pub type Arrivals = mpsc::Receiver<DuplexStream>;

// === impl Doorway ===

impl Doorway {
    /// Makes both sides.
    #[must_use]
    pub fn new() -> (Doorway, Arrivals) {
        let (inlet, waiting) = mpsc::channel(WAITING);
        (Doorway { inlet }, waiting)
    }

    /// Opens a stream. Errors: `ConnectionRefused` when nobody takes streams in any more.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(STREAM_BYTES);
        self.inlet.send(theirs).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_goes_in_comes_out_and_a_closed_door_refuses() {
        let (doorway, mut arrivals) = Doorway::new();
        let mut outside = doorway.connect().await.unwrap();
        let mut inside = arrivals.recv().await.unwrap();

        outside.write_all(b"hello").await.unwrap();
        drop(outside);
        let mut text = String::new();
        inside.read_to_string(&mut text).await.unwrap();
        drop(arrivals);

        assert_eq!(text, "hello");
        assert_eq!(doorway.connect().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_waits() {
        let (doorway, mut arrivals) = Doorway::new();
        for _ in 0..WAITING {
            doorway.connect().await.unwrap();
        }

        assert!(tokio::time::timeout(Duration::from_secs(1), doorway.connect()).await.is_err());
        arrivals.recv().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(1), doorway.connect()).await.is_ok());
    }
}
