//! What a request head must look like before an app sees it: pure, no I/O (RFC 9110, RFC 9112; research/reliability.md §3).

use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::route::HostName;

/// hyper takes methods of any length; the longest registered one has 17 letters.
const MAX_METHOD: usize = 32;

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Forward(Plan),
    /// `OPTIONS *` asks the server, not an app.
    Options,
    Refuse(Refusal),
}

/// How a good request is forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub host: HostName,
    /// It may become a tunnel, once the app says 101.
    pub is_websocket: bool,
    /// It may be sent again when a reused connection was closed under it.
    pub is_repeatable: bool,
    /// hyper hides a `Content-Length` beside `Transfer-Encoding`; RFC 9112 §6.1 then wants the connection closed after the answer.
    pub closes: bool,
}

/// A request that no app gets to see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub why: &'static str,
}

/// Judges a request by its head; `has_body` is what the framing came to.
pub(super) fn judge(head: &Parts, has_body: bool) -> Verdict {
    match check(head, has_body) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

fn check(head: &Parts, has_body: bool) -> Result<Verdict, Refusal> {
    check_method(&head.method)?;
    check_framing(&head.headers)?;
    let host = host(head)?;
    if head.method == Method::OPTIONS && head.uri.path() == "*" && head.uri.authority().is_none() {
        return Ok(Verdict::Options);
    }
    check_target(head)?;
    let plain_get = head.method == Method::GET && !has_body;
    Ok(Verdict::Forward(Plan {
        host,
        is_websocket: plain_get && head.version == Version::HTTP_11 && wants_websocket(&head.headers),
        is_repeatable: !has_body && [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method),
        closes: head.headers.contains_key(TRANSFER_ENCODING),
    }))
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if method == Method::CONNECT {
        return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, why: "this is not a forward proxy" });
    }
    if method.as_str().len() > MAX_METHOD {
        return Err(Refusal { status: StatusCode::NOT_IMPLEMENTED, why: "the method is too long" });
    }
    Ok(())
}

fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (encoding, length) = (encodings.next(), lengths.next());
    if encodings.next().is_some() || encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(bad("the only transfer coding taken is `chunked`"));
    }
    if encoding.is_some() && length.is_some() {
        return Err(bad("a request has one length"));
    }
    let plain = |value: &HeaderValue| {
        value.as_bytes().iter().all(u8::is_ascii_digit) && value.to_str().is_ok_and(|digits| digits.parse::<u64>().is_ok())
    };
    if lengths.next().is_some() || length.is_some_and(|value| !plain(value)) {
        return Err(bad("the content length is one number"));
    }
    Ok(())
}

/// The authority of an absolute target wins over `Host` (RFC 9112 §3.2.2), which must be there and well-formed all the same.
pub(super) fn host(head: &Parts) -> Result<HostName, Refusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let header = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("a request has one host"));
    }
    if header.is_none() && head.version == Version::HTTP_11 {
        return Err(bad("the host is missing"));
    }
    let parse = |text: &str| text.parse::<HostName>().map_err(|_| bad("the host is malformed"));
    let named = header.map(|value| value.to_str().map_err(|_| bad("the host is malformed")).and_then(parse)).transpose()?;
    match head.uri.authority() {
        Some(authority) => parse(authority.as_str()),
        None => named.ok_or_else(|| bad("the host is missing")),
    }
}

fn check_target(head: &Parts) -> Result<(), Refusal> {
    let known = |scheme: &Scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    match head.uri.scheme() {
        Some(scheme) if !known(scheme) => Err(bad("the scheme is neither http nor https")),
        None if head.uri.authority().is_some() => Err(bad("the target is not a path")),
        _ if !head.uri.path().starts_with('/') => Err(bad("the target is not a path")),
        _ => Ok(()),
    }
}

