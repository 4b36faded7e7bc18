//! Where a body ends: every form in which two parsers could disagree is refused (RFC 9112 §6).

use super::case::Clue::{Body, Line, No};
use super::case::{Case, broken, harmless, passes, post, refused, request};

/// A request that must never be seen by an origin.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

pub fn cases() -> Vec<Case> {
    [good(), both(), lengths(), codings(), old()].into_iter().flatten().collect()
}

fn good() -> Vec<Case> {
    vec![
        passes("a body with a length arrives as it is", post("Content-Length: 3", "abc"), &[Line("content-length: 3"), Body("abc")]),
        passes("a body of length 0 is none", post("Content-Length: 0", ""), &[Body("")]),
        passes("a length may begin with zeros", post("Content-Length: 003", "abc"), &[Body("abc")]),
        passes("blanks around a length are no part of it", post("Content-Length:  \t3 \t", "abc"), &[Body("abc")]),
        passes("a chunked body arrives", post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), &[Body("abc")]),
        passes("the coding's case is free", post("Transfer-Encoding: Chunked", "3\r\nabc\r\n0\r\n\r\n"), &[Body("abc")]),
        passes("an empty chunked body arrives", post("Transfer-Encoding: chunked", "0\r\n\r\n"), &[Body("")]),
        passes("a GET may have a body", request("GET /case HTTP/1.1", "Content-Length: 3", "abc"), &[Body("abc")]),
        passes("a POST without a body has length 0 or none", post("", ""), &[Body(""), No("transfer-encoding")]),
        passes(
            "a DELETE with chunks arrives",
            request("DELETE /case HTTP/1.1", "Transfer-Encoding: chunked", "1\r\na\r\n0\r\n\r\n"),
            &[Body("a")],
        ),
    ]
}

fn both() -> Vec<Case> {
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let both = |lines: &str, body: &str| post(lines, body);
    vec![
        harmless("a length and then a coding", both("Content-Length: 3\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n")),
        harmless("a coding and then a length", both("Transfer-Encoding: chunked\r\nContent-Length: 3", "3\r\nabc\r\n0\r\n\r\n")),
        ends_after(
            "CL.TE: the chunks end before the length does",
            &format!("Content-Length: {}\r\nTransfer-Encoding: chunked", chunked.len()),
            &chunked,
        ),
        ends_after("TE.CL: the length ends before the chunks do", "Transfer-Encoding: chunked\r\nContent-Length: 4", &chunked),
        ends_after("a length of 0 and chunks", "Content-Length: 0\r\nTransfer-Encoding: chunked", &chunked),
        refused("a length and an unknown coding", 400, both("Content-Length: 3\r\nTransfer-Encoding: xchunked", &format!("abc{SMUGGLED}"))),
        refused("a length and `identity`", 400, both("Content-Length: 3\r\nTransfer-Encoding: identity", &format!("abc{SMUGGLED}"))),
    ]
}

/// Refused, or answered as the last request of its connection (RFC 9112 §6.1): what lies behind is never read as a request.
fn ends_after(name: &str, lines: &str, body: &str) -> Case {
    let bytes = post(lines, body).into_bytes();
    Case::new(name, move |stage| {
        stage.begin(None);
        let outcome = stage.talk(&bytes)?;
        match (&outcome.answers[..], &outcome.sent[..]) {
            ([answer], []) if answer.status == 400 => Ok(()),
            ([answer], [sent]) if answer.status == 200 && sent.target == "/case" => Ok(()),
            (answers, sent) => {
                Err(format!("{} answers, sent {:?}", answers.len(), sent.iter().map(|sent| &sent.target).collect::<Vec<_>>()))
            }
        }
    })
}

