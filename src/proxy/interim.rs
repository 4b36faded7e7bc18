//! Informational answers (RFC 9110 §15.2) as a client is told of them. Those who speak HTTP/1.1 are: hyper cannot send them on HTTP/2.

use std::fmt::Write;

use hyper::{HeaderMap, StatusCode};

use super::headers::{self, Trailers};

/// More of them than this are not passed on: an app could go on for ever.
pub(super) const MAX_BYTES: usize = 16 << 10;

/// Writes one down; `None` where it ends here: 100 is ours to say, and 101 changes the protocol.
pub(super) fn in_writing(status: StatusCode, mut headers: HeaderMap) -> Option<String> {
    if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
        return None;
    }
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

        let hints = in_writing(StatusCode::EARLY_HINTS, headers.clone()).unwrap();

        assert_eq!(hints, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
        assert!(in_writing(StatusCode::CONTINUE, headers.clone()).is_none());
        assert!(in_writing(StatusCode::SWITCHING_PROTOCOLS, headers).is_none());
    }
}
