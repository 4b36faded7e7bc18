//! Bytes both ways between two streams, through one buffer for all relays of a core: a silent relay holds none.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one read may bring: fewer reads and writes for large messages, and no memory for idle relays (research/proxy.md).
const SCRATCH_BYTES: usize = 256 << 10;

thread_local!(static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()));

/// One direction.
#[derive(Default)]
struct Way {
    /// Read, and not taken by the other side yet.
    left: Vec<u8>,
    has_ended: bool,
    is_closed: bool,
    bytes: u64,
}

/// Relays until both sides have ended; `early` was read from each before. `moved` holds the bytes that went from the first to the
/// second, and back, also when a side breaks or the relay is dropped.
pub(super) async fn relay<A, B>(first: &mut A, second: &mut B, early: [&[u8]; 2], moved: &[Cell<u64>; 2]) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let [mut there, mut back] = early.map(Way::beginning_with);
    std::future::poll_fn(|cx| {
        let (went, came) = (there.poll(cx, first, second), back.poll(cx, second, first));
        moved[0].set(there.bytes);
        moved[1].set(back.bytes);
        if went?.is_ready() && came?.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

// === impl Way ===

impl Way {
    fn beginning_with(early: &[u8]) -> Way {
        Way { left: early.to_vec(), bytes: early.len() as u64, ..Way::default() }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while !self.left.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, &self.left))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.left.drain(..count);
            }
            if self.has_ended {
                return self.close(cx, to);
            }
            // An empty buffer keeps its memory, which a silent relay has no use for.
            self.left = Vec::new();
            if SCRATCH.with_borrow_mut(|scratch| self.pass(cx, scratch, from, to))?.is_pending() {
                // What TLS has gathered goes out before we wait.
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                return Poll::Pending;
            }
        }
    }

    /// Reads once and writes what it can of that.
    fn pass<R, W>(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buf = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(cx, &mut buf))?;
        let read = buf.filled();
        self.has_ended = read.is_empty();
        self.bytes += read.len() as u64;
        let taken = match Pin::new(to).poll_write(cx, read) {
            Poll::Ready(count) if !read.is_empty() => count?,
            _ => 0,
        };
        self.left.extend_from_slice(&read[taken..]);
        Poll::Ready(Ok(()))
    }

    fn close<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        if !self.is_closed {
            ready!(Pin::new(to).poll_shutdown(cx))?;
            self.is_closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_whole_and_in_order_however_slowly_they_are_taken() {
        let (mut client, mut near) = duplex(1 << 10);
        let (mut far, mut app) = duplex(64);
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let moved = [Cell::new(0), Cell::new(0)];
        let relayed = relay(&mut near, &mut far, [b"early", b"back"], &moved);
        let talk = async {
            let (mut seen, mut back) = (Vec::new(), Vec::new());
            let upload = async {
                client.write_all(&sent).await.unwrap();
                client.shutdown().await.unwrap();
                client.read_to_end(&mut back).await.unwrap();
            };
            let download = async {
                app.read_to_end(&mut seen).await.unwrap();
                app.shutdown().await.unwrap();
            };
            tokio::join!(upload, download);
            (seen, back)
        };

        let (relayed, (seen, back)) = tokio::join!(relayed, talk);

        assert!(seen.starts_with(b"early") && seen[5..] == sent && back == b"back");
        relayed.unwrap();
        assert_eq!(moved.map(Cell::into_inner), [sent.len() as u64 + 5, 4]);
    }

    #[tokio::test]
    async fn a_side_that_breaks_ends_both() {
        let (client, mut near) = duplex(16);
        let (mut far, app) = duplex(16);
        drop((client, app));

        assert!(relay(&mut near, &mut far, [b"x", b""], &[Cell::new(0), Cell::new(0)]).await.is_err());
    }
}
