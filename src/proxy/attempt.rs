//! One request on its way to a release: from upstream to upstream as long as none took it, and sent twice only if it may be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::client::Client;
use super::cores::Shared;
use super::multiplex::Multiplexed;
use super::upload::{UploadBody, UploadWatch};
use super::upstream::{Carrier, Failure, Link};
use crate::route::{Edge, Lease, Protocol, Seat, Tried};

/// A request that has not been answered yet.
pub(super) struct Errand {
    /// Missing only while, and after, it was sent.
    request: Option<Request<UploadBody>>,
    /// It may be sent once more, where a connection was closed under the first.
    is_repeatable: bool,
    /// The same once more, for HTTP/2; of HTTP/1.1 the connection knows it.
    spare: Option<Box<Request<UploadBody>>>,
    /// The first may have arrived: the app may have died of it, and does not get it again when it is back.
    may_have_arrived: bool,
    upload: Option<Arc<UploadWatch>>,
    /// Its client is told of informational answers.
    hears_interim: bool,
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

impl Errand {
    pub(super) fn new(
        request: Request<UploadBody>,
        upload: Option<Arc<UploadWatch>>,
        hears_interim: bool,
        is_repeatable: bool,
        edge: &Edge,
    ) -> Self {
        let (protocol, patience) = (edge.protocol, edge.first_byte);
        let spare = (is_repeatable && protocol == Protocol::H2c).then(|| Box::new(copy_of(&request)));
        Errand { request: Some(request), is_repeatable, spare, may_have_arrived: false, upload, hears_interim, protocol, patience }
    }

    /// Returns what is seen of its body.
    pub(super) fn upload(&self) -> Option<&UploadWatch> {
        self.upload.as_deref()
    }

    /// Asks the upstreams of a release, each at most once, until one takes the request.
    pub(super) async fn attempt(&mut self, shared: &Shared, client: &Arc<Client>, lease: &Lease) -> Attempt {
        let mut tried = Tried::default();
        let (mut refusal, begun) = (None, Instant::now());
        while let Some(seat) = Seat::take(lease, &mut tried) {
            match self.send(shared, client, &seat).await {
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
    async fn send(&mut self, shared: &Shared, client: &Arc<Client>, seat: &Seat) -> Result<(Response<Incoming>, Carrier), Failure> {
        let (mut carrier, mut is_fresh) = match self.standing(shared, seat) {
            Some(carrier) => (carrier, false),
            // What few requests come to is in boxes: each has room for all that it could do next.
            None => (Box::pin(self.open(shared, seat)).await?, true),
        };
        loop {
            let request = self.request.take().expect("it is put back before each round");
            let arrived = match &mut carrier {
                Carrier::Link(link) => {
                    link.tap.begin(self.hears_interim.then_some(client), self.is_repeatable);
                    // In a box, since hyper's future has room for the request: two small boxes cost less than one that is not small.
                    let mut answer = Box::pin(link.send(request));
                    link.receive(answer.as_mut(), self.upload.as_deref(), self.patience).await
                }
                Carrier::Stream(stream) => Box::pin(stream.send(request, self.upload.as_deref(), self.patience)).await,
            };
            match arrived {
                Ok(answer) => return Ok((answer, carrier)),
                Err(Failure::Cut(err, Some(unsent))) => {
                    self.request = Some(*unsent);
                    if is_fresh {
                        return Err(Failure::Cut(err, None));
                    }
                }
                Err(Failure::Cut(err, None)) if !err.is_parse() => {
                    self.request = Some(self.again(&carrier).ok_or(Failure::Cut(err, None))?);
                    self.may_have_arrived = true;
                }
                Err(failure) => return Err(failure),
            }
            (carrier, is_fresh) = (Box::pin(self.open(shared, seat)).await?, true);
        }
    }

    /// Returns the request that was sent, if it may be sent once more.
    fn again(&mut self, carrier: &Carrier) -> Option<Request<UploadBody>> {
        if !std::mem::take(&mut self.is_repeatable) {
            return None;
        }
        match carrier {
            Carrier::Link(link) => link.tap.request(),
            Carrier::Stream(_) => self.spare.take().map(|spare| *spare),
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
