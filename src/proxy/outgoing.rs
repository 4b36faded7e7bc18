//! A request as an app, or the API, gets it: its target as their protocol writes it, its body as its client owes it.

use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::{Request, Version};

use super::client::Client;
use super::cores::Shared;
use super::pages::Reader;
use super::rules::{self, Plan};
use super::upload::{UploadBody, UploadWatch};
use super::visitor::Visitor;
use crate::route::Protocol;

/// A request that was judged good, on its way to whatever answers.
pub(super) struct Inbound {
    pub(super) head: Parts,
    pub(super) body: Incoming,
    pub(super) plan: Plan,
    pub(super) visitor: Visitor,
    pub(super) reader: Reader,
}

/// Wraps a client's body, if there is one, and returns what the waiting side sees of it; `most`: the bytes that it may have.
pub(super) fn upload(shared: &Shared, body: Incoming, client: &Arc<Client>, most: Option<u64>) -> (UploadBody, Option<Arc<UploadWatch>>) {
    if body.is_end_stream() {
        return (UploadBody::none(), None);
    }
    let (body, upload) = UploadBody::new(body, shared.limits.progress, most, Arc::clone(client));
    (body, Some(upload))
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
