//! Apps that misbehave: their clients see an honest error or a cut, and never a clean end of half an answer.

use super::case::Got::{self, Body, Cut, Line, No, Status, Whole};
use super::case::{Case, answered, asked, get, request};
use super::origin::After::{Close, Keep, Reset};

pub fn cases() -> Vec<Case> {
    [good(), garbage(), lengths(), truncated(), bodiless(), old()].into_iter().flatten().collect()
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

fn good() -> Vec<Case> {
    vec![
        answered("an answer with a length", format!("{OK}Content-Length: 2\r\n\r\nok"), Keep, &[Status(200), Body("ok"), Whole]),
        answered(
            "an answer in chunks",
            format!("{OK}Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
            Keep,
            &[Status(200), Body("ok"), Whole],
        ),
        answered("an answer that ends with its connection", format!("{OK}\r\nok"), Close, &[Status(200), Body("ok"), Whole]),
        answered("an answer with a status of its own", "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", Keep, &[Status(799)]),
        answered("an answer without a reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", Keep, &[Status(200), Body("ok")]),
        answered(
            "an answer with two cookies",
            format!("{OK}Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok"),
            Keep,
            &[Line("set-cookie: a"), Line("set-cookie: b")],
        ),
        answered(
            "a redirect elsewhere goes on as it is",
            "HTTP/1.1 302 Found\r\nLocation: //else.test/\r\nContent-Length: 0\r\n\r\n",
            Keep,
            &[Status(302), Line("location: //else.test/")],
        ),
    ]
}

fn garbage() -> Vec<Case> {
    let wrong: &[(&str, &str)] = &[
        ("nothing at all", ""),
        ("an empty line and the end", "\r\n"),
        ("words that are no HTTP", "hello there\r\n\r\n"),
        ("another protocol", "SSH-2.0-OpenSSH_9.2\r\n"),
        ("HTTP/0.9", "<html>hello</html>"),
        ("half a head", "HTTP/1.1 200 OK\r\nContent-Le"),
        ("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
        ("a status below 100", "HTTP/1.1 099 No\r\n\r\n"),
        ("a version that is none", "HTTP/7.1 200 OK\r\n\r\n"),
        ("a header without a colon", "HTTP/1.1 200 OK\r\nX\r\n\r\n"),
        ("a header without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
        ("a blank before a colon", "HTTP/1.1 200 OK\r\nX : y\r\n\r\n"),
        ("a NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
        ("a bare carriage return in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"),
        ("an escape in a value", "HTTP/1.1 200 OK\r\nX: \u{1b}[2J\r\n\r\n"),
        ("a folded header", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    ];
    let mut cases: Vec<_> =
        wrong.iter().map(|(name, answer)| answered(&format!("{name} is a 502"), *answer, Close, &[Status(502)])).collect();
    cases.push(answered("a reset before the head is a 502", "", Reset, &[Status(502)]));
    cases.push(answered("a head without end is a 502", format!("{OK}{}", "X: y\r\n".repeat(50_000)), Close, &[Status(502)]));
    cases.push(answered("a header without end is a 502", format!("{OK}X: {}", "y".repeat(2_000_000)), Close, &[Status(502)]));
    cases.push(asked(
        "nobody listens: a 502 or a 503 after the hold",
        request("GET /case HTTP/1.1", "", "").replace("a.test", "dead.test"),
        "",
        Keep,
        &[Status(502)],
    ));
    cases
}

fn lengths() -> Vec<Case> {
    let says = |name: &str, lines: &str, body: &str, wants: &[Got]| answered(name, format!("{OK}{lines}\r\n\r\n{body}"), Close, wants);
    let bad = [Status(502)];
    vec![
        says("two lengths that differ", "Content-Length: 2\r\nContent-Length: 3", "okx", &bad),
        says("a list of lengths that differ", "Content-Length: 2, 3", "okx", &bad),
        says("a negative length", "Content-Length: -2", "ok", &bad),
        says("a length with a sign", "Content-Length: +2", "ok", &bad),
        says("a length that is none", "Content-Length: two", "ok", &bad),
        says("a length that overflows", "Content-Length: 99999999999999999999", "ok", &bad),
        says(
            "a coding beats a length",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "2\r\nok\r\n0\r\n\r\n",
            &[Status(200), Body("ok"), No("content-length"), Whole],
        ),
        says(
            "also when the length comes last",
            "Transfer-Encoding: chunked\r\nContent-Length: 1",
            "2\r\nok\r\n0\r\n\r\n",
            &[Status(200), Body("ok"), No("content-length"), Whole],
        ),
        answered(
            "more bytes than the length are not passed on",
            format!("{OK}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n"),
            Keep,
            &[Body("ok"), No("x-evil"), Got::Answers(2)],
        ),
        answered(
            "two answers to one request are one",
            format!("{OK}Content-Length: 2\r\n\r\nok{OK}Content-Length: 4\r\n\r\nevil"),
            Keep,
            &[Body("ok"), Got::Answers(2)],
        ),
    ]
}

/// The client must notice, whatever the app meant.
fn truncated() -> Vec<Case> {
    let cut = |name: &str, answer: &str, after| answered(name, format!("{OK}{answer}"), after, &[Status(200), Cut]);
    vec![
        cut("a body that is shorter than its length", "Content-Length: 10\r\n\r\nok", Close),
        cut("a body that does not come at all", "Content-Length: 10\r\n\r\n", Close),
        cut("chunks without the last one", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Close),
        cut("a chunk that breaks off", "Transfer-Encoding: chunked\r\n\r\n9\r\nok", Close),
        cut("a last chunk without its end", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", Close),
        cut("a chunk size that is none", "Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", Close),
        cut("a chunk size that overflows", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nok\r\n0\r\n\r\n", Close),
        cut("a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n", Close),
        cut("a body that ends in a reset", "Content-Length: 100000\r\n\r\nok", Reset),
        asked(
            "HTTP/1.0 clients notice too",
            request("GET /case HTTP/1.0", "", ""),
            format!("{OK}Content-Length: 10\r\n\r\nok"),
            Close,
            &[Cut],
        ),
        Case::new("HTTP/1.0 clients notice where only the end could tell them", |stage| {
            stage.begin(Some(super::origin::says(format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), Close)));
            let mut client = stage.connect();
            client.send(request("GET /case HTTP/1.0", "", ""));
            let end = client.read_to_end();
            let is_so = end == super::client::End::Reset && client.answers().first().is_some_and(|answer| answer.text() == "ok");
            is_so.then_some(()).ok_or_else(|| format!("{end:?}, {:?}", client.answers()))
        }),
    ]
}

fn bodiless() -> Vec<Case> {
    let head = || request("HEAD /case HTTP/1.1", "Connection: close", "");
    let seen = |name: &str, ask: String, answer: &str, status: u16| {
        let (ask, answer) = (ask, answer.to_owned());
        Case::new(name, move |stage| {
            stage.begin(Some(super::origin::says(answer.clone(), Close)));
            let mut client = stage.connect();
            client.send(&ask);
            client.read_to_end();
            let text = String::from_utf8_lossy(&client.bytes).into_owned();
            let is_bare =
                text.starts_with(&format!("HTTP/1.1 {status}")) && text.ends_with("\r\n\r\n") && text.matches("\r\n\r\n").count() == 1;
            is_bare.then_some(()).ok_or(text)
        })
    };
    let close = || get("Connection: close");
    vec![
        seen("an answer to HEAD has a length and no body", head(), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200),
        seen("a body in answer to HEAD is not passed on", head(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200),
        seen(
            "chunks in answer to HEAD are not passed on",
            head(),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
            200,
        ),
        seen("a 204 has no body", close(), "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204),
        seen("a 204 has no chunks", close(), "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", 204),
        seen("a 304 has no body", close(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304),
    ]
}

fn old() -> Vec<Case> {
    let ask = || request("GET /case HTTP/1.0", "", "");
    vec![
        answered("an app of HTTP/1.0 is understood", "HTTP/1.0 200 OK\r\n\r\nok", Close, &[Status(200), Body("ok"), Whole]),
        answered(
            "an app of HTTP/1.0 with a coding is a 502 or is read",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Close,
            &[No("transfer-coding")],
        ),
        asked(
            "clients of HTTP/1.0 get no chunks",
            ask(),
            format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            Keep,
            &[Status(200), No("transfer-encoding"), Body("ok")],
        ),
        asked("clients of HTTP/1.0 get a length", ask(), format!("{OK}Content-Length: 2\r\n\r\nok"), Keep, &[Status(200), Body("ok")]),
    ]
}
