//! One request: judged, routed, forwarded from a seat at its app, and answered by the app or by an honest page.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};

use super::access::{Asked, Record};
use super::answer::AnswerBody;
use super::attempt::{Attempt, Errand};
use super::client::Client;
use super::cores::Shared;
use super::edge::{self, Visit};
use super::ending::Call;
use super::headers::{self, Trailers};
use super::hold::{Hold, Lack};
use super::pages::{self, Reader};
use super::rules::{self, Plan, Verdict};
use super::upload::{UploadBody, UploadWatch};
use super::upstream::{Carrier, Failure};
use super::{api, tunnel};
use crate::model::AppName;
use crate::route::{Edge, Found, HostName, Lease, Protocol, Seat, Target};

/// Answers one request.
pub(super) async fn answer(shared: Rc<Shared>, client: Arc<Client>, request: Request<Incoming>) -> Response<AnswerBody> {
    crate::failpoint!("proxy::request");
    let open = client.open(request.version());
    let mut record = None;
    // In a box of its own, which goes with the answer: hyper keeps the room of this future as long as the connection.
    let mut answer = Box::pin(judge_and_forward(&shared, &client, request, &mut record)).await;
    if let Some(record) = &mut record {
        record.answered(&mut answer);
    }
    answer.map(|body| body.until_dropped(open, record))
}

async fn judge_and_forward(
    shared: &Rc<Shared>,
    client: &Arc<Client>,
    request: Request<Incoming>,
    record: &mut Option<Box<Record>>,
) -> Response<AnswerBody> {
    let (mut head, body) = request.into_parts();
    let (reader, version) = (Reader::of(&head.headers), head.version);
    let has_body = !body.is_end_stream();
    if version < Version::HTTP_2 {
        client.set_owes_body(has_body);
    }
    let visitor = shared.trusted.visitor(&head.headers, &client.ends);
    let address = visitor.address;
    let plan = match rules::judge(&head, has_body, visitor) {
        Verdict::Forward(plan) => plan,
        Verdict::Options => return pages::options(),
        Verdict::Refuse(refusal) => {
            tracing::debug!(why = refusal.why, "request refused");
            if let Ok(host) = rules::host(&head) {
                *record = begin(shared, address, &mut head, &host, &shared.routes.find(&host));
            }
            return closing(version, pages::refused(reader, &refusal));
        }
    };
    if let Some(proof) = proof_for_authority(shared, &head, client) {
        return pages::proof(proof);
    }
    let method = head.method.clone();
    let found = shared.routes.find(&plan.host);
    let is_tls = plan.visitor.is_secure;
    *record = begin(shared, address, &mut head, &plan.host, &found);
    let edge = found.edge.unwrap_or_default();
    let https_port = |host: &HostName| shared.https_port.filter(|_| shared.routes.certificates().has(host));
    let visit = Visit { head: &head, host: &plan.host, client: address, is_tls, https_port: &https_port };
    let stop = edge::judge(&edge, &visit, &shared.routes);
    let mut answer = match (stop, found.target) {
        (Some(stop), _) => edge::answer(reader, &stop),
        (None, Target::Api) => Box::pin(api::answer(shared, head, body, &plan, client)).await,
        (None, Target::None) => pages::unknown_host(reader, &plan.host),
        (None, target) => {
            let request = Request::from_parts(head, body);
            forward(shared, target, &edge, request, &plan, client, record).await
        }
    };
    edge::to_client(&edge, is_tls, answer.headers_mut());
    tracing::debug!(http.method = %method, http.host = %plan.host, http.status = answer.status().as_u16(), "answered");
    if plan.closes || shared.is_stopping() { closing(version, answer) } else { answer }
}

/// Finds what a certificate authority asks for over plain http, on whatever host (RFC 8555 §8.3).
fn proof_for_authority(shared: &Shared, head: &Parts, client: &Client) -> Option<String> {
    let token = head.uri.path().strip_prefix(edge::CHALLENGES)?;
    if client.ends.is_secure { None } else { shared.routes.certificates().token(token) }
}

/// Begins to count and to tell a request of an app.
fn begin(shared: &Shared, client: IpAddr, head: &mut Parts, host: &HostName, found: &Found) -> Option<Box<Record>> {
    let meter = Arc::clone(found.meter.as_ref()?);
    let id = headers::identify(&mut head.headers, || shared.request_id());
    Some(Box::new(Record::begin(meter, &shared.access, &Asked { head, host, client, id })))
}

