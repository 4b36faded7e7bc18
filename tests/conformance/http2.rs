//! Requests over HTTP/2: what HTTP/1.1 could not carry, or would read otherwise, goes no further (RFC 9113 §8, §10.3).

use super::case::Case;
use super::case::Clue::{self, Body, Line, No, Target};
use super::client::Client;
use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Field, GET, Verdict, WHOLE, block, frame, headers, open, verdict};
use super::stage::Stage;

pub fn cases() -> Vec<Case> {
    [good(), pseudo(), authorities(), fields(), bodies()].into_iter().flatten().collect()
}

fn good() -> Vec<Case> {
    vec![
        passes("a GET", &GET, &[Target("/case"), Line("host: a.test"), Line("x-forwarded-for: 127.0.0.1")]),
        passes("an authority is normalised", &with(":authority", "A.Test.:8080"), &[Line("host: a.test:8080")]),
        passes("`host` alone names the app", &[GET[0], GET[1], GET[3], ("host", "a.test")], &[Line("host: a.test")]),
        passes("crumbs of a cookie are joined", &more(&[("cookie", "a=b"), ("cookie", "c=d")]), &[Line("cookie: a=b; c=d")]),
        passes("`te: trailers` is for us", &more(&[("te", "trailers")]), &[]),
        passes(
            "what a client says about forwarding is replaced",
            &more(&[("x-forwarded-for", "6.6.6.6"), ("x_real_ip", "6.6.6.6")]),
            &[Line("x-forwarded-for: 127.0.0.1"), No("x_real_ip")],
        ),
        passes("a scheme says nothing about the connection", &with(":scheme", "https"), &[Line("x-forwarded-proto: http")]),
    ]
}

fn pseudo() -> Vec<Case> {
    let without = |name: &str| GET.into_iter().filter(|field| field.0 != name).collect::<Vec<_>>();
    let mut cases: Vec<_> = [":method", ":scheme", ":path", ":authority"].map(|name| refused(&format!("no {name}"), &without(name))).into();
    cases.extend([":method", ":scheme", ":path", ":authority"].map(|name| {
        let again = GET.into_iter().find(|field| field.0 == name).unwrap();
        refused(&format!("two of {name}"), &more(&[again]))
    }));
    for (name, value) in [
        (":path", ""),
        (":path", "case"),
        (":path", "*"),
        (":path", "http://a.test/"),
        (":path", "/ca se"),
        (":path", "/ca\tse"),
        (":path", "/ca\0se"),
        (":path", "/ca\r\nX: y"),
        (":path", "/ HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /smuggled"),
        (":method", ""),
        (":method", "GE T"),
        (":method", "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\nGET"),
        (":method", "CONNECT"),
        (":scheme", "ftp"),
        (":scheme", ""),
        (":scheme", "http://a.test/smuggled?"),
    ] {
        cases.push(refused(&format!("{name} {value:?}"), &with(name, value)));
    }
    cases.extend([
        refused("a pseudo-header that is unknown", &more(&[(":foo", "bar")])),
        refused("a status in a request", &more(&[(":status", "200")])),
        refused("a pseudo-header behind a header", &[("x", "y"), GET[0], GET[1], GET[2], GET[3]]),
        refused(
            "a websocket by extended CONNECT that was not offered",
            &[(":method", "CONNECT"), GET[1], GET[2], GET[3], (":protocol", "websocket")],
        ),
        refused("a CONNECT in its own form", &[(":method", "CONNECT"), (":authority", "a.test:80")]),
        harmless("a fragment in a path", &with(":path", "/case#x")),
        harmless("a fragment and more in a path", &with(":path", "/case#/ HTTP/1.1")),
        harmless("a method of 10,000 letters", &with(":method", &"M".repeat(10_000))),
    ]);
    cases
}

