//! One request: named, let in by its token, done, and answered with its request id.

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info_span};

use super::answer::{self, Form};
use super::failures::Failures;
use super::place::Place;
use super::problem::Problem;
use super::{Body, JSON, bearer, request, response, whole};
use crate::command::{Call, WordInfo, known_word, vocabulary, word_of};
use crate::model::{Caller, Origin};
use crate::platform::Platform;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What answers requests.
pub(super) struct Door {
    platform: Platform,
    failures: Failures,
}

/// What the proxy says of a request: nothing else comes through the doorway, so it is believed.
struct Visitor {
    id: HeaderValue,
    address: Option<IpAddr>,
    /// The host by which the server was reached, without a port.
    host: Option<String>,
}

/// The answer to `GET /v1`.
#[derive(Serialize)]
struct Words {
    words: Vec<WordInfo>,
}

// === impl Door ===

impl Door {
    pub fn new(platform: Platform) -> Self {
        Door { platform, failures: Failures::default() }
    }

    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let visitor = Visitor::of(&head.headers);
        let id = visitor.id.to_str().unwrap_or_default().to_owned();
        let span = info_span!("api", request.id = id, client.addr = visitor.address.map(field::display), token.id = field::Empty);
        let mut answer = async {
            let answered = Box::pin(self.respond(&visitor, head, body)).await;
            answered.unwrap_or_else(|problem| problem.into_response(&id))
        }
        .instrument(span)
        .await;
        answer.headers_mut().insert(X_REQUEST_ID, visitor.id);
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    async fn respond(&self, visitor: &Visitor, head: Parts, body: Incoming) -> Result<Response<Body>, Problem> {
        crate::failpoint!("api::call");
        let place = Place::of(head.uri.path());
        if place == Place::Server {
            only(&head, &[Method::GET, Method::HEAD], "GET")?;
            return Ok(json_of(&self.platform.hello(visitor.host.as_deref())));
        }
        // Before anything else: without a token every place looks the same, whether it is there or not.
        let caller = bearer::identify(&self.platform, &self.failures, &head.headers, visitor.address).await?;
        if let Origin::Token(id) = &caller.origin {
            Span::current().record("token.id", field::display(id));
        }
        match place {
            Place::Words => {
                only(&head, &[Method::GET, Method::HEAD], "GET")?;
                Ok(json_of(&Words { words: vocabulary() }))
            }
            Place::Word(word) => {
                let word = known_word(&word)?;
                only(&head, &[Method::POST], "POST")?;
                self.obey(&caller, &word, &head, body).await
            }
            Place::Server | Place::Nowhere => Err(Problem::no_such_path()),
        }
    }

    async fn obey(&self, caller: &Caller, word: &str, head: &Parts, body: Incoming) -> Result<Response<Body>, Problem> {
        let (command, input) = request::read(word, head, body).await?;
        if command.is_attached() {
            return Err(answer::needs_a_terminal().into());
        }
        // The word alone: a program's arguments may be secrets.
        tracing::debug!(command = word_of(&command), "asked over http");
        let form = Form::of(&head.headers, &command);
        let left = CancellationToken::new();
        // hyper drops this future, and later the body, when the client leaves.
        let here = left.clone().drop_guard();
        let reply = self.platform.run(caller, Call::new(command, input, left)).await?;
        answer::answer(reply, form, here).await
    }
}

fn only(head: &Parts, methods: &[Method], allowed: &'static str) -> Result<(), Problem> {
    if methods.contains(&head.method) { Ok(()) } else { Err(Problem::wrong_method(allowed)) }
}

fn json_of(value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_string(value).expect("what we say of ourselves is JSON");
    response(JSON, whole(text + "\n"))
}

// === impl Visitor ===

impl Visitor {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Visitor {
            id: headers.get(X_REQUEST_ID).cloned().unwrap_or(HeaderValue::from_static("-")),
            address: text("x-forwarded-for").and_then(|address| address.parse().ok()),
            host: text("x-forwarded-host").map(without_port),
        }
    }
}

fn without_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name.to_owned(),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_a_name() {
        for (host, name) in [("mini.localhost:8080", "mini.localhost"), ("1.2.3.4", "1.2.3.4"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(host), name);
        }
    }
}
