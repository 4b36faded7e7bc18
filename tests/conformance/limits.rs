//! Bounds, and that the refusal says which one it was.

use std::sync::LazyLock;

use super::case::Clue::Body;
use super::case::{Case, get, passes, post, refused, request};
use super::stage::Stage;

pub fn cases() -> Vec<Case> {
    vec![
        passes("a head of 32 KiB", get(&format!("X: {}", "y".repeat(32 << 10))), &[]),
        passes("90 headers", get(&headers(88)), &[]),
        refused("101 headers", 431, get(&headers(101))),
        refused("10,000 headers", 431, get(&headers(10_000))),
        refused("a header of 128 KiB", 431, get(&format!("X: {}", "y".repeat(128 << 10)))),
        refused("a header of 1 MiB", 431, get(&format!("X: {}", "y".repeat(1 << 20)))),
        refused("a header name of 100 KiB", 431, get(&format!("{}: y", "x".repeat(100 << 10)))),
        refused("a cookie of 128 KiB", 431, get(&format!("Cookie: {}", "y".repeat(128 << 10)))),
        refused("a target of 100 KiB", 431, request(&format!("GET /{} HTTP/1.1", "a".repeat(100 << 10)), "", "")),
        passes("a body of 8 MiB", post(&format!("Content-Length: {}", EIGHT_MIB.len()), &EIGHT_MIB), &[Body(&EIGHT_MIB)]),
        says_why("a refusal for two lengths says so", &post("Content-Length: 3\r\nContent-Length: 4", "abc"), 400, "head is malformed"),
        says_why("a refusal for a coding says so", &post("Transfer-Encoding: gzip", ""), 400, "head is malformed"),
        says_why("a refusal for a missing host says so", "GET / HTTP/1.1\r\n\r\n", 400, "host"),
        says_why("a refusal for a malformed host says so", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host"),
        says_why("a refusal of CONNECT says so", "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 405, "proxy"),
        says_why("a refusal of a method says so", &request(&format!("{} / HTTP/1.1", "M".repeat(40)), "", ""), 501, "method"),
        says_why("a refusal of a large head says so", &get(&headers(200)), 431, "head"),
        says_why("a page about a host shows no markup of it", "GET / HTTP/1.1\r\nHost: b.test\r\nAccept: text/html\r\n\r\n", 404, "b.test"),
        Case::new("a page of ours names no software version", |stage| {
            stage.begin(None);
            let outcome = stage.talk(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")?;
            let says_server = outcome.answers.iter().any(|answer| answer.header("server").is_some() || answer.text().contains("hyper"));
            (!says_server).then_some(()).ok_or_else(|| "it does".into())
        }),
    ]
}

static EIGHT_MIB: LazyLock<String> = LazyLock::new(|| "b".repeat(8 << 20));

fn headers(count: usize) -> String {
    (0..count).map(|n| format!("X-{n}: y")).collect::<Vec<_>>().join("\r\n")
}

fn says_why(name: &str, bytes: &str, status: u16, word: &'static str) -> Case {
    let bytes = bytes.as_bytes().to_vec();
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let outcome = stage.talk(&bytes)?;
        let is_so = outcome.answers.first().is_some_and(|answer| answer.status == status && answer.text().contains(word));
        is_so.then_some(()).ok_or_else(|| format!("{:?}", outcome.answers.iter().map(super::client::Answer::text).collect::<Vec<_>>()))
    })
}