fn lengths() -> Vec<Case> {
    let forms = [
        "+3",
        "-3",
        "0x3",
        "3a",
        "3.0",
        "3e0",
        "3 3",
        "3,3",
        "3, 3",
        "3,",
        ",3",
        "3;",
        "\"3\"",
        "'3'",
        "",
        " ",
        "\u{663}",
        "three",
        "3\t3",
        "18446744073709551616",
        "99999999999999999999999999",
        "-0",
        "(3)",
        "3_0",
    ];
    let mut cases: Vec<_> = forms
        .iter()
        .map(|form| refused(&format!("length {form:?}"), 400, post(&format!("Content-Length: {form}"), &format!("abc{SMUGGLED}"))))
        .collect();
    let abc = format!("abc{SMUGGLED}");
    cases.extend([
        refused("two lengths that differ", 400, post("Content-Length: 3\r\nContent-Length: 4", &abc)),
        harmless("two lengths that agree", post("Content-Length: 3\r\nContent-Length: 3", "abc")),
        refused("two lengths, the first is none", 400, post("Content-Length: x\r\nContent-Length: 3", &abc)),
        refused("two lengths, the second is none", 400, post("Content-Length: 3\r\nContent-Length: x", &abc)),
        refused("a blank before the colon of a length", 400, post("Content-Length : 3", &abc)),
        refused("a tab before the colon of a length", 400, post("Content-Length\t: 3", &abc)),
        refused("a blank before a length's name", 400, post(" Content-Length: 3", &abc)),
        refused("a length that is folded", 400, post("Content-Length:\r\n 3", &abc)),
        refused("a NUL in a length", 400, post("Content-Length: 3\0", &abc)),
        harmless("`Content_Length` is no length", post("Content_Length: 3", "")),
        harmless("a vertical tab before a length", post("Content-Length:\u{b}3", "")),
    ]);
    cases
}

fn codings() -> Vec<Case> {
    let forms = [
        "xchunked",
        "chunkedx",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "gzip, chunked",
        "chunked, gzip",
        "identity",
        "identity, chunked",
        "chunked, identity",
        "gzip",
        "compress",
        "chunked;q=1",
        "chunked; a=b",
        "\"chunked\"",
        "'chunked'",
        "chu\tnked",
        "chunked\u{b}",
        "chunk",
        "",
        "c hunked",
        "\u{b}chunked",
        "chunked\u{a0}",
        "none",
        "chunked\0",
    ];
    let body = format!("0\r\n\r\n{SMUGGLED}");
    let mut cases: Vec<_> =
        forms.iter().map(|form| refused(&format!("coding {form:?}"), 400, post(&format!("Transfer-Encoding: {form}"), &body))).collect();
    cases.extend([
        refused("two codings", 400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", &body)),
        refused("two codings, the second unknown", 400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", &body)),
        refused("two codings, the first unknown", 400, post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", &body)),
        refused("a blank before the colon of a coding", 400, post("Transfer-Encoding : chunked", &body)),
        refused("a blank before a coding's name", 400, post(" Transfer-Encoding: chunked", &body)),
        refused("a coding that is folded", 400, post("Transfer-Encoding:\r\n chunked", &body)),
        harmless("a coding behind a bare line feed", post("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        refused("a coding behind a bare carriage return", 400, post("X: y\rTransfer-Encoding: chunked", &body)),
        harmless("`Transfer_Encoding` is no coding", post("Transfer_Encoding: chunked", "")),
        passes("`TE: chunked` is no coding", post("TE: chunked\r\nContent-Length: 3", "abc"), &[Body("abc"), No("te")]),
    ]);
    cases
}

fn old() -> Vec<Case> {
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    vec![
        refused("HTTP/1.0 with a coding", 400, request("POST /case HTTP/1.0", "Transfer-Encoding: chunked", &chunks)),
        refused(
            "HTTP/1.0 with a coding that keeps alive",
            400,
            request("POST /case HTTP/1.0", "Connection: keep-alive\r\nTransfer-Encoding: chunked", &chunks),
        ),
        passes("HTTP/1.0 with a length", request("POST /case HTTP/1.0", "Content-Length: 3", "abc"), &[Body("abc")]),
        passes("HTTP/1.0 without a length has no body", request("POST /case HTTP/1.0", "", ""), &[Body("")]),
        broken(
            "a coding of none and a length that is hidden in a chunk",
            post("Transfer-Encoding: chunked", "3\r\nabcGET /smuggled HTTP/1.1\r\n\r\n"),
        ),
    ]
}
