//! Informational answers (RFC 9110 §15.2): what an app says ahead, such as 103 Early Hints (RFC 8297), its client hears ahead.

use std::fmt::Write;
use std::sync::Arc;

use hyper::ext::on_informational;
use hyper::{HeaderMap, Request, StatusCode};

use super::client::Client;
use super::headers::{self, Trailers};

/// More of them than this are not passed on: an app could go on for ever.
const MAX_INTERIM_BYTES: usize = 16 << 10;

/// Passes informational answers to this request on to its client, who speaks HTTP/1.1: hyper cannot send them on HTTP/2.
pub(super) fn listen<B>(request: &mut Request<B>, client: &Arc<Client>) {
    let client = Arc::clone(client);
    on_informational(request, move |answer| {
        if let Some(text) = in_writing(answer.status(), answer.headers()) {
            client.inform(text.as_bytes(), MAX_INTERIM_BYTES);
        }
    });
}

/// Writes one down; `None` where it ends here: 100 is ours to say, and 101 changes the protocol.
fn in_writing(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
        return None;
    }
    let mut headers = headers.clone();
    headers::to_client(&mut headers, Trailers::none());
    let mut text = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    for (name, value) in &headers {
        write!(text, "{name}: {}\r\n", value.to_str().ok()?).ok()?;
    }
    Some(text + "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_hints_are_written_and_what_is_not_the_apps_to_say_is_not() {
        let mut headers = HeaderMap::new();
        headers.insert("link", "</a.css>; rel=preload".parse().unwrap());
        headers.insert("connection", "close".parse().unwrap());

        let hints = in_writing(StatusCode::EARLY_HINTS, &headers).unwrap();

        assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
        assert!(in_writing(StatusCode::CONTINUE, &headers).is_none());
        assert!(in_writing(StatusCode::SWITCHING_PROTOCOLS, &headers).is_none());
    }
}
