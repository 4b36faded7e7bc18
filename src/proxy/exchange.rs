//! One request: judged, routed, forwarded from a seat at its app, and answered by the app or by an honest page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};

use super::answer::AnswerBody;
use super::attempt::{Attempt, Errand};
use super::headers;
use super::hold::{Hold, Lack};
use super::pages::{self, Reader};
use super::rules::{self, Plan, Verdict};
use super::upload::{UploadBody, UploadWatch};
use super::upstream::{Failure, Link};
use super::{Client, Shared, api, tunnel};
use crate::model::AppName;
use crate::route::{HostName, Lease, Seat, Target};

/// Answers one request.
pub(super) async fn answer(shared: Arc<Shared>, client: Arc<Client>, request: Request<Incoming>) -> Response<AnswerBody> {
    crate::failpoint!("proxy::request");
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
        Target::Api => api::answer(&shared, head, body, &plan, &client).await,
        Target::None => pages::unknown_host(reader, &plan.host),
        target => forward(&shared, target, head, body, &plan, &client).await,
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS && (plan.closes || shared.stopping.is_cancelled()) {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    tracing::debug!(http.method = %method, http.host = %plan.host, http.status = answer.status().as_u16(), "answered");
    answer
}

/// Brings a request to whatever answers for its app, waiting while that is nobody for a moment.
async fn forward(
    shared: &Arc<Shared>,
    mut target: Target,
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
    let mut errand = Errand::new(head, body, upload.as_deref(), plan.is_repeatable);
    let (mut hold, mut refusal) = (Hold::default(), None);
    loop {
        let lack = match target {
            Target::Upstream(lease) => match errand.attempt(shared, &lease).await {
                Attempt::Answer(answer, link, seat) => return deliver(shared, seat, answer, link, upgrade, reader),
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

/// Wraps a client's body, if there is one, and returns what the waiting side sees of it.
pub(super) fn upload(shared: &Shared, body: Incoming, client: &Arc<Client>) -> (UploadBody, Option<Arc<UploadWatch>>) {
    if body.is_end_stream() {
        return (UploadBody::none(), None);
    }
    let (body, upload) = UploadBody::new(body, shared.limits.progress, Arc::clone(client));
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

pub(super) fn outgoing(head: Parts, body: UploadBody) -> Request<UploadBody> {
    let path = head.uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = head.headers;
    request
}

/// Hands the app's answer on: as a tunnel after a 101 that was asked for, else as a body that holds the seat.
fn deliver(
    shared: &Arc<Shared>,
    seat: Seat,
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
            seat.release().counters().answered();
            shared.cohort.tasks.spawn(tunnel::relay(upgrade, link, seat, shared.stopping.clone()));
            Response::from_parts(head, AnswerBody::Empty)
        }
        _ if is_switch => {
            seat.release().counters().failed();
            pages::bad_gateway(reader, seat.release().app(), "switched to a protocol that nobody asked for")
        }
        _ => Response::from_parts(head, AnswerBody::app(body, link, seat, Arc::clone(&shared.pool))),
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