fn authorities() -> Vec<Case> {
    let mut cases: Vec<_> =
        ["u@a.test", "a..test", "a.test:x", "a.test/x", "a.test,b.test", "a b", "a.test:0", "a.test\r\nX: y", "$(id).test"]
            .into_iter()
            .map(|host| refused(&format!("authority {host:?}"), &with(":authority", host)))
            .collect();
    cases.extend([
        refused("a malformed `host` beside a good authority", &more(&[("host", "a b")])),
        refused("two `host`s", &more(&[("host", "a.test"), ("host", "a.test")])),
        told("a `host` that differs from the authority names no other app", &more(&[("host", "other.test")]), &[Line("host: a.test")]),
        refused("an empty authority", &with(":authority", "")),
    ]);
    cases
}

fn fields() -> Vec<Case> {
    [
        ("connection", "close"),
        ("connection", "x-hop"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("te", "trailers, chunked"),
        ("X-Upper", "y"),
        ("", "y"),
        ("x y", "z"),
        ("x:y", "z"),
        ("x\r\ny", "z"),
        ("x\0", "z"),
        ("x", "a\r\nTransfer-Encoding: chunked"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("content-length", "x"),
        ("content-length", "+0"),
        ("content-length", "0, 0"),
        ("\u{fc}", "y"),
    ]
    .into_iter()
    .map(|(name, value)| refused(&format!("{name:?}: {value:?}"), &more(&[(name, value)])))
    .chain([
        refused("two lengths", &more(&[("content-length", "0"), ("content-length", "0")])),
        harmless("a blank before a value", &more(&[("x", " y")])),
        harmless("a blank behind a value", &more(&[("x", "y ")])),
        harmless("an escape in a value", &more(&[("x", "\u{1b}[2J")])),
        harmless("an expectation", &more(&[("expect", "100-continue")])),
        harmless("a header of HTTP/2's upgrade", &more(&[("http2-settings", "AAMAAABkAAQAAP__")])),
        harmless("`proxy-authorization`", &more(&[("proxy-authorization", "Basic x")])),
        harmless("99 headers of a kind", &more(&[("x", "y"); 99])),
        plays("headers of 100 KiB", in_pieces(&"y".repeat(15 << 10), 7), &[], &[]),
    ])
    .collect()
}

fn bodies() -> Vec<Case> {
    let post = |lines: &[Field<'static>]| [&[(":method", "POST"), GET[1], GET[2], GET[3]], lines].concat();
    let data = |text: &str| frame(DATA, END_STREAM, 1, text.as_bytes());
    let sends = move |lines: &[Field<'static>], after: Vec<u8>| [headers(END_HEADERS, 1, &post(lines)), after].concat();
    vec![
        plays("a body without a length arrives", sends(&[], data("abc")), &[Body("abc")], &[200]),
        plays(
            "a body with a length arrives",
            sends(&[("content-length", "3")], data("abc")),
            &[Body("abc"), Line("content-length: 3")],
            &[200],
        ),
        plays("a body in two frames arrives", sends(&[], [frame(DATA, 0, 1, b"ab"), data("c")].concat()), &[Body("abc")], &[200]),
        plays("padding is no part of a body", sends(&[], frame(DATA, END_STREAM | 8, 1, b"\x02abc\0\0")), &[Body("abc")], &[200]),
        plays("a body that looks like chunks is none", sends(&[("content-length", "5")], data("0\r\n\r\n")), &[Body("0\r\n\r\n")], &[200]),
        plays(
            "trailers do not become headers",
            sends(&[], [frame(DATA, 0, 1, b"abc"), headers(WHOLE, 1, &[("x-late", "y")])].concat()),
            &[Body("abc"), No("x-late")],
            &[200],
        ),
        plays("a length that is too small", sends(&[("content-length", "2")], data("abc")), &[], &[]),
        plays("a length that is too large", sends(&[("content-length", "4")], data("abc")), &[], &[]),
        plays("a length without a body", headers(WHOLE, 1, &post(&[("content-length", "3")])), &[], &[]),
        Case::new("a body behind a length of 0 goes nowhere", move |stage: &Stage| {
            stage.begin(None);
            let mut client = open(stage);
            client.send(sends(&[("content-length", "0")], data("GET /smuggled HTTP/1.1\r\n\r\n")));
            let verdict = verdict(&mut client);
            stage.sent()?.iter().try_for_each(|sent| Body("").hold_for(sent))?;
            matches!(verdict, Verdict::Reset(_)).then_some(()).ok_or_else(|| format!("{verdict:?}"))
        }),
        plays(
            "a pseudo-header among trailers names nothing",
            sends(&[], [frame(DATA, 0, 1, b"abc"), headers(WHOLE, 1, &[(":path", "/smuggled")])].concat()),
            &[Target("/case"), Body("abc")],
            &[200, 0],
        ),
        plays(
            "trailers that do not end their stream",
            sends(&[], [frame(DATA, 0, 1, b"abc"), headers(END_HEADERS, 1, &[("x", "y")])].concat()),
            &[],
            &[],
        ),
        Case::new("a body that is reset is never whole for the app", |stage: &Stage| {
            stage.begin(None);
            let mut client = open(stage);
            client.send(headers(END_HEADERS, 1, &[(":method", "POST"), GET[1], GET[2], GET[3]]));
            client.send(frame(DATA, 0, 1, b"abc"));
            stage.eventually("the body", |wires| wires.iter().any(|wire| wire.bytes.windows(3).any(|body| body == b"abc")))?;
            client.send(frame(super::frames::RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))?;
            stage.sent()?.is_empty().then_some(()).ok_or_else(|| "it was".into())
        }),
    ]
}

/// A request whose headers need a frame each.
fn in_pieces(value: &str, pieces: u8) -> Vec<u8> {
    let piece = |flags| frame(CONTINUATION, flags, 1, &block(&[("x", value)]));
    [headers(END_STREAM, 1, &GET), piece(0).repeat(usize::from(pieces) - 1), piece(END_HEADERS)].concat()
}

/// A plain request, but for one field.
fn with<'a>(name: &str, value: &'a str) -> Vec<Field<'a>> {
    GET.into_iter().map(|field| if field.0 == name { (field.0, value) } else { field }).collect()
}

/// A plain request and these fields.
fn more<'a>(fields: &[Field<'a>]) -> Vec<Field<'a>> {
    [&GET[..], fields].concat()
}