/// Returns the target as an app gets it (RFC 9112 §3.2.1). Of `http://a#b` nothing at all would be left, which reads like `/` here and
/// is none on the wire.
pub(super) fn target(uri: Uri) -> PathAndQuery {
    let path = uri.into_parts().path_and_query.filter(|path| path.as_str() != "/");
    path.unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    protocol && protocols.next().is_none() && names_in_connection(headers).any(|name| name.eq_ignore_ascii_case("upgrade"))
}

/// Returns the names listed in `Connection`.
pub(super) fn names_in_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &CONNECTION)
}

/// Returns the members of a list header, over all its lines (RFC 9110 §5.6.1). A member that is no text hides none of the others.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let members = headers.get_all(name).iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    members.filter_map(|member| std::str::from_utf8(member).ok()).map(str::trim)
}

fn bad(why: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn verdict(method: &str, target: &str, headers: &[(&str, &str)]) -> Verdict {
        judge(&head(method, target, headers), false)
    }

    fn plan(method: &str, target: &str, headers: &[(&str, &str)], has_body: bool) -> Plan {
        match judge(&head(method, target, headers), has_body) {
            Verdict::Forward(plan) => plan,
            other => panic!("not forwarded: {other:?}"),
        }
    }

    type Line = (&'static str, &'static str);

    const A: Line = ("host", "a.localhost");

    #[test]
    fn requests_that_two_parsers_could_read_differently_are_refused() {
        let cases: &[(&str, &str, &[Line])] = &[
            ("GET", "/", &[]),
            ("GET", "/", &[A, A]),
            ("GET", "/", &[("host", "a b")]),
            ("GET", "/", &[("host", "")]),
            ("GET", "/", &[("host", "a@b")]),
            ("POST", "/", &[A, ("content-length", "3"), ("transfer-encoding", "chunked")]),
            ("POST", "/", &[A, ("transfer-encoding", "gzip, chunked")]),
            ("POST", "/", &[A, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]),
            ("POST", "/", &[A, ("transfer-encoding", "identity")]),
            ("POST", "/", &[A, ("content-length", "+3")]),
            ("POST", "/", &[A, ("content-length", "3, 3")]),
            ("POST", "/", &[A, ("content-length", "18446744073709551616")]),
            ("POST", "/", &[A, ("content-length", "3"), ("content-length", "3")]),
            ("POST", "/", &[A, ("content-length", "")]),
            ("GET", "ftp://a.localhost/", &[A]),
            ("GET", "a.localhost:80", &[A]),
            ("GET", "*", &[A]),
            ("GET", "http://u@a.localhost/", &[A]),
            ("CONNECT", "a.localhost:80", &[A]),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", "/", &[A]),
        ];

        for (method, target, headers) in cases {
            assert!(matches!(verdict(method, target, headers), Verdict::Refuse(_)), "{method} {target} {headers:?}");
        }
    }

    #[test]
    fn the_authority_of_an_absolute_target_wins() {
        let plan = plan("GET", "http://B.localhost.:80/x", &[A], false);

        assert_eq!(plan.host.to_string(), "b.localhost:80");
    }

    #[test]
    fn options_star_is_answered_here() {
        assert_eq!(verdict("OPTIONS", "*", &[A]), Verdict::Options);
    }

    #[test]
    fn only_a_bodyless_get_becomes_a_websocket() {
        let upgrade = [A, ("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];

        assert!(plan("GET", "/", &upgrade, false).is_websocket);
        assert!(!plan("GET", "/", &upgrade, true).is_websocket);
        assert!(!plan("POST", "/", &upgrade, false).is_websocket);
        assert!(!plan("GET", "/", &[A, ("connection", "upgrade"), ("upgrade", "h2c")], false).is_websocket);
        assert!(!plan("GET", "/", &[A, ("upgrade", "websocket")], false).is_websocket);
    }

    #[test]
    fn only_a_bodyless_reader_may_be_sent_twice() {
        assert!(plan("GET", "/", &[A], false).is_repeatable);
        assert!(plan("HEAD", "/", &[A], false).is_repeatable);
        assert!(!plan("GET", "/", &[A], true).is_repeatable);
        assert!(!plan("DELETE", "/", &[A], false).is_repeatable);
    }
}
