//! One request on its way to a release: from upstream to upstream as long as none took it, and sent twice only if it may be.

use std::time::Instant;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};

use super::Shared;
use super::exchange::outgoing;
use super::upload::{UploadBody, UploadWatch};
use super::upstream::{Failure, Link};
use crate::route::{Lease, Seat, Tried};

/// A request that has not been answered yet.
pub(super) struct Errand<'a> {
    /// Missing only while, and after, it was sent.
    request: Option<Request<UploadBody>>,
    /// The same once more, for a connection that was closed under the first.
    spare: Option<Request<UploadBody>>,
    /// The first may have arrived: the app may have died of it, and does not get it again when it is back.
    may_have_arrived: bool,
    upload: Option<&'a UploadWatch>,
}

/// What a release made of a request.
pub(super) enum Attempt {
    Answer(Response<Incoming>, Box<Link>, Seat),
    /// No upstream took the connection: the request can still go anywhere. Without a failure none was asked, since all refused
    /// others a moment ago.
    Refused(Option<Failure>),
    /// The request may have arrived.
    Failed(Failure),
}

// === impl Errand ===

impl<'a> Errand<'a> {
    pub(super) fn new(head: Parts, body: UploadBody, upload: Option<&'a UploadWatch>, is_repeatable: bool) -> Self {
        let spare = is_repeatable.then(|| outgoing(head.clone(), UploadBody::none()));
        Errand { request: Some(outgoing(head, body)), spare, may_have_arrived: false, upload }
    }

    /// Asks the upstreams of a release, each at most once, until one takes the request.
    pub(super) async fn attempt(&mut self, shared: &Shared, lease: &Lease) -> Attempt {
        let mut tried = Tried::default();
        let (mut refusal, begun) = (None, Instant::now());
        while let Some(seat) = Seat::take(lease, &mut tried) {
            match self.send(shared, &seat).await {
                Ok((answer, link)) => return Attempt::Answer(answer, link, seat),
                Err(failure) if self.request.is_some() => {
                    if failure.is_of_upstream() {
                        seat.refused();
                    }
                    tracing::debug!(app.name = %lease.app(), upstream = %seat.address(), error = %failure, "passed over");
                    refusal = Some(failure);
                    // Upstreams that say nothing cost their whole time each.
                    if begun.elapsed() >= shared.limits.connect {
                        break;
                    }
                }
                Err(failure) => return Attempt::Failed(failure),
            }
        }
        match refusal {
            Some(failure) if self.may_have_arrived => Attempt::Failed(failure),
            refusal => Attempt::Refused(refusal),
        }
    }

    /// Sends the request to one upstream, on a connection that stands if there is one. After an error the request is still here
    /// if no byte of it left.
    ///
    /// A connection may be closed in the instant in which we write: by an app that had enough of idling, or that dies. A request
    /// of which no byte left goes to a fresh one; one that may have arrived does so only if it is repeatable, and once.
    async fn send(&mut self, shared: &Shared, seat: &Seat) -> Result<(Response<Incoming>, Box<Link>), Failure> {
        let mut pooled = shared.pool.take(seat);
        loop {
            let is_fresh = pooled.is_none();
            let mut link = match pooled.take() {
                Some(link) => link,
                None => Link::open(seat.address(), shared.limits.connect).await.inspect(|_| seat.accepted())?,
            };
            let request = self.request.take().expect("it is put back before each round");
            match link.send(request, self.upload, shared.limits.first_byte).await {
                Ok(answer) => return Ok((answer, link)),
                Err(Failure::Cut(err, Some(unsent))) => {
                    self.request = Some(*unsent);
                    if is_fresh {
                        return Err(Failure::Cut(err, None));
                    }
                }
                Err(Failure::Cut(err, None)) if !err.is_parse() && self.spare.is_some() => {
                    self.request = self.spare.take();
                    self.may_have_arrived = true;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}
