//! The syntax of chunks, to the byte (RFC 9112 §7.1).

use super::case::Clue::{Body, No};
use super::case::{Case, broken, endless, harmless, passes, post};

pub fn cases() -> Vec<Case> {
    [good(), bad(), odd()].into_iter().flatten().collect()
}

fn good() -> Vec<Case> {
    [
        ("several chunks", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
        ("hexadecimal sizes in lower case", "a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("hexadecimal sizes in upper case", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("sizes with zeros before them", "0003\r\nabc\r\n0\r\n\r\n", "abc"),
        ("several zeros at the end", "3\r\nabc\r\n000\r\n\r\n", "abc"),
        ("a chunk that holds the end of another", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, body, want)| passes(name, chunked(body), &[Body(want)]))
    .collect()
}

fn bad() -> Vec<Case> {
    [
        ("no size", "\r\nabc\r\n0\r\n\r\n"),
        ("a size that is none", "x\r\nabc\r\n0\r\n\r\n"),
        ("a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a size with a sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a negative size", "-3\r\nabc\r\n0\r\n\r\n"),
        ("a blank before a size", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a size that overflows", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a size that ends in a bare line feed", "3\nabc\r\n0\r\n\r\n"),
        ("a size that ends in a bare carriage return", "3\rabc\r\n0\r\n\r\n"),
        ("a chunk that ends in a bare line feed", "3\r\nabc\n0\r\n\r\n"),
        ("a chunk that is longer than it says", "3\r\nabcd\r\n0\r\n\r\n"),
        ("a chunk that ends in nothing", "3\r\nabc0\r\n\r\n"),
        ("an extension with a bare line feed", "3;a\nabc\r\n0\r\n\r\n"),
        ("an extension with a bare carriage return", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        ("a NUL in a size", "3\0\r\nabc\r\n0\r\n\r\n"),
        ("the last chunk with a bare line feed", "3\r\nabc\r\n0\n\r\n"),
        ("a trailer without a name", "3\r\nabc\r\n0\r\n: y\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, body)| broken(name, chunked(body)))
    .collect()
}

fn odd() -> Vec<Case> {
    let mut cases: Vec<_> = [
        ("trailers with a bare line feed", "3\r\nabc\r\n0\r\nX: y\n\r\n"),
        ("an extension", "3;a=b\r\nabc\r\n0\r\n\r\n"),
        ("a quoted extension", "3;a=\"b\"\r\nabc\r\n0\r\n\r\n"),
        ("an extension on the last chunk", "3\r\nabc\r\n0;a\r\n\r\n"),
        ("a blank behind a size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("a tab behind a size", "3\t\r\nabc\r\n0\r\n\r\n"),
        ("many zeros before a size", "0000000000000000000003\r\nabc\r\n0\r\n\r\n"),
    ]
    .into_iter()
    .map(|(name, body)| harmless(name, chunked(body)))
    .collect();
    cases.extend([
        endless("the largest size there is swallows what follows", chunked("ffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
        harmless("a long extension", chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(20_000)))),
        passes("trailers do not become headers", chunked("3\r\nabc\r\n0\r\nX-Late: y\r\n\r\n"), &[Body("abc"), No("x-late")]),
        passes(
            "a length in a trailer counts for nothing",
            chunked("3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n"),
            &[Body("abc"), No("content-length")],
        ),
        passes("a coding in a trailer counts for nothing", chunked("3\r\nabc\r\n0\r\nTransfer-Encoding: x\r\n\r\n"), &[Body("abc")]),
        passes("a host in a trailer counts for nothing", chunked("3\r\nabc\r\n0\r\nHost: evil.test\r\n\r\n"), &[Body("abc")]),
        harmless("ten thousand trailers", chunked(&format!("3\r\nabc\r\n0\r\n{}\r\n", "X: y\r\n".repeat(10_000)))),
        harmless("one endless trailer", chunked(&format!("3\r\nabc\r\n0\r\nX: {}\r\n\r\n", "y".repeat(200_000)))),
    ]);
    cases
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked", body)
}
