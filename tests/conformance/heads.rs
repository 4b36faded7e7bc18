//! The syntax of heads: names, values, ends of lines (RFC 9112 §5, RFC 9110 §5.5).

use super::case::Clue::{Line, No};
use super::case::{Case, get, harmless, passes, refused};

pub fn cases() -> Vec<Case> {
    [names(), values(), ends()].into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    let mut cases: Vec<_> = [
        ("a blank before a colon", "X : y"),
        ("a tab before a colon", "X\t: y"),
        ("no name", ": y"),
        ("only a colon", ":"),
        ("no colon", "X"),
        ("a blank in a name", "X Y: z"),
        ("a bracket in a name", "X[0]: y"),
        ("a slash in a name", "X/Y: z"),
        ("a quote in a name", "\"X\": y"),
        ("a NUL in a name", "X\0Y: z"),
        ("an umlaut in a name", "\u{fc}: y"),
        ("DEL in a name", "X\u{7f}: y"),
        ("a comma in a name", "X,Y: z"),
        ("a curly bracket in a name", "X{: z"),
    ]
    .into_iter()
    .map(|(name, line)| refused(name, 400, get(line)))
    .collect();
    cases.extend([
        passes("a name of odd letters", get("X!#$%&'*+-.^`|~9: y"), &[Line("x!#$%&'*+-.^`|~9: y")]),
        passes("a name of many letters", get(&format!("{}: y", "x".repeat(200))), &[]),
        passes("a name with an underscore goes no further", get("X_Y: z"), &[No("x_y")]),
    ]);
    cases
}

fn values() -> Vec<Case> {
    let mut cases: Vec<_> = [
        ("a NUL in a value", "X: a\0b"),
        ("a NUL at a value's end", "X: a\0"),
        ("a bare carriage return in a value", "X: a\rb"),
        ("a carriage return at a value's end", "X: a\r"),
        ("an escape in a value", "X: \u{1b}[2J"),
        ("a backspace in a value", "X: \u{8}"),
        ("DEL in a value", "X: \u{7f}"),
        ("a vertical tab in a value", "X: a\u{b}b"),
        ("a form feed in a value", "X: a\u{c}b"),
        ("a value that is folded with a blank", "X: a\r\n b"),
        ("a value that is folded with a tab", "X: a\r\n\tb"),
        ("a fold before the first header", " X: y"),
    ]
    .into_iter()
    .map(|(name, line)| refused(name, 400, get(line)))
    .collect();
    cases.extend([
        passes("blanks around a value are no part of it", get("X: \t y \t "), &[Line("x: y")]),
        passes("no blank before a value", get("X:y"), &[Line("x: y")]),
        passes("an empty value", get("X:"), &[Line("x: ")]),
        passes("a tab within a value", get("X: a\tb"), &[Line("x: a\tb")]),
        passes("letters beyond ASCII in a value", get("X: \u{fc}"), &[Line("x: \u{fc}")]),
        passes("bytes that are no UTF-8 in a value", [b"GET /case HTTP/1.1\r\nHost: a.test\r\nX: \xff\r\n\r\n".as_slice()].concat(), &[]),
        passes("colons in a value", get("X: a:b: c"), &[Line("x: a:b: c")]),
        passes("two headers of one name stay two, or become a list", get("X: a\r\nX: b"), &[]),
        passes("a value of 8 KiB", get(&format!("X: {}", "y".repeat(8 << 10))), &[]),
    ]);
    cases
}

fn ends() -> Vec<Case> {
    let bare = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    vec![
        harmless("a head of bare line feeds", "GET /case HTTP/1.1\nHost: a.test\n\n"),
        harmless("one bare line feed in a head", "GET /case HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n"),
        harmless("a head that ends in bare line feeds", "GET /case HTTP/1.1\r\nHost: a.test\r\nX: y\n\n"),
        harmless("a request line that ends in a bare line feed", "GET /case HTTP/1.1\nHost: a.test\r\n\r\n"),
        refused("a head of bare carriage returns", 400, format!("GET /case HTTP/1.1\rHost: a.test\r\r{bare}")),
        refused("a line feed before a carriage return", 400, format!("GET /case HTTP/1.1\r\nHost: a.test\n\r{bare}")),
        harmless("an empty line before a request", "\r\nGET /case HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        harmless("two empty lines before a request", "\r\n\r\nGET /case HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        refused("a NUL before a request", 400, "\0GET /case HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        refused("a byte order mark before a request", 400, "\u{feff}GET /case HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        refused("a TLS hello where a request should be", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh\r\n\r\n".to_vec()),
        refused("a header before the request line", 400, "Host: a.test\r\nGET /case HTTP/1.1\r\n\r\n"),
    ]
}
