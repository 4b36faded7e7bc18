//! What an app's owner wants of the proxy before a request is forwarded: judged by the head alone, without I/O.
//!
//! Asked in this order: whether the address may come in at all; whether the request belongs to https or to the domain's other name, in one
//! step, and before a password is asked for, which would else cross the network in the open; who it is; how much it says it brings.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, LOCATION, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};

use super::answer::AnswerBody;
use super::pages::{self, Reader};
use crate::model::Credential;
use crate::model::size::in_words;
use crate::route::{AddressRange, Edge, HostName, Routes, Www};

/// Where a certificate authority looks for its proof, over plain http (RFC 8555 §8.3): nothing is sent elsewhere from there.
pub(super) const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// A request at an app's door.
pub(super) struct Visit<'a> {
    pub head: &'a Parts,
    pub host: &'a HostName,
    pub client: IpAddr,
    pub is_tls: bool,
    /// Tells where https answers for a host with a certificate of its own that is good now, if it does.
    pub https_port: &'a dyn Fn(&HostName) -> Option<u16>,
}

const HTTPS: u16 = 443;

/// Why a request is not forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Forbidden,
    /// To this URL.
    Moved(String),
    Unauthorized,
    /// It brings more than so many bytes.
    TooLarge(u64),
}

/// Judges a request by its app's settings; `None` lets it through.
pub(super) fn judge(edge: &Edge, visit: &Visit<'_>, routes: &Routes) -> Option<Stop> {
    if !may_come_in(edge, visit.client) {
        return Some(Stop::Forbidden);
    }
    if let Some(url) = moved(edge, visit, routes) {
        return Some(Stop::Moved(url));
    }
    if !edge.credentials.is_empty() && !is_known(edge, &visit.head.headers) {
        return Some(Stop::Unauthorized);
    }
    edge.max_body_bytes.filter(|most| says_more(&visit.head.headers, *most)).map(Stop::TooLarge)
}

/// Takes out of a request what was meant for this door alone.
pub(super) fn to_upstream(edge: &Edge, headers: &mut HeaderMap) {
    if !edge.credentials.is_empty() {
        headers.remove(AUTHORIZATION);
    }
}

/// Puts into an answer what the owner wants in every one of them; the owner's word beats the app's.
pub(super) fn to_client(edge: &Edge, is_tls: bool, headers: &mut HeaderMap) {
    if let Some(seconds) = edge.hsts_seconds.filter(|_| is_tls) {
        headers.insert(STRICT_TRANSPORT_SECURITY, text(&format!("max-age={seconds}")));
    }
}

/// The answer to who is stopped.
pub(super) fn answer(reader: Reader, stop: &Stop) -> Response<AnswerBody> {
    let page = |status, title, words: &str| pages::page(reader, status, title, words);
    let with = |mut answer: Response<AnswerBody>, name: HeaderName, value| {
        answer.headers_mut().insert(name, value);
        answer
    };
    match stop {
        Stop::Forbidden => {
            let answer = page(StatusCode::FORBIDDEN, "Not for you", "Its owner lets nobody in from your address.");
            pages::because(answer, "an address that is not let in")
        }
        Stop::Moved(url) => with(page(StatusCode::PERMANENT_REDIRECT, "Moved", &format!("It is at {url}")), LOCATION, text(url)),
        Stop::Unauthorized => {
            let answer = page(StatusCode::UNAUTHORIZED, "Who are you?", "Its owner asks for a user and a password.");
            let answer = pages::because(answer, "no user and password that are let in");
            with(answer, WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"app\", charset=\"UTF-8\""))
        }
        Stop::TooLarge(most) => too_large(reader, *most),
    }
}

/// The page for a request that brings more than its app takes: 413.
pub(super) fn too_large(reader: Reader, most: u64) -> Response<AnswerBody> {
    let words = format!("A request may bring {} here.", in_words(most));
    pages::because(pages::page(reader, StatusCode::PAYLOAD_TOO_LARGE, "Too much", &words), "a body over the app's limit")
}

