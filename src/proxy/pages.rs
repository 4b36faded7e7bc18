//! What the proxy says itself: small honest pages, HTML for browsers and one line of text for everybody else.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};

use super::access::Reason;
use super::answer::AnswerBody;
use super::hold::End;
use super::rules::Refusal;
use crate::model::AppName;
use crate::route::HostName;

/// Seconds after which a visitor of an app that is down may try again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Who reads: a browser gets HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Browser,
    Program,
}

impl Reader {
    pub(super) fn of(headers: &HeaderMap) -> Reader {
        const HTML: &[u8] = b"text/html";
        let accepts = |value: &HeaderValue| value.as_bytes().windows(HTML.len()).any(|window| window.eq_ignore_ascii_case(HTML));
        if headers.get_all(ACCEPT).iter().any(accepts) { Reader::Browser } else { Reader::Program }
    }
}

pub(super) fn unknown_host(reader: Reader, host: &HostName) -> Response<AnswerBody> {
    let words = format!(
        "There is no app at {host}. This server knows <app>.localhost, <app>.<its address>.nip.io, <app>.<its address>.sslip.io and, \
         where one is set, <app>.<its own domain>."
    );
    page(reader, StatusCode::NOT_FOUND, "No such app", &words)
}

pub(super) fn welcome(reader: Reader) -> Response<AnswerBody> {
    let words = "This is mini. Add it as a git remote called mini, and `git push mini main` builds, runs and serves your app.";
    page(reader, StatusCode::OK, "mini", words)
}

pub(super) fn no_such_page(reader: Reader) -> Response<AnswerBody> {
    page(reader, StatusCode::NOT_FOUND, "No such page", "This is mini itself, and it has no such page.")
}

pub(super) fn refused(reader: Reader, refusal: &Refusal) -> Response<AnswerBody> {
    let words = format!("The request was not understood: {}.", refusal.why);
    because(page(reader, refusal.status, "Bad request", &words), refusal.why)
}

/// The client did not send the body that it owed, or more than it may.
pub(super) fn cut_upload(reader: Reader, status: StatusCode) -> Response<AnswerBody> {
    let why = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "its body brings more than it may here",
        _ => "its body ended early, was malformed or did not come",
    };
    refused(reader, &Refusal { status, why })
}

/// The API takes no requests now, because the server starts or stops: 503, in the API's own form (RFC 9457).
pub(super) fn api_is_away() -> Response<AnswerBody> {
    let problem = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"mini is restarting\",\
                   \"kind\":\"unavailable\",\"code\":1,\"hint\":\"try again in a moment\"}\n";
    let mut answer = Response::new(AnswerBody::own(Bytes::from_static(problem.as_bytes())));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    answer
}

/// The app is there and takes no requests now: 503.
pub(super) fn down(reader: Reader, app: &AppName, reason: &str) -> Response<AnswerBody> {
    let mut answer = page(reader, StatusCode::SERVICE_UNAVAILABLE, "Not available", &format!("The app {app} is down: {reason}."));
    answer.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    because(answer, reason.to_owned())
}

/// Nothing of the app answered for a moment, and the request could not wait for it any longer: 503.
pub(super) fn held(reader: Reader, app: &AppName, end: End) -> Response<AnswerBody> {
    let why = match end {
        End::TooLong => "no running process, and none came in time",
        End::TooMany => "no running process, and too many requests wait for one",
        End::Stopping => "no running process, and mini is restarting",
    };
    let words = match end {
        End::TooLong => format!("The app {app} has no running process at the moment, and none came while this request waited."),
        End::TooMany => format!("The app {app} has no running process at the moment, and too many requests wait for one already."),
        End::Stopping => format!("The app {app} has no running process at the moment, and mini itself is restarting."),
    };
    let mut answer = page(reader, StatusCode::SERVICE_UNAVAILABLE, "Not available", &words);
    answer.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    because(answer, why)
}

/// The app refused the connection, cut it or spoke nonsense: 502.
pub(super) fn bad_gateway(reader: Reader, app: &AppName, what: &'static str) -> Response<AnswerBody> {
    let words = format!("The app {app} {what}. Its owner finds the reason in its logs.");
    because(page(reader, StatusCode::BAD_GATEWAY, "No answer", &words), what)
}

/// The app took too long: 504.
pub(super) fn too_late(reader: Reader, app: &AppName) -> Response<AnswerBody> {
    because(
        page(reader, StatusCode::GATEWAY_TIMEOUT, "No answer in time", &format!("The app {app} did not answer in time.")),
        "no answer in time",
    )
}

/// Notes for the app's log why it was not the app that answered.
pub(super) fn because(mut answer: Response<AnswerBody>, why: impl Into<Cow<'static, str>>) -> Response<AnswerBody> {
    answer.extensions_mut().insert(Reason(why.into()));
    answer
}

/// The key authorization that a certificate authority looks for.
pub(super) fn proof(key_authorization: String) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::own(Bytes::from(key_authorization)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    answer
}

/// The answer to `OPTIONS *`.
pub(super) fn options() -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::own(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// An answer for whom nothing else can be said to, as it is written: HTTP/1.1, one line, and the end of the connection.
pub(super) fn bare(status: u16, reason: &str, why: &str) -> String {
    let text = format!("{why}\n");
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

pub(super) fn page(reader: Reader, status: StatusCode, title: &str, words: &str) -> Response<AnswerBody> {
    let (kind, text) = match reader {
        Reader::Browser => ("text/html; charset=utf-8", html(status, title, words)),
        Reader::Program => ("text/plain; charset=utf-8", format!("{words}\n")),
    };
    let mut answer = Response::new(AnswerBody::own(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn html(status: StatusCode, title: &str, words: &str) -> String {
    let (code, title, words) = (status.as_u16(), escape(title), escape(words));
    let mark = if status.is_success() { String::new() } else { format!("<small>{code}</small> ") };
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>body{{font:18px/1.5 system-ui,sans-serif;max-width:36em;margin:20vh auto;padding:0 1em;\
         color-scheme:light dark}}small{{opacity:.5}}</style><h1>{mark}{title}</h1><p>{words}</p></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_escape_what_they_quote() {
        let html = html(StatusCode::NOT_FOUND, "x", "<script>\"&'");

        assert!(html.contains("&lt;script&gt;&quot;&amp;&#39;"));
    }

    #[test]
    fn only_who_asks_for_html_gets_it() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(Reader::of(&headers), Reader::Program);

        headers.insert(ACCEPT, HeaderValue::from_static("text/HTML,*/*;q=0.8"));
        assert_eq!(Reader::of(&headers), Reader::Browser);
    }
}
