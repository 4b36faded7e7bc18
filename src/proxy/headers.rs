//! Headers at the border: hop-by-hop ones end here, what a client says about forwarding is replaced by what is true.

use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Version};

use super::ends::Ends;
use super::rules::{list, names_in_connection};
use super::visitor::Visitor;
use crate::route::{HostName, Protocol};

/// What gRPC says behind each of its answers and announces in none: HTTP/2 need not (gRPC over HTTP2, "Responses").
static GRPC_TRAILERS: HeaderValue = HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");

/// What an app is told besides: five headers of its visitor, the host, and one of this hop.
const ADDED: usize = 7;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;

/// Turns a client's headers, but for its request's id, into those that the app gets. hyper frames the body anew, from the body itself.
pub(super) fn to_upstream(headers: &mut HeaderMap, host: &HostName, visitor: &Visitor, ends: &Ends) {
    remove_named_in_connection(headers);
    remove(headers, |name| is_hop_by_hop(name) || is_taken_by_hyper(name) || is_claim(name));
    join_cookies(headers);
    headers.reserve(ADDED);
    let host = headers.get(HOST).filter(|header| host.is_written(header.as_bytes())).cloned().unwrap_or_else(|| text(&host.to_string()));
    visitor.introduce(headers, ends, &host);
    headers.insert(HOST, host);
}

/// Returns the request's id, which is its client's if that is one, and sees to it that the headers have it.
pub(super) fn identify(headers: &mut HeaderMap, request_id: impl FnOnce() -> HeaderValue) -> HeaderValue {
    if let Some(id) = headers.get(&X_REQUEST_ID).filter(|id| is_request_id(id)) {
        return id.clone();
    }
    let id = request_id();
    headers.insert(X_REQUEST_ID, id.clone());
    id
}

/// What is to become of the trailers of an answer (RFC 9110 §6.5): they are passed on to who asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailers {
    are_wanted: bool,
    are_asked_for: bool,
    /// HTTP/1.1 announces them in a header; HTTP/2 need not.
    are_announced: bool,
}

// === impl Trailers ===

impl Trailers {
    /// Reads whether a client takes trailers: on HTTP/2 every client does.
    pub(super) fn wanted(head: &Parts) -> Trailers {
        let is_http2 = head.version == Version::HTTP_2;
        let asked = list(&head.headers, &TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
        Trailers { are_wanted: is_http2 || asked, are_asked_for: asked, are_announced: !is_http2 }
    }

    /// Trailers that nobody wants.
    pub(super) fn none() -> Trailers {
        Trailers { are_wanted: false, are_asked_for: false, are_announced: false }
    }

    pub(super) fn are_wanted(self) -> bool {
        self.are_wanted
    }

    /// Asks an app for trailers if the client does; on HTTP/1.1 for this hop alone.
    pub(super) fn ask(self, headers: &mut HeaderMap, protocol: Protocol) {
        if self.are_asked_for {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            if protocol == Protocol::Http1 {
                headers.insert(CONNECTION, HeaderValue::from_static("te"));
            }
        }
    }
}

/// Removes what must not come behind a body (RFC 9110 §6.5.1): framing, routing, and fields of one hop.
pub(super) fn trailers(mut trailers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut trailers);
    for name in [TRANSFER_ENCODING, CONTENT_LENGTH, HOST, CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE] {
        trailers.remove(name);
    }
    trailers
}

/// Turns an app's headers into those that the client gets.
pub(super) fn to_client(headers: &mut HeaderMap, trailers: Trailers) {
    let of_grpc = is_grpc(headers).then(|| GRPC_TRAILERS.clone());
    let announced = headers.remove(TRAILER).or(of_grpc).filter(|_| trailers.are_wanted && trailers.are_announced);
    remove_hop_by_hop(headers);
    headers.extend(announced.map(|names| (TRAILER, names)));
    // Of two lengths the coding is the true one; hyper would send the first `Content-Length` bytes.
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Asks the other side for a websocket, or agrees to one: `Connection` and `Upgrade` hold for one hop and are set for each.
pub(super) fn set_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove_named_in_connection(headers);
    remove(headers, is_hop_by_hop);
}

fn remove_named_in_connection(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = names_in_connection(headers).filter_map(|name| name.parse().ok()).collect();
        for name in named.iter().filter(|name| ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING, X_REQUEST_ID].contains(name)) {
            headers.remove(name);
        }
    }
}

/// Removes headers by their names, which are in lower case. One look at each that is there costs less than asking for each that may be.
fn remove(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| goes(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "upgrade"
    )
}