fn may_come_in(edge: &Edge, client: IpAddr) -> bool {
    let is_in = |ranges: &[AddressRange]| ranges.iter().any(|range| range.contains(client));
    !is_in(&edge.denied) && (edge.allowed.is_empty() || is_in(&edge.allowed))
}

/// Finds where else the request belongs: to https, to the domain's other name, or both at once.
fn moved(edge: &Edge, visit: &Visit<'_>, routes: &Routes) -> Option<String> {
    let path = visit.head.uri.path_and_query().map_or("/", |path| path.as_str());
    let has_wishes = edge.redirects_to_https || edge.www != Www::AsAsked;
    if !has_wishes || (!visit.is_tls && path.starts_with(CHALLENGES)) {
        return None;
    }
    let other = other_name(edge.www, visit.host).filter(|other| routes.share_an_app(visit.host, other));
    let host = other.as_ref().unwrap_or(visit.host);
    let https = if edge.redirects_to_https && !visit.is_tls { (visit.https_port)(host) } else { None };
    if other.is_none() && https.is_none() {
        return None;
    }
    let scheme = if visit.is_tls || https.is_some() { "https" } else { "http" };
    let port = https.map_or(visit.host.port(), |port| (port != HTTPS).then_some(port));
    let name = host.name()?;
    Some(port.map_or_else(|| format!("{scheme}://{name}{path}"), |port| format!("{scheme}://{name}:{port}{path}")))
}

/// The name that a host is to be sent to, if anything is there.
fn other_name(www: Www, host: &HostName) -> Option<HostName> {
    let name = host.name()?;
    let bare = name.strip_prefix("www.");
    match (www, bare) {
        (Www::Remove, Some(bare)) => bare.parse().ok(),
        (Www::Add, None) => format!("www.{name}").parse().ok(),
        _ => None,
    }
}

fn is_known(edge: &Edge, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next().and_then(pair), all.next()) {
        (Some(pair), None) => Credential::is_one_of(&edge.credentials, &pair),
        _ => false,
    }
}

/// Reads `Basic dXNlcjpwYXNzd29yZA==` (RFC 7617 §2).
fn pair(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(token.trim_start_matches(' ')).ok())?
}

