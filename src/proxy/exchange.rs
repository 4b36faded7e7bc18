//! One request: judged at once, and then on its way to whatever answers.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Version};

use super::access::{Asked, Record};
use super::answer::AnswerBody;
use super::api;
use super::client::Client;
use super::cores::Shared;
use super::edge::{self, Visit};
use super::headers;
use super::journey::Journey;
use super::outgoing::Inbound;
use super::pages::{self, Reader};
use super::rules::{self, Verdict};
use crate::route::{Edge, Found, HostName, Target};

/// What becomes of a request. In boxes: most are the last one, and its way is long.
enum Course {
    /// The proxy answers itself.
    Answered(Box<Response<AnswerBody>>),
    Api(Box<Inbound>),
    App(Box<Journey>),
}

/// What is to be done with the answer, whoever gives it.
struct Finish {
    version: Version,
    is_last: bool,
    is_tls: bool,
    /// Its app's wishes.
    edge: Option<Arc<Edge>>,
    record: Option<Box<Record>>,
}

/// Answers one request. Its way is in boxes, which go with the answer: hyper keeps the room of this future as long as the connection.
pub(super) fn answer(
    shared: Rc<Shared>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
    crate::failpoint!("proxy::request");
    let open = client.open(request.version());
    let (course, mut finish) = judge(&shared, &client, request);
    Box::pin(async move {
        let answer = match course {
            Course::Answered(answer) => *answer,
            Course::Api(request) => Box::pin(api::answer(&shared, &client, *request)).await,
            Course::App(mut journey) => journey.answer(&shared, &client, &mut finish.record).await,
        };
        let answer = finish.with(&shared, answer);
        Ok(answer.map(|body| body.until_dropped(open, finish.record)))
    })
}

fn judge(shared: &Shared, client: &Arc<Client>, request: Request<Incoming>) -> (Course, Finish) {
    let (mut head, body) = request.into_parts();
    let (reader, version) = (Reader::of(&head.headers), head.version);
    let has_body = !body.is_end_stream();
    if version < Version::HTTP_2 {
        client.set_owes_body(has_body);
    }
    let answered = |answer| Course::Answered(Box::new(answer));
    let visitor = shared.trusted.visitor(&head.headers, &client.ends);
    let mut finish = Finish { version, is_last: false, is_tls: visitor.is_secure, edge: None, record: None };
    let plan = match rules::judge(&head, has_body) {
        Verdict::Forward(plan) => plan,
        Verdict::Options => return (answered(pages::options()), finish),
        Verdict::Refuse(refusal) => {
            tracing::debug!(why = refusal.why, "request refused");
            if let Ok(host) = rules::host(&head) {
                finish.record = begin(shared, visitor.address_text(&client.ends), &mut head, &host, &mut shared.routes.find(&host));
            }
            finish.is_last = true;
            return (answered(pages::refused(reader, &refusal)), finish);
        }
    };
    tracing::debug!(http.method = %head.method, http.host = %plan.host, "asked");
    if let Some(proof) = proof_for_authority(shared, &head, client) {
        return (answered(pages::proof(proof)), finish);
    }
    let mut found = shared.routes.find(&plan.host);
    finish.record = begin(shared, visitor.address_text(&client.ends), &mut head, &plan.host, &mut found);
    finish.is_last = plan.closes;
    let edge = found.edge.unwrap_or_default();
    let https_port = |host: &HostName| shared.https_port.filter(|_| shared.routes.certificates().has(host));
    let visit = Visit { head: &head, host: &plan.host, client: visitor.address, is_tls: visitor.is_secure, https_port: &https_port };
    let course = match (edge::judge(&edge, &visit, &shared.routes), found.target) {
        (Some(stop), _) => answered(edge::answer(reader, &stop)),
        (None, Target::Api) => Course::Api(Box::new(Inbound { head, body, plan, visitor, reader })),
        (None, Target::None) => answered(pages::unknown_host(reader, &plan.host)),
        (None, target) => {
            let request = Inbound { head, body, plan, visitor, reader };
            let (journey, upload) = Journey::new(shared, client, request, target, &edge);
            if let Some(record) = &mut finish.record {
                record.uploads(upload);
            }
            Course::App(Box::new(journey))
        }
    };
    finish.edge = Some(edge);
    (course, finish)
}

/// Finds what a certificate authority asks for over plain http, on whatever host (RFC 8555 §8.3).
fn proof_for_authority(shared: &Shared, head: &Parts, client: &Client) -> Option<String> {
    let token = head.uri.path().strip_prefix(edge::CHALLENGES)?;
    if client.ends.is_secure { None } else { shared.routes.certificates().token(token) }
}

/// Begins to count and to tell a request of an app.
fn begin(shared: &Shared, client: &HeaderValue, head: &mut Parts, host: &HostName, found: &mut Found) -> Option<Box<Record>> {
    let meter = found.meter.take()?;
    let id = headers::identify(&mut head.headers, || shared.request_id());
    Some(Box::new(Record::begin(meter, &shared.access, &Asked { head, host, client, id })))
}

// === impl Finish ===

impl Finish {
    fn with(&mut self, shared: &Shared, mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
        if let Some(edge) = &self.edge {
            edge::to_client(edge, self.is_tls, answer.headers_mut());
        }
        // HTTP/2 has its own words for the end of a connection.
        let is_last = self.version < Version::HTTP_2 && (self.is_last || shared.is_stopping());
        if is_last && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(record) = &mut self.record {
            record.answered(&mut answer);
        }
        tracing::debug!(http.status = answer.status().as_u16(), "answered");
        answer
    }
}
