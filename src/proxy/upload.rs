//! A request's body, which its client owes us and the app must take.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::client::Client;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A request body on its way to the app, if there is one. In a box: requests are passed on many times, most of them without.
pub(super) struct UploadBody(Option<Box<Upload>>);

struct Upload {
    /// Missing at its end.
    inner: Option<Incoming>,
    /// How many bytes may still come.
    left: Option<u64>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    watch: Arc<UploadWatch>,
    client: Arc<Client>,
}

/// What the waiting side sees of an upload.
#[derive(Default)]
pub(super) struct UploadWatch {
    trouble: AtomicU8,
    /// All that came was taken, and there is more to come.
    is_owed: AtomicBool,
    /// Milliseconds on [`CLOCK`] at which a frame was last taken.
    moved: AtomicU64,
    bytes: AtomicU64,
}

static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);
const MALFORMED: u8 = 1;
const STALLED: u8 = 2;
const TOO_LARGE: u8 = 3;

// === impl UploadBody ===

impl UploadBody {
    pub(super) fn none() -> Self {
        UploadBody(None)
    }

    /// Wraps a client's body: fails when the client owes bytes and sends none for `patience`, and after `most` bytes.
    pub(super) fn new(inner: Incoming, patience: Duration, most: Option<u64>, client: Arc<Client>) -> (Self, Arc<UploadWatch>) {
        let watch = Arc::new(UploadWatch::default());
        watch.touch();
        let upload = Upload { inner: Some(inner), left: most, patience, stalled: None, watch: Arc::clone(&watch), client };
        (UploadBody(Some(Box::new(upload))), watch)
    }

    fn inner(&self) -> Option<&Incoming> {
        self.0.as_ref()?.inner.as_ref()
    }
}

// === impl Upload ===

impl Upload {
    /// Counts a frame; tells whether it is within what may come.
    fn takes(&mut self, frame: &Frame<Bytes>) -> bool {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let left = self.left.map(|left| left.checked_sub(length));
        if let Some(Some(left)) = left {
            self.left = Some(left);
        }
        left != Some(None)
    }

    fn end(&mut self) {
        self.inner = None;
        self.client.set_owes_body(false);
    }

    fn fail(&mut self, trouble: u8, fault: Fault) -> Fault {
        self.inner = None;
        self.watch.trouble.store(trouble, Ordering::Release);
        fault
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(this) = &mut self.0 else { return Poll::Ready(None) };
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let frame = Pin::new(inner).poll_frame(cx);
        this.watch.is_owed.store(frame.is_pending(), Ordering::Release);
        let Poll::Ready(frame) = frame else {
            let patience = this.patience;
            ready!(this.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience))).as_mut().poll(cx));
            let fault = io::Error::new(io::ErrorKind::TimedOut, "the client owes its body");
            return Poll::Ready(Some(Err(this.fail(STALLED, fault.into()))));
        };
        this.stalled = None;
        match frame {
            Some(Ok(frame)) if frame.is_data() => {
                if !this.takes(&frame) {
                    let fault = io::Error::new(io::ErrorKind::FileTooLarge, "the body is over its limit");
                    return Poll::Ready(Some(Err(this.fail(TOO_LARGE, fault.into()))));
                }
                this.watch.move_on(frame.data_ref().map_or(0, Bytes::len));
                if this.inner.as_ref().is_none_or(Body::is_end_stream) {
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // Trailers end a body and are not forwarded.
            Some(Ok(_)) | None => {
                this.watch.move_on(0);
                this.end();
                Poll::Ready(None)
            }
            Some(Err(err)) => Poll::Ready(Some(Err(this.fail(MALFORMED, err.into())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

// === impl UploadWatch ===

impl UploadWatch {
    /// Returns how long the app has neither taken a byte of the upload nor been without one to take.
    pub(super) fn idle(&self) -> Duration {
        if self.is_owed.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        CLOCK.elapsed().saturating_sub(Duration::from_millis(self.moved.load(Ordering::Acquire)))
    }

    /// Returns the status of a client that failed to send its body, which is no fault of the app.
    pub(super) fn client_fault(&self) -> Option<StatusCode> {
        match self.trouble.load(Ordering::Acquire) {
            MALFORMED => Some(StatusCode::BAD_REQUEST),
            STALLED => Some(StatusCode::REQUEST_TIMEOUT),
            TOO_LARGE => Some(StatusCode::PAYLOAD_TOO_LARGE),
            _ => None,
        }
    }

    /// Returns how much of the body came.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn move_on(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        self.moved.store(u64::try_from(CLOCK.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }
}
