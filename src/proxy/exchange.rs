//! One request: judged, routed, forwarded with a lease in hand, and answered by the app or by an honest page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};

use super::answer::AnswerBody;
use super::headers;
use super::pages::{self, Reader};
use super::rules::{self, Plan, Verdict};
use super::upload::{UploadBody, UploadWatch};
use super::upstream::{Failure, Link};
use super::{Client, Shared, api, tunnel};
use crate::route::{Lease, Target};

/// What the app said, or why it said nothing.
pub(super) enum Outcome {
    Answer(Response<Incoming>, Box<Link>),
    Client(StatusCode),
    App(Failure),
}

/// Answers one request.
pub(super) async fn answer(shared: Arc<Shared>, client: Arc<Client>, request: Request<Incoming>) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    let reader = Reader::of(&head.headers);
    client.owes_body.store(!body.is_end_stream(), Ordering::Relaxed);
    let plan = match rules::judge(&head, !body.is_end_stream()) {
        Verdict::Forward(plan) => plan,
        Verdict::Options => return pages::options(),
        Verdict::Refuse(refusal) => {
            tracing::debug!(why = refusal.why, "request refused");
            return pages::refused(reader, &refusal);
        }
    };
    let method = head.method.clone();
    let mut answer = match shared.routes.lookup(&plan.host) {
        Target::Upstream(lease) => forward(&shared, lease, head, body, &plan, &client).await,
        Target::Down { app, reason, counters } => {
            counters.failed();
            pages::down(reader, &app, &reason)
        }
        Target::NoRelease { app, counters } => {
            counters.failed();
            pages::down(reader, &app, "nothing was deployed yet")
        }
        Target::Api => api::answer(&shared, head, body, &plan, &client).await,
        Target::None => pages::unknown_host(reader, &plan.host),
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS && (plan.closes || shared.stopping.is_cancelled()) {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    tracing::debug!(http.method = %method, http.host = %plan.host, http.status = answer.status().as_u16(), "answered");
    answer
}

async fn forward(
    shared: &Arc<Shared>,
    lease: Lease,
    mut head: Parts,
    body: Incoming,
    plan: &Plan,
    client: &Arc<Client>,
) -> Response<AnswerBody> {
    let reader = Reader::of(&head.headers);
    let upgrade = head.extensions.remove::<OnUpgrade>().filter(|_| plan.is_websocket);
    headers::to_upstream(&mut head.headers, &plan.host, client.ends, || shared.request_id());
    if plan.is_websocket {
        headers::set_websocket(&mut head.headers);
    }
    let (body, upload) = upload(shared, body, client);
    match exchange(shared, &lease, head, body, upload.as_deref(), plan).await {
        Outcome::Answer(answer, link) => deliver(shared, lease, answer, link, upgrade, reader),
        Outcome::Client(status) => pages::cut_upload(reader, status),
        Outcome::App(failure) => {
            lease.counters().failed();
            tracing::debug!(app.name = %lease.app(), release.version = %lease.version(), error = %failure, "no answer");
            failure_page(reader, &lease, &failure)
        }
    }
}

/// Wraps a client's body, if there is one, and returns what the waiting side sees of it.
pub(super) fn upload(shared: &Shared, body: Incoming, client: &Arc<Client>) -> (UploadBody, Option<Arc<UploadWatch>>) {
    if body.is_end_stream() {
        return (UploadBody::none(), None);
    }
    let (body, upload) = UploadBody::new(body, shared.limits.progress, Arc::clone(client));
    (body, Some(upload))
}

/// Sends the request, on a connection that stands if there is one.
///
/// A reused connection may be closed by the app in the instant in which we write. A request of which no byte left goes to a fresh
/// one; one that may have arrived does so only if it is repeatable. A fresh connection is the last attempt.
async fn exchange(shared: &Shared, lease: &Lease, head: Parts, body: UploadBody, upload: Option<&UploadWatch>, plan: &Plan) -> Outcome {
    let pooled = shared.pool.take(lease);
    let spare = pooled.as_ref().filter(|_| plan.is_repeatable).map(|_| outgoing(head.clone(), UploadBody::none()));
    let mut request = outgoing(head, body);
    if let Some(mut link) = pooled {
        match (link.send(request, upload, shared.limits.first_byte).await, spare) {
            (Ok(answer), _) => return Outcome::Answer(answer, link),
            (Err(Failure::Cut(_, Some(unsent))), _) => request = *unsent,
            (Err(Failure::Cut(..)), Some(spare)) => request = spare,
            (Err(failure), _) => return fault(failure, upload),
        }
    }
    let mut link = match Link::open(lease.upstream(), shared.limits.connect).await {
        Ok(link) => link,
        Err(failure) => return fault(failure, upload),
    };
    match link.send(request, upload, shared.limits.first_byte).await {
        Ok(answer) => Outcome::Answer(answer, link),
        Err(failure) => fault(failure, upload),
    }
}

pub(super) fn fault(failure: Failure, upload: Option<&UploadWatch>) -> Outcome {
    upload.and_then(UploadWatch::client_fault).map_or(Outcome::App(failure), Outcome::Client)
}

pub(super) fn outgoing(head: Parts, body: UploadBody) -> Request<UploadBody> {
    let path = head.uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = head.headers;
    request
}

/// Hands the app's answer on: as a tunnel after a 101 that was asked for, else as a body that holds the lease.
fn deliver(
    shared: &Arc<Shared>,
    lease: Lease,
    answer: Response<Incoming>,
    link: Box<Link>,
    upgrade: Option<OnUpgrade>,
    reader: Reader,
) -> Response<AnswerBody> {
    let (mut head, body) = answer.into_parts();
    let is_switch = head.status == StatusCode::SWITCHING_PROTOCOLS;
    let speaks_websocket = head.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    head.version = Version::HTTP_11;
    head.extensions.remove::<OnUpgrade>();
    headers::to_client(&mut head.headers);
    match upgrade {
        Some(upgrade) if is_switch && speaks_websocket => {
            headers::set_websocket(&mut head.headers);
            lease.counters().answered();
            shared.tasks.spawn(tunnel::relay(upgrade, link, lease, shared.stopping.clone()));
            Response::from_parts(head, AnswerBody::Empty)
        }
        _ if is_switch => {
            lease.counters().failed();
            pages::bad_gateway(reader, lease.app(), "switched to a protocol that nobody asked for")
        }
        _ => Response::from_parts(head, AnswerBody::app(body, link, lease, Arc::clone(&shared.pool))),
    }
}

fn failure_page(reader: Reader, lease: &Lease, failure: &Failure) -> Response<AnswerBody> {
    match failure {
        Failure::Refused(_) => pages::bad_gateway(reader, lease.app(), "refused the connection"),
        Failure::Cut(..) => pages::bad_gateway(reader, lease.app(), "closed the connection without a proper answer"),
        Failure::Late => pages::too_late(reader, lease.app()),
    }
}
