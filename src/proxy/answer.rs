//! An answer's body: a page of our own, or the app's, which holds its seat until the last byte.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::access::Record;
use super::client::Open;
use super::headers;
use super::pool::Pool;
use super::upstream::Carrier;
use crate::route::Seat;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body, the note that it is not complete, and what is told when it is.
pub(super) struct AnswerBody {
    kind: Kind,
    open: Option<Open>,
    record: Option<Box<Record>>,
}

enum Kind {
    Own(Full<Bytes>),
    Empty,
    App(Box<AppBody>),
}

/// The app's answer and everything that must live as long: what carries it, and the seat.
struct AppBody {
    incoming: Incoming,
    held: Option<Held>,
    passes_trailers: bool,
    /// hyper throws away what it has not flushed when a body fails: the failure waits for one turn.
    fault: Option<hyper::Error>,
}

struct Held {
    carrier: Carrier,
    /// Where both go after the last byte; the API has neither.
    app: Option<(Seat, Rc<Pool>)>,
}

// === impl AnswerBody ===

impl AnswerBody {
    pub(super) fn own(text: Bytes) -> Self {
        AnswerBody { kind: Kind::Own(Full::new(text)), open: None, record: None }
    }

    pub(super) fn empty() -> Self {
        AnswerBody { kind: Kind::Empty, open: None, record: None }
    }

    /// Wraps an app's body; a connection of its own goes back to `pool` and the seat is given up after the last byte.
    pub(super) fn app(incoming: Incoming, carrier: Carrier, seat: Seat, pool: Rc<Pool>, passes_trailers: bool) -> Self {
        Self::held(incoming, Held { carrier, app: Some((seat, pool)) }, passes_trailers)
    }

    /// Wraps an answer of the API; what carries it is closed after the last byte, or when the client has left.
    pub(super) fn api(incoming: Incoming, carrier: Carrier) -> Self {
        Self::held(incoming, Held { carrier, app: None }, false)
    }

    fn held(incoming: Incoming, held: Held, passes_trailers: bool) -> Self {
        let mut body = AppBody { incoming, held: Some(held), passes_trailers, fault: None };
        if body.incoming.is_end_stream() {
            body.end();
            return Self::empty();
        }
        AnswerBody { kind: Kind::App(Box::new(body)), open: None, record: None }
    }

    /// Keeps the request noted as open, and its record, until this body is dropped.
    pub(super) fn until_dropped(mut self, open: Open, mut record: Option<Box<Record>>) -> Self {
        if let (Kind::Own(_) | Kind::Empty, Some(record)) = (&self.kind, &mut record) {
            // There is no more to come, and a HEAD request does not ask for what there is.
            record.completed();
        }
        self.open = Some(open);
        self.record = record;
        self
    }

    fn note(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, Fault>>>) {
        let is_end = self.is_end_stream();
        let Some(record) = &mut self.record else { return };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                record.sent(frame.data_ref().map_or(0, Bytes::len));
                if is_end {
                    record.completed();
                }
            }
            Poll::Ready(Some(Err(_))) => record.cut("the app cut its answer"),
            Poll::Ready(None) => record.completed(),
            Poll::Pending => {}
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        let polled = match &mut this.kind {
            Kind::Own(page) => Pin::new(page).poll_frame(cx).map_err(|never| match never {}),
            Kind::Empty => Poll::Ready(None),
            Kind::App(body) => body.poll_frame(cx),
        };
        if let Some(open) = &mut this.open {
            open.set_unread(matches!(polled, Poll::Ready(Some(Ok(_)))));
        }
        this.note(&polled);
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(page) => page.is_end_stream(),
            Kind::Empty => true,
            Kind::App(body) => body.held.is_none() && body.fault.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(page) => page.size_hint(),
            Kind::Empty => SizeHint::with_exact(0),
            Kind::App(body) => body.incoming.size_hint(),
        }
    }
}

// === impl AppBody ===

impl AppBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault.into())));
        }
        let Some(held) = &mut self.held else { return Poll::Ready(None) };
        let mut frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if let (Poll::Pending, Carrier::Link(link)) = (&frame, &mut held.carrier) {
            // The connection has no task of its own: it moves when its answer is asked for.
            link.drive(cx);
            frame = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match ready!(frame) {
            Some(Ok(frame)) if frame.is_data() => {
                if self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Ok(frame)) => {
                self.end();
                let trailers = frame.into_trailers().ok().filter(|_| self.passes_trailers).map(headers::trailers);
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
            Some(Err(err)) => {
                self.cut(&err);
                self.fault = Some(err);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn end(&mut self) {
        let Some(Held { carrier, app: Some((seat, pool)) }) = self.held.take() else { return };
        seat.release().counters().answered();
        if let Carrier::Link(link) = carrier {
            pool.put(&seat, link);
        }
    }

    fn cut(&mut self, err: &hyper::Error) {
        if let Some(Held { app: Some((seat, _)), .. }) = self.held.take() {
            seat.release().counters().failed();
            tracing::debug!(app.name = %seat.release().app(), upstream = %seat.address(), error = %err, "the app cut its answer");
        }
    }
}