/// hyper frames bodies, and says `100 Continue` itself when the first byte of one is asked for.
fn is_taken_by_hyper(name: &str) -> bool {
    matches!(name, "transfer-encoding" | "expect")
}

/// HTTP/2 may split the header into its pairs, which other hops read as one line (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let pairs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let whole = HeaderValue::from_bytes(&pairs.join(&b"; "[..])).expect("values stay values when joined");
        headers.insert(COOKIE, whole);
    }
}

/// Whether other proxies name the client by this header, or another host or target than the request's; from a client that is a lie.
/// Names with `_` too: CGI-like apps read `X_Real_IP` as `X-Real-IP`.
fn is_claim(name: &str) -> bool {
    let is_known = matches!(
        name,
        "cf-connecting-ip"
            | "client-ip"
            | "fastly-client-ip"
            | "forwarded"
            | "proxy"
            | "true-client-ip"
            | "x-client-ip"
            | "x-cluster-client-ip"
            | "x-host"
            | "x-http-host-override"
            | "x-original-host"
            | "x-original-url"
            | "x-originating-ip"
            | "x-real-ip"
            | "x-remote-ip"
            | "x-rewrite-url"
    );
    is_known || name.starts_with("x-forwarded") || name.bytes().any(|byte| byte == b'_')
}

fn is_request_id(value: &HeaderValue) -> bool {
    (1..=MAX_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

pub(super) fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("hosts and addresses are visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::TrustedProxies;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn sent(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = map(lines);
        let ends = Ends::new("::ffff:9.8.7.6".parse().unwrap(), HeaderValue::from_static("8080"), false);
        let visitor = TrustedProxies::default().visitor(&headers, &ends);
        identify(&mut headers, || HeaderValue::from_static("new"));
        to_upstream(&mut headers, &"a.localhost:81".parse().unwrap(), &visitor, &ends);
        headers
    }

    #[test]
    fn what_the_client_says_about_forwarding_is_replaced() {
        let headers = sent(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-user", "root"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("proxy", "evil"),
            ("true-client-ip", "6.6.6.6"),
            ("x_real_ip", "6.6.6.6"),
            ("cookie", "a=b"),
        ]);

        let expected = map(&[
            ("cookie", "a=b"),
            ("x-forwarded-for", "9.8.7.6"),
            ("x-real-ip", "9.8.7.6"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "8080"),
            ("x-forwarded-host", "a.localhost:81"),
            ("host", "a.localhost:81"),
            ("x-request-id", "new"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_strange_member_of_connection_hides_no_other() {
        let mut headers = map(&[("x-hop", "1")]);
        headers.insert(CONNECTION, HeaderValue::from_bytes(b"\xfc, (, x-hop").unwrap());

        to_client(&mut headers, Trailers::none());

        assert!(headers.is_empty());
    }

    #[test]
    fn hop_by_hop_headers_end_here_in_both_directions() {
        let lines = [
            ("connection", "close, X-Hop, content-length"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("content-length", "3"),
        ];
        let mut answer = map(&lines);

        to_client(&mut answer, Trailers::none());

        assert_eq!(answer, map(&[("content-length", "3")]));
        assert!(["connection", "x-hop", "keep-alive", "te", "upgrade"].iter().all(|name| !sent(&lines).contains_key(*name)));
    }

    #[test]
    fn what_grpc_says_behind_an_answer_is_announced_to_who_must_be_told() {
        let announced = |trailers: Trailers| {
            let mut answer = map(&[("content-type", "application/grpc+proto")]);
            to_client(&mut answer, trailers);
            answer.remove(TRAILER)
        };
        let over_http1 = Trailers { are_wanted: true, are_asked_for: true, are_announced: true };

        assert!(announced(over_http1).unwrap().to_str().unwrap().contains("grpc-status"));
        assert_eq!(announced(Trailers { are_announced: false, ..over_http1 }), None);
        assert_eq!(announced(Trailers::none()), None);
    }

    #[test]
    fn a_coding_beats_a_length_in_answers() {
        let mut answer = map(&[("content-length", "3"), ("transfer-encoding", "chunked")]);

        to_client(&mut answer, Trailers::none());

        assert!(answer.is_empty());
    }

    #[test]
    fn a_sensible_request_id_is_kept() {
        assert_eq!(sent(&[("x-request-id", "abc-1")])["x-request-id"], "abc-1");
        assert_eq!(sent(&[("x-request-id", "a b")])["x-request-id"], "new");
        assert_eq!(sent(&[("connection", "x-request-id")])["x-request-id"], "new", "no client takes it away");
    }
}