fn refused(name: &str, fields: &[Field<'_>]) -> Case {
    plays(name, headers(WHOLE, 1, fields), &[], &[])
}

fn passes(name: &str, fields: &[Field<'_>], clues: &[Clue]) -> Case {
    plays(name, headers(WHOLE, 1, fields), clues, &[200])
}

/// Refused, or forwarded so.
fn told(name: &str, fields: &[Field<'_>], clues: &[Clue]) -> Case {
    plays(name, headers(WHOLE, 1, fields), clues, &[200, 0])
}

fn harmless(name: &str, fields: &[Field<'_>]) -> Case {
    told(name, fields, &[])
}

/// Sends the frames of stream 1. The `wanted` statuses are of requests that the app got; 0, and none at all, stand for a refusal.
fn plays(name: &str, frames: Vec<u8>, clues: &[Clue], wanted: &[u16]) -> Case {
    let (clues, wanted) = (clues.to_vec(), wanted.to_vec());
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let mut client: Client = open(stage);
        client.send(&frames);
        let verdict = verdict(&mut client);
        match (verdict, &stage.sent()?[..]) {
            (Verdict::Status(status), [sent]) if wanted.contains(&status) => clues.iter().try_for_each(|clue| clue.hold_for(sent)),
            (Verdict::Status(400..=599) | Verdict::Reset(_) | Verdict::GoneAway(1..) | Verdict::Closed, [])
                if wanted.is_empty() || wanted.contains(&0) =>
            {
                Ok(())
            }
            (verdict, sent) => Err(format!(
                "{verdict:?}, and the origin got {:?}",
                sent.iter().map(|sent| (&sent.method, &sent.target)).collect::<Vec<_>>()
            )),
        }
    })
}
