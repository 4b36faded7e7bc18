//! A request on its way to an app: waiting for a release if need be, from a seat there, and back as its answer or as an honest page.

use std::rc::Rc;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode, Version};

use super::access::Record;
use super::answer::AnswerBody;
use super::attempt::{Attempt, Errand};
use super::client::Client;
use super::cores::Shared;
use super::edge;
use super::ending;
use super::headers::{self, Trailers};
use super::hold::{Hold, Lack};
use super::outgoing::{Inbound, outgoing, upload};
use super::pages::{self, Reader};
use super::tunnel;
use super::upload::UploadWatch;
use super::upstream::{Carrier, Failure};
use crate::model::AppName;
use crate::route::{Edge, HostName, Lease, Protocol, Seat, Target};

/// One request of an app's, until it has an answer.
pub(super) struct Journey {
    errand: Errand,
    host: HostName,
    /// What the table said last; taken while it is looked at.
    target: Option<Target>,
    hold: Hold,
    back: Back,
}

/// What the way back to the client asks for.
struct Back {
    upgrade: Option<OnUpgrade>,
    trailers: Trailers,
    reader: Reader,
}

// === impl Journey ===

impl Journey {
    /// Makes a request ready to leave, and returns what is seen of its body.
    pub(super) fn new(
        shared: &Shared,
        client: &Arc<Client>,
        request: Inbound,
        target: Target,
        edge: &Edge,
    ) -> (Journey, Option<Arc<UploadWatch>>) {
        let Inbound { mut head, body, plan, visitor, reader } = request;
        let trailers = Trailers::wanted(&head);
        let upgrade = head.extensions.remove::<OnUpgrade>().filter(|_| plan.is_websocket && edge.protocol == Protocol::Http1);
        edge::to_upstream(edge, &mut head.headers);
        headers::to_upstream(&mut head.headers, &plan.host, &visitor, &client.ends);
        if upgrade.is_some() {
            headers::set_websocket(&mut head.headers);
        } else {
            trailers.ask(&mut head.headers, edge.protocol);
        }
        let (body, upload) = upload(shared, body, client, edge.max_body_bytes);
        let hears_interim = head.version == Version::HTTP_11;
        let request = outgoing(head, body, edge.protocol);
        let errand = Errand::new(request, upload.clone(), hears_interim, plan.is_repeatable, edge);
        let back = Back { upgrade, trailers, reader };
        (Journey { errand, host: plan.host, target: Some(target), hold: Hold::default(), back }, upload)
    }

    /// Brings the request to whatever answers for its app, waiting while that is nobody for a moment.
    pub(super) async fn answer(
        &mut self,
        shared: &Rc<Shared>,
        client: &Arc<Client>,
        record: &mut Option<Box<Record>>,
    ) -> Response<AnswerBody> {
        let mut refusal = None;
        loop {
            let lack = match self.target.take().unwrap_or_else(|| shared.routes.lookup(&self.host)) {
                Target::Upstream(lease) => match self.errand.attempt(shared, client, &lease).await {
                    Attempt::Answer(answer, carrier, seat) => return self.back.deliver(shared, answer, carrier, seat, record),
                    Attempt::Failed(failure) => return failed(self.back.reader, &lease, self.errand.upload(), &failure),
                    Attempt::Refused(failure) => {
                        refusal = failure.or(refusal);
                        Lack::connection(&lease)
                    }
                },
                Target::Held { app, counters, waiting_room } => Lack::release(app, counters, waiting_room),
                closed => return nobody(self.back.reader, &self.host, closed),
            };
            if let Err(end) = Box::pin(self.hold.wait(shared, &lack)).await {
                return lack.page(self.back.reader, refusal.as_ref(), end);
            }
        }
    }
}

/// The page where a host has nothing to wait for.
fn nobody(reader: Reader, host: &HostName, target: Target) -> Response<AnswerBody> {
    match target {
        Target::Down { app, reason, counters } => {
            counters.failed();
            pages::down(reader, &app, &reason)
        }
        Target::NoRelease { app, counters } => {
            counters.failed();
            pages::down(reader, &app, "nothing was deployed yet")
        }
        Target::Upstream(_) | Target::Held { .. } | Target::Api | Target::None => pages::unknown_host(reader, host),
    }
}

fn failed(reader: Reader, lease: &Lease, upload: Option<&UploadWatch>, failure: &Failure) -> Response<AnswerBody> {
    if let Some(status) = upload.and_then(UploadWatch::client_fault) {
        return pages::cut_upload(reader, status);
    }
    lease.counters().failed();
    tracing::debug!(app.name = %lease.app(), release.version = %lease.version(), error = %failure, "no answer");
    failure_page(reader, lease.app(), failure)
}

/// What a request without an answer gets.
pub(super) fn failure_page(reader: Reader, app: &AppName, failure: &Failure) -> Response<AnswerBody> {
    match failure {
        Failure::Refused(_) => pages::bad_gateway(reader, app, "refused the connection"),
        Failure::Cut(..) => pages::bad_gateway(reader, app, "closed the connection without a proper answer"),
        Failure::Late => pages::too_late(reader, app),
    }
}

// === impl Back ===

impl Back {
    /// Hands an app's answer on: as a tunnel after a 101 that was asked for, else as a body that holds the seat.
    fn deliver(
        &mut self,
        shared: &Rc<Shared>,
        answer: Response<Incoming>,
        carrier: Carrier,
        seat: Seat,
        record: &mut Option<Box<Record>>,
    ) -> Response<AnswerBody> {
        let (mut head, body) = answer.into_parts();
        if let Some(record) = record {
            record.seated(&seat);
        }
        let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let speaks_websocket = head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        head.version = Version::HTTP_11;
        head.extensions.remove::<OnUpgrade>();
        headers::to_client(&mut head.headers, self.trailers);
        match (self.upgrade.take(), carrier) {
            (Some(upgrade), Carrier::Link(link)) if is_switch && speaks_websocket => {
                headers::set_websocket(&mut head.headers);
                seat.release().counters().answered();
                let mut answer = Response::from_parts(head, AnswerBody::empty());
                let record = record.take().map(|record| record.of_websocket(&mut answer));
                let cohort = &shared.cohort;
                cohort.tasks.spawn_local(tunnel::relay(upgrade, link, seat, cohort.until(ending::Call::Finish), record));
                answer
            }
            _ if is_switch => {
                seat.release().counters().failed();
                pages::bad_gateway(self.reader, seat.release().app(), "switched to a protocol that nobody asked for")
            }
            (_, carrier) => {
                let pool = Rc::clone(&shared.pool);
                Response::from_parts(head, AnswerBody::app(body, carrier, seat, pool, self.trailers.are_wanted()))
            }
        }
    }
}
