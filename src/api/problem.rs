//! What goes wrong, as problem details (RFC 9457) with our kind, exit code and hint.

use std::time::Duration;

use hyper::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::{Body, PROBLEM, response, whole};
use crate::error::{Error, Kind};

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: Error,
    /// The last lines of what was said before it went wrong.
    talk: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body; `type` is about:blank, so the title is the status's own (RFC 9457 §4.2.1).
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    kind: Kind,
    /// The exit code that a command line would have.
    code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    details: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    talk: &'a [String],
    request_id: &'a str,
}

// === impl Problem ===

impl Problem {
    fn new(status: StatusCode, error: Error) -> Self {
        Problem { status, error, talk: Vec::new(), headers: Vec::new() }
    }

    /// No token, or one that is good for nothing: the same wherever it was sent to.
    pub fn unauthorized(sentence: &str, hint: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Error::not_allowed(sentence).hint(hint))
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub fn too_many_failures(wait: Duration) -> Self {
        let error = Error::busy("too many wrong API keys came from your address").hint("check your key; a good one works at any time");
        Self::new(StatusCode::TOO_MANY_REQUESTS, error).with(RETRY_AFTER, wait.as_secs().max(1).into())
    }

    pub fn wrong_method(allowed: &'static str) -> Self {
        let error = Error::usage(format!("this wants {allowed}"));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error).with(ALLOW, HeaderValue::from_static(allowed))
    }

    pub fn no_such_path() -> Self {
        Error::not_found("there is nothing at this path").hint("the words are at /v1/<word>, their list is at /v1").into()
    }

    pub fn too_large(error: Error) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    pub fn wrong_content(error: Error) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
    }

    /// Adds the last lines of what was said.
    pub fn after(mut self, talk: Vec<String>) -> Self {
        self.talk = talk;
        self
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn into_response(self, request_id: &str) -> Response<Body> {
        let Problem { status, error, talk, headers } = self;
        tracing::debug!(http.status = status.as_u16(), ?error, "refused");
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: error.sentence(),
            kind: error.kind(),
            code: error.exit_code(),
            hint: error.next_step(),
            details: error.detail_lines(),
            talk: &talk,
            request_id,
        };
        let text = serde_json::to_string(&document).expect("a problem holds nothing that JSON cannot") + "\n";
        let mut answer = response(PROBLEM, whole(text));
        *answer.status_mut() = status;
        answer.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
        answer
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.kind().http_status()).expect("the table holds real statuses");
        let problem = Self::new(status, error);
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.with(RETRY_AFTER, HeaderValue::from_static("5")) } else { problem }
    }
}
