//! An answer's body: a page of our own, or the app's, which holds its seat until the last byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::pool::Pool;
use super::upstream::Link;
use crate::route::Seat;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body: a page of our own, or the app's.
pub(super) enum AnswerBody {
    Own(Full<Bytes>),
    Empty,
    App(Box<AppBody>),
}

/// The app's answer and everything that must live as long: the connection that carries it and the seat.
pub(super) struct AppBody {
    incoming: Incoming,
    held: Option<Held>,
    /// hyper throws away what it has not flushed when a body fails: the failure waits for one turn.
    fault: Option<hyper::Error>,
}

struct Held {
    link: Box<Link>,
    /// Where both go after the last byte; the API has neither.
    app: Option<(Seat, Arc<Pool>)>,
}

// === impl AnswerBody ===

impl AnswerBody {
    pub(super) fn own(text: Bytes) -> Self {
        AnswerBody::Own(Full::new(text))
    }

    /// Wraps an app's body; `link` goes back to `pool` and the seat is given up after the last byte.
    pub(super) fn app(incoming: Incoming, link: Box<Link>, seat: Seat, pool: Arc<Pool>) -> Self {
        Self::held(incoming, Held { link, app: Some((seat, pool)) })
    }

    /// Wraps an answer of the API; `link` is closed after the last byte, or when the client has left.
    pub(super) fn api(incoming: Incoming, link: Box<Link>) -> Self {
        Self::held(incoming, Held { link, app: None })
    }

    fn held(incoming: Incoming, held: Held) -> Self {
        let mut body = AppBody { incoming, held: Some(held), fault: None };
        if body.incoming.is_end_stream() {
            body.end();
            return AnswerBody::Empty;
        }
        AnswerBody::App(Box::new(body))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            AnswerBody::Own(page) => Pin::new(page).poll_frame(cx).map_err(|never| match never {}),
            AnswerBody::Empty => Poll::Ready(None),
            AnswerBody::App(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Own(page) => page.is_end_stream(),
            AnswerBody::Empty => true,
            AnswerBody::App(body) => body.held.is_none() && body.fault.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Own(page) => page.size_hint(),
            AnswerBody::Empty => SizeHint::with_exact(0),
            AnswerBody::App(body) => body.incoming.size_hint(),
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
        if frame.is_pending() {
            // The connection has no task of its own: it moves when its answer is asked for.
            held.link.drive(cx);
            frame = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match ready!(frame) {
            Some(Ok(frame)) if frame.is_data() => {
                if self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Ok(_)) | None => {
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
        if let Some(Held { link, app: Some((seat, pool)) }) = self.held.take() {
            seat.release().counters().answered();
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