/// Lets an answer be the last one of its connection; HTTP/2 has its own words for that.
fn closing(version: Version, mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
    if version < Version::HTTP_2 && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Brings a request to whatever answers for its app, waiting while that is nobody for a moment.
async fn forward(
    shared: &Rc<Shared>,
    mut target: Target,
    edge: &Edge,
    request: Request<Incoming>,
    plan: &Plan,
    client: &Arc<Client>,
    record: &mut Option<Box<Record>>,
) -> Response<AnswerBody> {
    let (mut head, body) = request.into_parts();
    let reader = Reader::of(&head.headers);
    let trailers = Trailers::wanted(&head);
    let upgrade = head.extensions.remove::<OnUpgrade>().filter(|_| plan.is_websocket && edge.protocol == Protocol::Http1);
    edge::to_upstream(edge, &mut head.headers);
    headers::to_upstream(&mut head.headers, &plan.host, &plan.visitor, || shared.request_id());
    if upgrade.is_some() {
        headers::set_websocket(&mut head.headers);
    } else {
        trailers.ask(&mut head.headers, edge.protocol);
    }
    let (body, upload) = upload(shared, body, client, edge.max_body_bytes);
    if let Some(record) = record {
        record.uploads(upload.as_ref());
    }
    let mut errand = Errand::new(head, body, upload.as_deref(), plan.is_repeatable, client, edge);
    let (mut hold, mut refusal) = (Hold::default(), None);
    loop {
        let lack = match target {
            Target::Upstream(lease) => match errand.attempt(shared, &lease).await {
                Attempt::Answer(answer, carrier, seat) => {
                    return Delivery { shared, seat, carrier, upgrade, trailers, reader, record }.deliver(answer);
                }
                Attempt::Failed(failure) => return failed(reader, &lease, upload.as_deref(), &failure),
                Attempt::Refused(failure) => {
                    refusal = failure.or(refusal);
                    Lack::connection(&lease)
                }
            },
            Target::Held { app, counters, waiting_room } => Lack::release(app, counters, waiting_room),
            closed => return nobody(reader, &plan.host, closed),
        };
        if let Err(end) = hold.wait(shared, &lack).await {
            return lack.page(reader, refusal.as_ref(), end);
        }
        target = shared.routes.lookup(&plan.host);
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

/// Wraps a client's body, if there is one, and returns what the waiting side sees of it; `most`: the bytes that it may have.
pub(super) fn upload(shared: &Shared, body: Incoming, client: &Arc<Client>, most: Option<u64>) -> (UploadBody, Option<Arc<UploadWatch>>) {
    if body.is_end_stream() {
        return (UploadBody::none(), None);
    }
    let (body, upload) = UploadBody::new(body, shared.limits.progress, most, Arc::clone(client));
    (body, Some(upload))
}

fn failed(reader: Reader, lease: &Lease, upload: Option<&UploadWatch>, failure: &Failure) -> Response<AnswerBody> {
    if let Some(status) = upload.and_then(UploadWatch::client_fault) {
        return pages::cut_upload(reader, status);
    }
    lease.counters().failed();
    tracing::debug!(app.name = %lease.app(), release.version = %lease.version(), error = %failure, "no answer");
    failure_page(reader, lease.app(), failure)
}

/// Makes the request that an app gets: its target as the app's protocol writes it.
pub(super) fn outgoing(head: Parts, body: UploadBody, protocol: Protocol) -> Request<UploadBody> {
    let path = rules::target(head.uri);
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.headers_mut() = head.headers;
    match protocol {
        Protocol::Http1 => *request.uri_mut() = Uri::from(path),
        Protocol::H2c => {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = absolute(request.headers_mut().remove(HOST), path);
        }
    }
    request
}

/// In HTTP/2 the host is part of the target (RFC 9113 §8.3.1).
fn absolute(host: Option<HeaderValue>, path: PathAndQuery) -> Uri {
    let mut parts = hyper::http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or_default()
}

/// An app's answer on its way to the client, and what it holds.
struct Delivery<'a> {
    shared: &'a Rc<Shared>,
    seat: Seat,
    carrier: Carrier,
    upgrade: Option<OnUpgrade>,
    trailers: Trailers,
    reader: Reader,
    record: &'a mut Option<Box<Record>>,
}

// === impl Delivery ===

impl Delivery<'_> {
    /// Hands the answer on: as a tunnel after a 101 that was asked for, else as a body that holds the seat.
    fn deliver(self, answer: Response<Incoming>) -> Response<AnswerBody> {
        let (mut head, body) = answer.into_parts();
        if let Some(record) = self.record {
            record.seated(&self.seat);
        }
        let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let speaks_websocket = head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        head.version = Version::HTTP_11;
        head.extensions.remove::<OnUpgrade>();
        headers::to_client(&mut head.headers, self.trailers);
        match (self.upgrade, self.carrier) {
            (Some(upgrade), Carrier::Link(link)) if is_switch && speaks_websocket => {
                headers::set_websocket(&mut head.headers);
                self.seat.release().counters().answered();
                let mut answer = Response::from_parts(head, AnswerBody::empty());
                let record = self.record.take().map(|record| record.of_websocket(&mut answer));
                let cohort = &self.shared.cohort;
                cohort.tasks.spawn_local(tunnel::relay(upgrade, link, self.seat, cohort.until(Call::Finish), record));
                answer
            }
            _ if is_switch => {
                self.seat.release().counters().failed();
                pages::bad_gateway(self.reader, self.seat.release().app(), "switched to a protocol that nobody asked for")
            }
            (_, carrier) => {
                let pool = Rc::clone(&self.shared.pool);
                Response::from_parts(head, AnswerBody::app(body, carrier, self.seat, pool, self.trailers.are_wanted()))
            }
        }
    }
}

/// What a request without an answer gets.
pub(super) fn failure_page(reader: Reader, app: &AppName, failure: &Failure) -> Response<AnswerBody> {
    match failure {
        Failure::Refused(_) => pages::bad_gateway(reader, app, "refused the connection"),
        Failure::Cut(..) => pages::bad_gateway(reader, app, "closed the connection without a proper answer"),
        Failure::Late => pages::too_late(reader, app),
    }
}