/// A length that no number holds is more than any limit.
fn says_more(headers: &HeaderMap, most: u64) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.is_some_and(|digits| digits.parse::<u64>().map_or(true, |length| length > most))
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("a target that was parsed, a host and a number are visible ASCII")
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::model::{AppId, EdgeChange, Secret};

    type Line = (&'static str, &'static str);

    /// A table in which one app has `example.org` and `www.example.org`, and another one `www.example.com`.
    fn routes() -> Routes {
        let routes = Routes::new(None).unwrap();
        for (name, domains) in [("blog", &["example.org", "www.example.org"][..]), ("shop", &["www.example.com", "example.net"])] {
            let id = AppId::random();
            routes.add_app(name.parse().unwrap(), id.clone());
            routes.set_domains(&id, &domains.iter().map(|domain| domain.parse().unwrap()).collect::<Vec<_>>());
        }
        routes
    }

    fn edge(changes: impl IntoIterator<Item = EdgeChange>) -> Edge {
        let mut edge = Edge::default();
        changes.into_iter().for_each(|change| edge.change(change));
        edge
    }

    fn stop(edge: &Edge, url: &str, client: &str, lines: &[Line]) -> Option<Stop> {
        stop_with(edge, url, client, lines, &|_| None)
    }

    fn stop_with(edge: &Edge, url: &str, client: &str, lines: &[Line], https_port: &dyn Fn(&HostName) -> Option<u16>) -> Option<Stop> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap());
        let mut request = Request::get(path);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let host = host.parse().unwrap();
        let client = client.parse().unwrap();
        judge(edge, &Visit { head: &head, host: &host, client, is_tls: scheme == "https", https_port }, &routes())
    }

    fn by_address(edge: &Edge, client: &str) -> Option<Stop> {
        stop(edge, "http://example.org/", client, &[])
    }

    fn ranges(text: &str) -> Vec<AddressRange> {
        text.split(',').map(|range| range.parse().unwrap()).collect()
    }

    #[test]
    fn without_wishes_everything_passes() {
        let lines = [("authorization", "Basic x"), ("content-length", "99999999999999999999999")];

        assert_eq!(stop(&Edge::default(), "http://www.example.org/", "::1", &lines), None);
    }

    #[test]
    fn only_who_is_allowed_and_not_denied_comes_in() {
        let edge = edge([EdgeChange::Allowed(ranges("10.0.0.0/8,2001:db8::1")), EdgeChange::Denied(ranges("10.6.0.0/16"))]);

        for client in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
            assert_eq!(by_address(&edge, client), None, "{client}");
        }
        for client in ["10.6.6.6", "::ffff:10.6.6.6", "203.0.113.9", "2001:db8::2"] {
            assert_eq!(by_address(&edge, client), Some(Stop::Forbidden), "{client}");
        }
    }

    #[test]
    fn a_list_of_those_denied_lets_everybody_else_in() {
        let edge = edge([EdgeChange::Denied(ranges("203.0.113.0/24"))]);

        assert_eq!((by_address(&edge, "203.0.113.9"), by_address(&edge, "10.0.0.1")), (Some(Stop::Forbidden), None));
    }

    #[test]
    fn only_a_known_pair_in_one_header_comes_in() {
        let edge = edge([EdgeChange::User(Credential::new("anna", &Secret::new("s3:cret".into())).unwrap())]);
        // anna:s3:cret, anna:wrong
        let (good, wrong) = ("Basic YW5uYTpzMzpjcmV0", "Basic YW5uYTp3cm9uZw==");

        for value in [good, "basic YW5uYTpzMzpjcmV0", "BASIC  YW5uYTpzMzpjcmV0"] {
            assert_eq!(stop(&edge, "http://example.org/", "::1", &[("authorization", value)]), None, "{value}");
        }
        let refused: [&[Line]; 8] = [
            &[],
            &[("authorization", wrong)],
            &[("authorization", good), ("authorization", good)],
            &[("authorization", "Basic")],
            &[("authorization", "Basic ")],
            &[("authorization", "Basic !!!")],
            &[("authorization", "Bearer YW5uYTpzMzpjcmV0")],
            &[("proxy-authorization", good)],
        ];
        for lines in refused {
            assert_eq!(stop(&edge, "http://example.org/", "::1", lines), Some(Stop::Unauthorized), "{lines:?}");
        }
    }

    #[test]
    fn the_password_stays_at_the_door_and_is_asked_for_nowhere_else() {
        let locked = edge([EdgeChange::User(Credential::new("anna", &Secret::new("s3cret".into())).unwrap())]);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer the-apps-own"));

        to_upstream(&Edge::default(), &mut headers);
        assert!(headers.contains_key(AUTHORIZATION));
        to_upstream(&locked, &mut headers);

        assert!(headers.is_empty());
    }

    #[test]
    fn a_domain_is_sent_to_its_other_name_where_the_app_has_both() {
        let (add, remove) = (edge([EdgeChange::Www(Www::Add)]), edge([EdgeChange::Www(Www::Remove)]));
        let to = |edge: &Edge, url: &str| match stop(edge, url, "::1", &[]) {
            Some(Stop::Moved(url)) => Some(url),
            None => None,
            other => panic!("{other:?}"),
        };

        assert_eq!(to(&remove, "http://www.example.org/a?b=//c").as_deref(), Some("http://example.org/a?b=//c"));
        assert_eq!(to(&remove, "http://WWW.example.org.:8080/").as_deref(), Some("http://example.org:8080/"));
        assert_eq!(to(&add, "https://example.org/").as_deref(), Some("https://www.example.org/"));
        for url in ["http://example.org/", "http://www.example.com/", "http://blog.localhost/", "http://203.0.113.9/"] {
            assert_eq!(to(&remove, url), None, "{url}");
        }
        for url in ["http://www.example.org/", "http://example.net/", "http://example.com/", "http://blog.localhost/"] {
            assert_eq!(to(&add, url), None, "{url}");
        }
    }

    #[test]
    fn http_is_sent_to_https_where_there_is_a_certificate_and_a_challenge_is_sent_nowhere() {
        let to = |edge: &Edge, url: &str, port: u16| {
            let of_one = move |host: &HostName| (host.name() == Some("example.org")).then_some(port);
            stop_with(edge, url, "::1", &[], &of_one)
        };
        let moved = |url: &str| Some(Stop::Moved(url.to_owned()));
        let (https, both) = ([EdgeChange::RedirectsToHttps(true)], [EdgeChange::RedirectsToHttps(true), EdgeChange::Www(Www::Remove)]);
        let (https, both) = (edge(https), edge(both));

        assert_eq!(to(&https, "http://example.org/a?b", 443), moved("https://example.org/a?b"));
        assert_eq!(to(&https, "http://example.org:8080/", 8443), moved("https://example.org:8443/"));
        assert_eq!(to(&https, "http://www.example.org/", 443), None, "it has no certificate");
        assert_eq!(to(&https, "https://example.org:8443/", 8443), None);
        assert_eq!(to(&both, "http://www.example.org:8080/a", 443), moved("https://example.org/a"), "both in one step");
        assert_eq!(to(&both, "https://www.example.org/a", 443), moved("https://example.org/a"));
        for url in ["http://example.org/.well-known/acme-challenge/x", "http://www.example.org/.well-known/acme-challenge/x"] {
            assert_eq!(to(&both, url, 443), None, "{url}");
        }
        assert_eq!(
            to(&https, "http://example.org/.well-known/acme-challenger", 443),
            moved("https://example.org/.well-known/acme-challenger")
        );
    }

    #[test]
    fn who_says_to_bring_too_much_is_stopped() {
        let edge = edge([EdgeChange::MaxBodyBytes(Some(10))]);
        let with = |length| stop(&edge, "http://example.org/", "::1", &[("content-length", length)]);

        assert_eq!((with("10"), with("0")), (None, None));
        for length in ["11", "99999999999999999999999"] {
            assert_eq!(with(length), Some(Stop::TooLarge(10)), "{length}");
        }
        assert_eq!(stop(&edge, "http://example.org/", "::1", &[]), None);
    }

    #[test]
    fn an_address_is_asked_for_before_a_name_and_a_name_before_a_password() {
        let mut edge = edge([
            EdgeChange::User(Credential::new("anna", &Secret::new("s3cret".into())).unwrap()),
            EdgeChange::Www(Www::Remove),
            EdgeChange::MaxBodyBytes(Some(0)),
            EdgeChange::Denied(ranges("::1")),
        ]);
        let asked = |edge: &Edge, url: &str| stop(edge, url, "::1", &[("content-length", "1")]);
        assert_eq!(asked(&edge, "http://www.example.org/"), Some(Stop::Forbidden));

        edge.change(EdgeChange::Denied(Vec::new()));

        assert!(matches!(asked(&edge, "http://www.example.org/"), Some(Stop::Moved(_))));
        assert_eq!(asked(&edge, "http://example.org/"), Some(Stop::Unauthorized));
    }

    #[test]
    fn hsts_is_said_over_https_alone_and_only_when_asked_for() {
        let edge = edge([EdgeChange::HstsSeconds(Some(60))]);
        let said = |edge: &Edge, is_tls| {
            let mut headers = HeaderMap::new();
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=1"));
            to_client(edge, is_tls, &mut headers);
            headers[STRICT_TRANSPORT_SECURITY].to_str().unwrap().to_owned()
        };

        assert_eq!(
            (said(&edge, true), said(&edge, false), said(&Edge::default(), true)),
            ("max-age=60".into(), "max-age=1".into(), "max-age=1".into())
        );
    }
}
