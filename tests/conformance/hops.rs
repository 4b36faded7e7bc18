//! Headers that hold for one hop end here, in both directions (RFC 9110 §7.6.1).

use super::case::Clue::{Body, Line, No};
use super::case::Got::{self, Status, Whole};
use super::case::{Case, answered, get, passes, post};
use super::origin::After;

pub fn cases() -> Vec<Case> {
    [requests(), answers()].into_iter().flatten().collect()
}

fn requests() -> Vec<Case> {
    vec![
        passes("a header named in `Connection` ends here", get("Connection: X-Hop\r\nX-Hop: 1"), &[No("x-hop"), No("connection")]),
        passes(
            "so do several, in any case",
            get("Connection: x-A ,\tX-b,X-C\r\nX-A: 1\r\nX-B: 1\r\nX-C: 1"),
            &[No("x-a"), No("x-b"), No("x-c")],
        ),
        passes(
            "and those of two `Connection` lines",
            get("Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 1"),
            &[No("x-a"), No("x-b")],
        ),
        passes("and all lines of a name", get("Connection: x-a\r\nX-A: 1\r\nX-A: 2"), &[No("x-a")]),
        passes("an empty member hides none", get("Connection: ,,x-a,\r\nX-A: 1"), &[No("x-a")]),
        passes("a strange member hides none", get("Connection: \u{fc}, x-a, (\r\nX-A: 1"), &[No("x-a")]),
        passes("the host cannot be named away", get("Connection: Host"), &[Line("host: a.test")]),
        passes(
            "nor can a length",
            post("Connection: Content-Length\r\nContent-Length: 3", "abc"),
            &[Line("content-length: 3"), Body("abc")],
        ),
        passes(
            "nor can a coding",
            post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
            &[Body("abc")],
        ),
        passes(
            "nor can what we say ourselves",
            get("Connection: X-Forwarded-For, X-Real-IP"),
            &[Line("x-forwarded-for: 127.0.0.1"), Line("x-real-ip: 127.0.0.1")],
        ),
        passes("a cookie can be named away", get("Connection: Cookie\r\nCookie: a=b"), &[No("cookie")]),
        passes("`Keep-Alive` ends here", get("Keep-Alive: timeout=5"), &[No("keep-alive")]),
        passes("`Proxy-Connection` ends here", get("Proxy-Connection: keep-alive"), &[No("proxy-connection")]),
        passes("`Proxy-Authorization` ends here", get("Proxy-Authorization: Basic x"), &[No("proxy-authorization")]),
        passes("`TE` ends here", get("TE: gzip"), &[No("te")]),
        passes("`Trailer` ends here", get("Trailer: X"), &[No("trailer")]),
        passes("`Upgrade` ends here", get("Upgrade: foo"), &[No("upgrade")]),
        passes("`HTTP2-Settings` ends here", get("HTTP2-Settings: AAMAAABkAAQAAP__"), &[No("http2-settings")]),
        passes("`Authorization` goes on", get("Authorization: Bearer x"), &[Line("authorization: Bearer x")]),
        passes("`Cookie` goes on", get("Cookie: a=b; c=d"), &[Line("cookie: a=b; c=d")]),
    ]
}

fn answers() -> Vec<Case> {
    let says = |name: &str, lines: &str, wants: &[Got]| {
        answered(
            name,
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\n\r\nok"),
            After::Keep,
            &[&[Status(200), Whole, Got::Body("ok")], wants].concat(),
        )
    };
    vec![
        says("what the app names in `Connection` ends here", "Connection: X-Hop\r\nX-Hop: 1", &[Got::No("x-hop"), Got::Answers(2)]),
        says("a strange member of the app's hides none", "Connection: \u{fc}, x-hop\r\nX-Hop: 1", &[Got::No("x-hop")]),
        says("the app's `close` is for us alone", "Connection: close", &[Got::No("connection"), Got::Answers(2)]),
        says("the app's `Keep-Alive` ends here", "Keep-Alive: timeout=1", &[Got::No("keep-alive")]),
        says("the app's `Upgrade` ends here", "Upgrade: h2c", &[Got::No("upgrade")]),
        says("the app's `Proxy-Authenticate` ends here", "Proxy-Authenticate: Basic", &[Got::No("proxy-authenticate")]),
        says("the app's `Proxy-Connection` ends here", "Proxy-Connection: close", &[Got::No("proxy-connection")]),
        says("the app's length cannot be named away", "Connection: Content-Length", &[Got::Line("content-length: 2")]),
        says("the app's `Set-Cookie` goes on", "Set-Cookie: a=b", &[Got::Line("set-cookie: a=b")]),
    ]
}
