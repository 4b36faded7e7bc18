//! Whose request it is: one host, well-formed, the same for us and for the app (RFC 9110 §7.2, RFC 9112 §3.2).

use super::case::Clue::{Line, Target};
use super::case::{Case, passes, refused};

pub fn cases() -> Vec<Case> {
    [normal(), malformed(), many(), unknown()].into_iter().flatten().collect()
}

fn normal() -> Vec<Case> {
    [
        ("a host", "a.test", "host: a.test"),
        ("a host in capitals", "A.TEST", "host: a.test"),
        ("a host with its dot", "a.test.", "host: a.test"),
        ("a host with a port", "a.test:8080", "host: a.test:8080"),
        ("a host with dot and port", "A.test.:8080", "host: a.test:8080"),
        ("a host with the scheme's own port", "a.test:80", "host: a.test:80"),
        ("a port with zeros before it", "a.test:00080", "host: a.test:80"),
        ("a name in punycode", "xn--bcher-kva.test", "host: xn--bcher-kva.test"),
        ("blanks around a host", " a.test ", "host: a.test"),
    ]
    .into_iter()
    .map(|(name, host, line)| passes(name, with(host), &[Line(line), Target("/case")]))
    .collect()
}

fn malformed() -> Vec<Case> {
    [
        "",
        "a.test:",
        "a.test:0",
        "a.test:65536",
        "a.test:80a",
        "a.test:+80",
        "a.test:-1",
        "a.test: 80",
        "a.test:80:80",
        "a.test,b.test",
        "a.test b.test",
        "a.test/",
        "a.test/path",
        "/a.test",
        "a.test?x",
        "a.test#x",
        "u@a.test",
        "u:p@a.test",
        "a.test@evil.test",
        "http://a.test",
        "a..test",
        ".a.test",
        "a.test..",
        ".",
        "-a.test",
        "a-.test",
        "a_b.test",
        "a%2etest",
        "%61.test",
        "a.test\\",
        "a.test;x",
        "\"a.test\"",
        "<a.test>",
        "a.test\u{fc}",
        "\u{fc}.test",
        "[::1",
        "::1",
        "[::1]x",
        "[a.test]",
        "[::1%25eth0]",
        "127.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "2130706433",
        "1.2.3.4.5",
        "256.0.0.1",
        "$(id).test",
        "`id`.test",
        "a'.test",
        "{a}.test",
        "*.test",
        "../a.test",
    ]
    .into_iter()
    .map(|host| refused(&format!("host {host:?}"), 400, with(host)))
    .chain([
        refused("a label of 64 letters", 400, with(&format!("{}.test", "a".repeat(64)))),
        refused("a name of 300 letters", 400, with(&format!("{}test", "a.".repeat(148)))),
        refused("a NUL in a host", 400, with("a.test\0")),
        refused("a tab in a host", 400, with("a.\ttest")),
        refused("a host that is folded", 400, "GET /case HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n"),
        refused("a blank before a host's colon", 400, "GET /case HTTP/1.1\r\nHost : a.test\r\n\r\n"),
    ])
    .collect()
}

fn many() -> Vec<Case> {
    let absolute = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}\r\n");
    vec![
        refused("no host", 400, "GET /case HTTP/1.1\r\n\r\n"),
        refused("two hosts that agree", 400, "GET /case HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n"),
        refused("two hosts that differ", 400, "GET /case HTTP/1.1\r\nHost: a.test\r\nHost: other.test\r\n\r\n"),
        refused("two hosts, far from each other", 400, "GET /case HTTP/1.1\r\nHost: a.test\r\nX: y\r\nhOST: other.test\r\n\r\n"),
        refused("an absolute target without a host", 400, absolute("http://a.test/case", "")),
        refused("an absolute target with two hosts", 400, absolute("http://a.test/case", "Host: a.test\r\nHost: a.test\r\n")),
        refused("an absolute target with a malformed host", 400, absolute("http://a.test/case", "Host: a b\r\n")),
        refused("an absolute target with a malformed authority", 400, absolute("http://a..test/case", "Host: a.test\r\n")),
        refused("an absolute target with a port that is none", 400, absolute("http://a.test:x/case", "Host: a.test\r\n")),
        refused("an absolute target with two authorities", 400, absolute("http://a.test@other.test/case", "Host: a.test\r\n")),
        passes(
            "the authority of an absolute target wins",
            absolute("http://other.test/case", "Host: a.test\r\n"),
            &[Line("host: other.test"), Target("/case")],
        ),
        passes("it is normalised too", absolute("HTTP://Other.TEST.:80/case", "Host: a.test\r\n"), &[Line("host: other.test:80")]),
        passes("its scheme may be https", absolute("https://other.test/case", "Host: a.test\r\n"), &[Line("host: other.test")]),
        passes(
            "`X-Forwarded-Host` names no other app",
            "GET /case HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Host: other.test\r\n\r\n",
            &[Line("host: a.test")],
        ),
        passes(
            "`Forwarded` names no other app",
            "GET /case HTTP/1.1\r\nHost: a.test\r\nForwarded: host=other.test\r\n\r\n",
            &[Line("host: a.test")],
        ),
    ]
}

fn unknown() -> Vec<Case> {
    ["b.test", "a.test.evil.test", "evila.test", "test", "127.0.0.1", "[::1]", "127.0.0.1:80"]
        .into_iter()
        .map(|host| {
            let bytes = with(host).into_bytes();
            Case::new(format!("nobody answers for {host}"), move |stage| {
                stage.begin(None);
                let outcome = stage.talk(&bytes)?;
                let is_page = outcome.answers.first().is_some_and(|answer| answer.status == 404);
                (is_page && outcome.sent.is_empty()).then_some(()).ok_or_else(|| format!("{:?}", outcome.answers))
            })
        })
        .collect()
}

fn with(host: &str) -> String {
    format!("GET /case HTTP/1.1\r\nHost: {host}\r\n\r\n")
}
