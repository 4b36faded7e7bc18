//! Request lines: method, target, version (RFC 9112 §3).

use super::case::Clue::{Line, Method, Target};
use super::case::{Case, harmless, passes, refused, request};
use super::stage::Stage;

pub fn cases() -> Vec<Case> {
    [versions(), methods(), targets(), stars()].into_iter().flatten().collect()
}

fn versions() -> Vec<Case> {
    let mut cases: Vec<_> = [
        "GET /case HTTP/1.2",
        "GET /case HTTP/0.9",
        "GET /case HTTP/2.0",
        "GET /case HTTP/3",
        "GET /case HTTP/11",
        "GET /case http/1.1",
        "GET /case HTTP/1",
        "GET /case HTTP/1.",
        "GET /case HTTP/1.1x",
        "GET /case XTTP/1.1",
        "GET /case HTTP/01.1",
        "GET /case HTTP/1.1.1",
        "GET /case",
        "GET",
        "GET /case HTTP /1.1",
    ]
    .into_iter()
    .map(|line| refused(&format!("line {line:?}"), 400, request(line, "", "")))
    .collect();
    cases.push(harmless("HTTP/1.0 with a host", request("GET /case HTTP/1.0", "", "")));
    cases.push(harmless("HTTP/1.0 without a host", "GET /case HTTP/1.0\r\n\r\n"));
    cases
}

fn methods() -> Vec<Case> {
    let line = |method: &str| request(&format!("{method} /case HTTP/1.1"), "", "");
    vec![
        passes("a method of one's own", line("PROPFIND"), &[Method("PROPFIND")]),
        passes("methods have a case", line("get"), &[Method("get")]),
        passes("a method of odd letters", line("X-$~"), &[Method("X-$~")]),
        passes("a PATCH", line("PATCH"), &[Method("PATCH")]),
        refused("CONNECT to an app", 405, "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n"),
        refused("CONNECT with a path", 405, "CONNECT /case HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        refused("CONNECT to the world", 405, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"),
        refused("a method of 33 letters", 501, line(&"M".repeat(33))),
        refused("a method of 60,000 letters", 501, line(&"M".repeat(60_000))),
        refused("a method with a bracket", 400, line("GE(T")),
        refused("a method with a NUL", 400, line("GE\0T")),
        refused("a method with a quote", 400, line("\"GET\"")),
        refused("no method", 400, line("")),
        refused("a blank before a method", 400, line(" GET")),
        refused("a tab for a blank", 400, request("GET\t/case HTTP/1.1", "", "")),
        passes("TRACE is the app's to refuse", line("TRACE"), &[Method("TRACE")]),
    ]
}

fn targets() -> Vec<Case> {
    let get = |target: &str| request(&format!("GET {target} HTTP/1.1"), "", "");
    let mut cases: Vec<_> = [
        "case",
        "?a=b",
        "../case",
        "a.test",
        "a.test:80",
        "http:///case",
        "http://",
        "ftp://a.test/case",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://a.test/",
        "http:/case",
        "http:case",
        "://a.test/case",
        "http://a.test:80:80/case",
        "http://u@a.test/case",
        "http://u:p@a.test/case",
        "*",
    ]
    .into_iter()
    .map(|target| refused(&format!("target {target:?}"), 400, get(target)))
    .collect();
    cases.extend([
        passes("dots in a path are the app's to judge", get("/a/../b"), &[Target("/a/../b")]),
        passes("what is percent-encoded stays so", get("/%2e%2E/%00?%0a"), &[Target("/%2e%2E/%00?%0a")]),
        passes("two slashes stay two", get("//case"), &[Target("//case")]),
        passes("an empty query stays", get("/case?"), &[Target("/case?")]),
        passes("odd letters of a query stay", get("/case?a=b&c[]='d';e|f"), &[]),
        passes("a target of 8 KiB", get(&format!("/{}", "a".repeat(8 << 10))), &[]),
        passes("an absolute target becomes a path", get("http://a.test/x?y"), &[Target("/x?y"), Line("host: a.test")]),
        passes("an absolute target without a path is the root", get("http://a.test"), &[Target("/")]),
        passes("an absolute target with a fragment alone is the root", get("http://a.test#x"), &[Target("/")]),
        passes("an absolute target with a query alone", get("http://a.test?y"), &[Target("/?y")]),
        harmless("two blanks before a target", get(" /case")),
        harmless("two blanks behind a target", get("/case ")),
        refused("a blank in a target", 400, get("/ca se")),
        refused("a tab in a target", 400, get("/ca\tse")),
        refused("a NUL in a target", 400, get("/ca\0se")),
        refused("DEL in a target", 400, get("/ca\u{7f}se")),
        refused("a carriage return in a target", 400, get("/ca\rse")),
        harmless("a fragment in a target", get("/case#x")),
        harmless("letters beyond ASCII in a target", get("/\u{fc}")),
        harmless("a backslash in a target", get("/a\\b")),
        harmless("a backslash for a slash", get("\\case")),
    ]);
    cases
}

/// `OPTIONS *` asks the server itself.
fn stars() -> Vec<Case> {
    vec![
        Case::new("`OPTIONS *` is answered here", |stage: &Stage| {
            stage.begin(None);
            let outcome = stage.talk(request("OPTIONS * HTTP/1.1", "", "").as_bytes())?;
            let is_here = outcome.sent.is_empty() && outcome.answers.first().is_some_and(|answer| answer.status == 204);
            is_here.then_some(()).ok_or_else(|| format!("{:?}", outcome.answers))
        }),
        passes("OPTIONS of a path is the app's", request("OPTIONS /case HTTP/1.1", "", ""), &[Method("OPTIONS")]),
        refused("a star with another method", 400, request("POST * HTTP/1.1", "", "")),
        refused("a star with more behind it", 400, request("OPTIONS *x HTTP/1.1", "", "")),
    ]
}
