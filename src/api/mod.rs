//! The HTTP API: a bearer token becomes a Caller, JSON or a query a Command, a reply JSON or lines. Nothing is decided here.
//!
//! `server` takes streams in → `door` answers a request: `place` by its path, `bearer` by its token, `request` reads the command,
//! `answer` and `lines` turn the reply into a body, `problem` everything that goes wrong.

mod answer;
mod bearer;
mod door;
mod failures;
mod lines;
mod place;
mod problem;
mod request;
mod server;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};

pub use server::serve;

/// A body of ours: whole, or lines as they come. An error cuts the connection, so that half an answer is not taken for the whole.
type Body = UnsyncBoxBody<Bytes, std::io::Error>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

fn response(kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
