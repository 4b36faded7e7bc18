//! What hyper does not tell of an exchange with an app over HTTP/1.1, taken from the wire: the head of the request as it left, and the
//! informational answers (RFC 9110 §15.2) that come ahead, such as 103 Early Hints (RFC 8297).

use std::cell::RefCell;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::client::Client;
use super::interim;
use super::upload::UploadBody;
use crate::model::limits::{MAX_HEAD_BYTES, MAX_HEADERS};

/// What an informational answer begins with.
const INTERIM: &[u8] = b"HTTP/1.1 1";

/// A connection that waits for its next request keeps no more room than this for the head of that.
const USUAL_HEAD_BYTES: usize = 4 << 10;

/// Held by a connection and by its socket.
#[derive(Clone, Default)]
pub(super) struct Tap(Rc<RefCell<Heard>>);

#[derive(Default)]
struct Heard {
    /// The request's head, where it may have to be sent once more; its room stays for the next one.
    head: Vec<u8>,
    keeps_head: bool,
    /// Who is told of informational answers, until the answer itself begins.
    client: Option<Arc<Client>>,
    /// What came of one so far.
    beginning: Vec<u8>,
}

// === impl Tap ===

impl Tap {
    /// Begins with a request: tells `client` of informational answers to it, and keeps its head if asked to, which must be all of it.
    pub(super) fn begin(&self, client: Option<&Arc<Client>>, keeps_head: bool) {
        let mut heard = self.0.borrow_mut();
        heard.head.clear();
        heard.head.shrink_to(USUAL_HEAD_BYTES);
        heard.beginning.clear();
        heard.client = client.cloned();
        heard.keeps_head = keeps_head;
    }

    /// Notes what is about to be written: hyper writes a head in one piece.
    pub(super) fn writes(&self, bufs: &[IoSlice<'_>]) {
        let mut heard = self.0.borrow_mut();
        if heard.keeps_head {
            heard.keeps_head = false;
            for buf in bufs {
                heard.head.extend_from_slice(buf);
            }
        }
    }

    /// Notes what was read.
    pub(super) fn reads(&self, bytes: &[u8]) {
        self.0.borrow_mut().reads(bytes);
    }

    /// Makes the request that was sent, which had no body, once more.
    pub(super) fn request(&self) -> Option<Request<UploadBody>> {
        request(&self.0.borrow().head)
    }
}

// === impl Heard ===

impl Heard {
    fn reads(&mut self, bytes: &[u8]) {
        let Some(client) = &self.client else { return };
        if !self.beginning.is_empty() || may_be_interim(bytes) {
            self.beginning.extend_from_slice(bytes);
            while let Some((length, text)) = first(&self.beginning) {
                client.inform(text.as_bytes(), interim::MAX_BYTES);
                self.beginning.drain(..length);
            }
            if may_be_interim(&self.beginning) && self.beginning.len() < MAX_HEAD_BYTES {
                return;
            }
        }
        (self.client, self.beginning) = (None, Vec::new());
    }
}

fn may_be_interim(bytes: &[u8]) -> bool {
    let compared = bytes.len().min(INTERIM.len());
    bytes[..compared] == INTERIM[..compared]
}

/// Reads an informational answer that is complete; returns its length and what a client is told, which is nothing where it ends here.
fn first(bytes: &[u8]) -> Option<(usize, String)> {
    if !bytes.starts_with(INTERIM) {
        return None;
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut lines);
    let httparse::Status::Complete(length) = answer.parse(bytes).ok()? else { return None };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok())?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    let text = headers(answer.headers).and_then(|headers| interim::in_writing(status, headers));
    Some((length, text.unwrap_or_default()))
}

fn request(head: &[u8]) -> Option<Request<UploadBody>> {
    let mut lines = vec![httparse::EMPTY_HEADER; head.split(|byte| *byte == b'\n').count()];
    let mut parsed = httparse::Request::new(&mut lines);
    // What is left of an earlier head may stand before it.
    parsed.parse(head).ok().filter(|status| *status == httparse::Status::Complete(head.len()))?;
    let mut request = Request::new(UploadBody::none());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = parsed.path?.parse::<PathAndQuery>().ok()?.into();
    *request.headers_mut() = headers(parsed.headers)?;
    Some(request)
}

fn headers(lines: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        headers.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use hyper::Version;

    use super::*;
    use crate::proxy::ends::Ends;

    fn client() -> Arc<Client> {
        Arc::new(Client::new(Ends::new([192, 0, 2, 1].into(), HeaderValue::from_static("80"), false)))
    }

    /// What a client is told while this comes in pieces.
    fn told(pieces: &[&str]) -> String {
        let (tap, client) = (Tap::default(), client());
        let _open = client.open(Version::HTTP_11);
        tap.begin(Some(&client), false);
        for piece in pieces {
            tap.reads(piece.as_bytes());
        }
        String::from_utf8(client.take_interim()).unwrap()
    }

    #[test]
    fn informational_answers_are_told_in_whatever_pieces_they_come() {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
        let all = format!("{hints}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nx: HTTP/1.1 103 no\r\n\r\n{hints}");
        let expected = format!("{hints}HTTP/1.1 102 Processing\r\n\r\n");

        assert_eq!(told(&[&all]), expected);
        for at in 1..all.len() {
            assert_eq!(told(&[&all[..at], &all[at..]]), expected, "{at}");
        }
        let letters: Vec<String> = all.chars().map(String::from).collect();
        assert_eq!(told(&letters.iter().map(String::as_str).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn nothing_else_is_told_and_an_endless_one_is_not_kept() {
        for answer in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "nonsense"] {
            assert_eq!(told(&[answer]), "", "{answer}");
        }
        let (tap, client) = (Tap::default(), client());
        tap.begin(Some(&client), false);

        tap.reads(b"HTTP/1.1 103 Early Hints\r\nx: ");
        tap.reads(&vec![b'a'; MAX_HEAD_BYTES]);

        assert!(tap.0.borrow().client.is_none() && tap.0.borrow().beginning.capacity() == 0);
        assert_eq!(Arc::strong_count(&client), 1);
    }

    #[test]
    fn a_head_that_left_can_leave_once_more() {
        let tap = Tap::default();
        let head = b"OPTIONS //a?b=c HTTP/1.1\r\nhost: a.localhost\r\ncookie: a\r\nx: \xff\r\nx: 2\r\n\r\n";
        tap.begin(None, true);
        assert!(tap.request().is_none(), "nothing has left");

        tap.writes(&[IoSlice::new(&head[..10]), IoSlice::new(&head[10..])]);
        tap.writes(&[IoSlice::new(b"what comes behind it")]);

        let request = tap.request().unwrap();
        assert_eq!((request.method(), request.uri().to_string()), (&Method::OPTIONS, "//a?b=c".into()));
        let lines: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(lines, [("host", &b"a.localhost"[..]), ("cookie", b"a"), ("x", b"\xff"), ("x", b"2")]);
        tap.begin(None, false);
        tap.writes(&[IoSlice::new(head)]);
        assert!(tap.request().is_none(), "it was not to be kept");
        tap.begin(None, true);
        tap.writes(&[IoSlice::new(b"x: the rest of another\r\n\r\n"), IoSlice::new(head)]);
        assert!(tap.request().is_none(), "it is not alone");
        tap.begin(None, true);
        tap.writes(&[IoSlice::new(b"GET / HTTP/1.1\r\n\r\n"), IoSlice::new(head)]);
        assert!(tap.request().is_none(), "it is not the first");
    }
}
