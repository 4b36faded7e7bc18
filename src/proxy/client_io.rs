//! A client's socket: it keeps the client's times, finds HTTP/2's preface, and sends informational answers ahead.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::Limits;
use super::alarm::Alarm;
use super::client::Client;

/// What a client with prior knowledge begins HTTP/2 with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The way to a client.
pub(super) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Http1,
    /// HTTP/2's preface was read, and reading failed on purpose: [`ClientIo::into_http2`] reads it again.
    Preface,
    Http2,
    /// A head was refused with this status, which nobody told the client yet.
    Refused(u16),
}

/// A client's socket.
pub(super) struct ClientIo {
    stream: ClientStream,
    client: Arc<Client>,
    opening: Opening,
    is_sniffing: bool,
    /// Read, and not given to anybody yet.
    held: Vec<u8>,
    /// Informational answers that are on their way.
    ahead: Vec<u8>,
    head: Duration,
    keep_alive: Duration,
    progress: Duration,
    owed: Owed,
    alarm: Alarm,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What a silent client owes us.
#[derive(Clone, Copy)]
enum Owed {
    Nothing,
    /// A next request, which it may not have.
    Request(Instant),
    /// The rest of a head, if what came was not all of it; since when is asked for where there is more to wait for.
    Head(Option<Instant>),
}

// === impl ClientIo ===

impl ClientIo {
    pub(super) fn new(stream: ClientStream, limits: &Limits, client: Arc<Client>) -> Self {
        ClientIo {
            stream,
            client,
            opening: Opening::Http1,
            is_sniffing: true,
            held: Vec::new(),
            ahead: Vec::new(),
            head: limits.head,
            keep_alive: limits.keep_alive,
            progress: limits.progress,
            owed: Owed::Request(Instant::now() + limits.head),
            alarm: Alarm::default(),
            stalled: None,
        }
    }

    /// Is read by HTTP/2 from now on, from the first byte: after its preface, or because both sides agreed on it.
    pub(super) fn into_http2(mut self) -> Self {
        self.opening = Opening::Http2;
        self
    }

    pub(super) fn opening(&self) -> Opening {
        self.opening
    }

    pub(super) fn stream_mut(&mut self) -> &mut ClientStream {
        &mut self.stream
    }

    pub(super) fn into_stream(self) -> ClientStream {
        self.stream
    }

    /// Reads on, holding back what may be the beginning of the preface; an error when it is the preface.
    fn sniff(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        buf.put_slice(&self.held);
        loop {
            let so_far = buf.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, buf);
            let (seen, is_end) = (&buf.filled()[before..], buf.filled().len() == so_far);
            let compared = seen.len().min(PREFACE.len());
            let may_be = seen[..compared] == PREFACE[..compared];
            match read {
                Poll::Ready(Ok(())) if may_be && compared == PREFACE.len() => {
                    (self.opening, self.is_sniffing) = (Opening::Preface, false);
                    self.held = seen.to_vec();
                    buf.set_filled(before);
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                }
                Poll::Ready(Ok(())) if may_be && !is_end => {}
                Poll::Pending => {
                    self.held = seen.to_vec();
                    buf.set_filled(before);
                    return Poll::Pending;
                }
                read @ Poll::Ready(_) => {
                    (self.is_sniffing, self.held) = (false, Vec::new());
                    return read;
                }
            }
        }
    }

    /// Reads, after what is held if HTTP/2 reads it now.
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let now = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held[..now]);
        self.held.drain(..now);
        Poll::Ready(Ok(()))
    }

    /// Ends the wait of a client that owes something for too long: between requests as if it had left, within a head with an error.
    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.client.is_idle() {
            self.owed = Owed::Nothing;
            return Poll::Pending;
        }
        if let Owed::Nothing = self.owed {
            self.owed = Owed::Request(Instant::now() + self.keep_alive);
        }
        let deadline = match &mut self.owed {
            Owed::Nothing => return Poll::Pending,
            Owed::Request(deadline) => *deadline,
            Owed::Head(deadline) => *deadline.get_or_insert_with(|| Instant::now() + self.head),
        };
        ready!(self.alarm.poll(cx, deadline));
        if let Owed::Request(_) = self.owed {
            return Poll::Ready(Ok(()));
        }
        self.opening = Opening::Refused(408);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Sends what is to stand before the next byte of hyper's.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            self.ahead = self.client.take_interim();
        }
        while !self.ahead.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.ahead);
            let count = ready!(self.watch(cx, written))?;
            self.ahead.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    /// Fails when the client takes no byte of ours for too long.
    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.progress;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }

    /// Takes the bare answer by which hyper itself refuses a head: ours says why.
    fn is_refusal(&mut self, bytes: &[u8]) -> bool {
        if self.opening == Opening::Http2 || self.client.owes_answer() {
            return false;
        }
        if let Opening::Http1 = self.opening {
            let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok());
            self.opening = Opening::Refused(status.unwrap_or(400));
        }
        true
    }

    /// Whether it goes on after HTTP/1.1.
    fn goes_on(&self) -> bool {
        matches!(self.opening, Opening::Preface | Opening::Refused(_))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.opening == Opening::Http2 {
            return this.read(cx, buf);
        }
        let before = buf.filled().len();
        let read = if this.is_sniffing { this.sniff(cx, buf) } else { Pin::new(&mut this.stream).poll_read(cx, buf) };
        if read.is_pending() {
            if this.is_sniffing && !this.held.is_empty() {
                this.expect_head();
            }
            return this.poll_owed(cx);
        }
        if buf.filled().len() > before {
            this.expect_head();
        }
        read
    }
}

impl ClientIo {
    /// Begins the wait for a next request. hyper has its read pending from before the answer and does not ask again: without an alarm
    /// that is set here, nothing would wake it.
    fn await_request(&mut self, cx: &mut Context<'_>) {
        let deadline = Instant::now() + self.keep_alive;
        self.owed = Owed::Request(deadline);
        let _ = self.alarm.poll(cx, deadline);
    }

    /// Notes that some of a head is there: the rest is owed soon.
    fn expect_head(&mut self) {
        if !self.client.is_idle() {
            self.owed = Owed::Nothing;
        } else if !matches!(self.owed, Owed::Head(_)) {
            self.owed = Owed::Head(None);
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_refusal(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(self.poll_ahead(cx))?;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.is_refusal(bufs.first().map_or(&[], |buf| buf)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        ready!(self.poll_ahead(cx))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ahead(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.client.flushed() && self.opening == Opening::Http1 {
            self.await_request(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let goes_on = self.goes_on();
        match &mut self.stream {
            ClientStream::Tls(stream) if !goes_on => Pin::new(stream).poll_shutdown(cx),
            // Without TLS the close, which comes next, says as much.
            ClientStream::Tls(_) | ClientStream::Plain(_) => Poll::Ready(Ok(())),
        }
    }
}

// === impl ClientStream ===

/// Calls the same method of whichever stream it is.
macro_rules! of_any {
    ($wire:expr, $stream:ident => $call:expr) => {
        match $wire {
            ClientStream::Plain($stream) => $call,
            ClientStream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        of_any!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        of_any!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        of_any!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        of_any!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_any!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_any!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
