//! One request on its way to a release: from upstream to upstream as long as none took it, and sent twice only if it may be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, Version};

use super::client::Client;
use super::cores::Shared;
use super::exchange::outgoing;
use super::interim;
use super::multiplex::Multiplexed;
use super::upload::{UploadBody, UploadWatch};
use super::upstream::{Carrier, Failure, Link};
use crate::route::{Edge, Lease, Protocol, Seat, Tried};

/// A request that has not been answered yet.
pub(super) struct Errand<'a> {
    /// Missing only while, and after, it was sent.
    request: Option<Request<UploadBody>>,
    /// The same once more, for a connection that was closed under the first.
    spare: Option<Request<UploadBody>>,
    /// The first may have arrived: the app may have died of it, and does not get it again when it is back.
    may_have_arrived: bool,
    upload: Option<&'a UploadWatch>,
    /// Who hears informational answers.
    hears: Option<&'a Arc<Client>>,
    protocol: Protocol,
    patience: Option<Duration>,
}

/// What a release made of a request.
pub(super) enum Attempt {
    Answer(Response<Incoming>, Carrier, Seat),
    /// No upstream took the connection: the request can still go anywhere. Without a failure none was asked, since all refused
    /// others a moment ago.
    Refused(Option<Failure>),
    /// The request may have arrived.
    Failed(Failure),
}

// === impl Errand ===

impl<'a> Errand<'a> {
    pub(super) fn new(
        head: Parts,
        body: UploadBody,
        upload: Option<&'a UploadWatch>,
        is_repeatable: bool,
        client: &'a Arc<Client>,
        edge: &Edge,
    ) -> Self {
        let (protocol, patience) = (edge.protocol, edge.first_byte);
        let hears = (head.version == Version::HTTP_11).then_some(client);
        let request = outgoing(head, body, protocol);
        let spare = is_repeatable.then(|| copy_of(&request));
        Errand { request: Some(request), spare, may_have_arrived: false, upload, hears, protocol, patience }
    }

    /// Asks the upstreams of a release, each at most once, until one takes the request.
    pub(super) async fn attempt(&mut self, shared: &Shared, lease: &Lease) -> Attempt {
        let mut tried = Tried::default();
        let (mut refusal, begun) = (None, Instant::now());
        while let Some(seat) = Seat::take(lease, &mut tried) {
            match self.send(shared, &seat).await {
                Ok((answer, carrier)) => return Attempt::Answer(answer, carrier, seat),
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
    async fn send(&mut self, shared: &Shared, seat: &Seat) -> Result<(Response<Incoming>, Carrier), Failure> {
        let mut pooled = self.standing(shared, seat);
        loop {
            let is_fresh = pooled.is_none();
            let mut carrier = match pooled.take() {
                Some(carrier) => carrier,
                None => self.open(shared, seat).await?,
            };
            let mut request = self.request.take().expect("it is put back before each round");
            if let Some(client) = self.hears {
                interim::listen(&mut request, client);
            }
            let arrived = match &mut carrier {
                Carrier::Link(link) => link.send(request, self.upload, self.patience).await,
                Carrier::Stream(stream) => stream.send(request, self.upload, self.patience).await,
            };
            match arrived {
                Ok(answer) => return Ok((answer, carrier)),
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

    fn standing(&self, shared: &Shared, seat: &Seat) -> Option<Carrier> {
        match self.protocol {
            Protocol::Http1 => shared.pool.take(seat).map(Carrier::Link),
            Protocol::H2c => shared.pool.enter(seat).map(Carrier::Stream),
        }
    }

    async fn open(&self, shared: &Shared, seat: &Seat) -> Result<Carrier, Failure> {
        let (address, deadline) = (seat.address(), shared.limits.connect);
        let carrier = match self.protocol {
            Protocol::Http1 => Carrier::Link(Link::open(address, deadline).await?),
            Protocol::H2c => {
                let connection = Multiplexed::open(address, deadline, &shared.pool.tasks).await?;
                shared.pool.share(seat, connection.clone());
                Carrier::Stream(connection.enter().ok_or(Failure::Late)?)
            }
        };
        seat.accepted();
        Ok(carrier)
    }
}

/// Returns a request without a body once more.
fn copy_of(request: &Request<UploadBody>) -> Request<UploadBody> {
    let mut copy = Request::new(UploadBody::none());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
