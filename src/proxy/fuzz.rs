//! The pure rules alone, for those who throw anything at them: `tests/fuzz`, and `tests/conformance`, which replays what was found.

use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request};

use super::ends::Ends;
use super::headers::{self, Trailers};
use super::rules::{self, Verdict};
use super::visitor::TrustedProxies;
use crate::route::HostName;

/// Reads a host as the proxy does; returns it in its normal form.
#[must_use]
pub fn host(text: &str) -> Option<String> {
    text.parse::<HostName>().ok().map(|host| host.to_string())
}

/// Judges a head, and returns it as its app gets it; `None`: it is refused, or answered here.
#[must_use]
pub fn forwarded(head: Request<()>, has_body: bool) -> Option<Request<()>> {
    let (mut head, ()) = head.into_parts();
    let address = [192, 0, 2, 1].into();
    let ends = Ends::new(address, HeaderValue::from_static("80"), false);
    let visitor = TrustedProxies::default().visitor(&head.headers, &ends);
    let Verdict::Forward(plan) = rules::judge(&head, has_body) else { return None };
    headers::identify(&mut head.headers, || HeaderValue::from_static("id"));
    headers::to_upstream(&mut head.headers, &plan.host, &visitor, &ends);
    let mut request = Request::new(());
    *request.method_mut() = head.method;
    *request.uri_mut() = rules::target(head.uri).into();
    *request.headers_mut() = head.headers;
    Some(request)
}

/// Returns the headers of an app's answer as the client gets them.
#[must_use]
pub fn answered(mut headers: HeaderMap) -> HeaderMap {
    headers::to_client(&mut headers, Trailers::none());
    headers
}
