//! `body-limit`: a request may bring so many bytes and not one more, however it says so. `small.test` takes 1 KiB, `empty.test` nothing.

use std::io::Write;
use std::time::Duration;

use super::case::{Case, statuses};
use super::client::End;
use super::frames::{DATA, END_HEADERS, END_STREAM, Field, GET, RST_STREAM, Verdict, WHOLE, frame, headers, open, verdict};
use super::judge::find;
use super::origin::{After, At, does};
use super::stage::Stage;
use super::tls_client::offering;

const MOST: usize = 1024;

pub fn cases() -> Vec<Case> {
    [within(), beyond(), late(), over_http2(), to_http2()].into_iter().flatten().collect()
}

fn within() -> Vec<Case> {
    let text = "a".repeat(MOST);
    vec![
        passes("a length that is the limit", post("small.test", &format!("Content-Length: {MOST}"), &text)),
        passes("a length below it", post("small.test", "Content-Length: 1", "a")),
        passes("a chunk that is the limit", post("small.test", "Transfer-Encoding: chunked", &chunks(&[MOST]))),
        passes("chunks that come to the limit", post("small.test", "Transfer-Encoding: chunked", &chunks(&[1000, 23, 1]))),
        passes("chunks of a byte up to the limit", post("small.test", "Transfer-Encoding: chunked", &chunks(&[1; MOST]))),
        passes("what chunks say about themselves does not count", {
            post(
                "small.test",
                "Transfer-Encoding: chunked",
                &format!("{MOST:x};{}\r\n{text}\r\n0\r\nX: {}\r\n\r\n", "e".repeat(2000), "y".repeat(2000)),
            )
        }),
        passes("a GET without a body, where no byte may come", request("GET", "empty.test", "", "")),
        passes("a length of 0, where no byte may come", post("empty.test", "Content-Length: 0", "")),
        passes("a last chunk alone, where no byte may come", post("empty.test", "Transfer-Encoding: chunked", "0\r\n\r\n")),
        passes("a body of any size, where nothing is said", post("a.test", "Content-Length: 100000", &"a".repeat(100_000))),
    ]
}

fn beyond() -> Vec<Case> {
    let more = "a".repeat(MOST + 1);
    let smuggles = "GET /smuggled HTTP/1.1\r\nHost: small.test\r\n\r\n".repeat(40);
    vec![
        refused("a length of one byte more", post("small.test", &format!("Content-Length: {}", MOST + 1), &more)),
        refused("a length that is said and does not come", post("small.test", "Content-Length: 1000000000000", "")),
        refused("the largest length there is", post("small.test", "Content-Length: 18446744073709551613", "abc")),
        refused("a chunk of one byte more", post("small.test", "Transfer-Encoding: chunked", &chunks(&[MOST + 1]))),
        refused("chunks that come to one byte more", post("small.test", "Transfer-Encoding: chunked", &chunks(&[MOST, 1]))),
        refused("chunks without end", post("small.test", "Transfer-Encoding: chunked", &chunks(&[100; 1000]).replace("0\r\n\r\n", ""))),
        refused("a GET that brings too much", request("GET", "small.test", &format!("Content-Length: {}", MOST + 1), &more)),
        refused("one byte, where no byte may come", post("empty.test", "Content-Length: 1", "a")),
        refused("a chunk of one byte, where no byte may come", post("empty.test", "Transfer-Encoding: chunked", &chunks(&[1]))),
        refused("a body of requests", post("small.test", &format!("Content-Length: {}", smuggles.len()), &smuggles)),
        refused("chunks of requests", {
            post("small.test", "Transfer-Encoding: chunked", &format!("{:x}\r\n{smuggles}\r\n0\r\n\r\n", smuggles.len()))
        }),
        Case::new("who expects a 100 gets the refusal and no 100", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("small.test", "Expect: 100-continue\r\nContent-Length: 2000", ""));
            client.read_until("HTTP/1.1 413 ");
            let got = statuses(&client.answers());
            (got == [413] && stage.sent()?.is_empty()).then_some(()).ok_or_else(|| format!("{got:?}"))
        }),
        Case::new("a length that is too large is refused before the app is asked", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("small.test", "Content-Length: 2000", ""));
            client.read_until("HTTP/1.1 413 ");
            let bytes: usize = stage.origin.wires().iter().map(|wire| wire.bytes.len()).sum();
            (bytes == 0).then_some(()).ok_or_else(|| format!("the app got {bytes} bytes"))
        }),
        Case::new("the refusal says what may come", |stage| {
            stage.begin(None);
            let outcome = stage.talk(post("small.test", "Content-Length: 2000", "").as_bytes())?;
            let text = outcome.answers.first().map(super::client::Answer::text).unwrap_or_default();
            text.contains("1 KiB").then_some(()).ok_or(text)
        }),
        Case::new("over TLS it is the same", |stage| {
            stage.begin(None);
            let outcome = stage.talk_on(offering(stage, "a.test", &[])?, post("small.test", "Content-Length: 2000", "").as_bytes())?;
            (statuses(&outcome.answers) == [413]).then_some(()).ok_or_else(|| format!("{:?}", outcome.answers))
        }),
    ]
}

/// The limit is passed when the app has been asked.
fn late() -> Vec<Case> {
    vec![
        Case::new("an app that has not answered loses the request, its client is told", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("small.test", "Transfer-Encoding: chunked", "3\r\nabc\r\n"));
            stage.eventually("the body", |wires| wires.iter().any(|wire| find(&wire.bytes, b"abc").is_some()))?;
            client.send(chunks(&[MOST]));
            client.read_until("HTTP/1.1 413 ");
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))?;
            let got = statuses(&client.answers());
            (got == [413] && stage.sent()?.is_empty()).then_some(()).ok_or_else(|| format!("{got:?}"))
        }),
        Case::new("an answer that has begun is cut", |stage| {
            stage.begin(Some(does(At::Head, |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n");
                After::Listen
            })));
            let mut client = stage.connect();
            client.send(post("small.test", "Transfer-Encoding: chunked", "3\r\nabc\r\n"));
            client.read_until("some").then_some(()).ok_or("no answer began")?;
            client.send(chunks(&[MOST]));
            let end = client.read_to_end();
            let is_cut = matches!(&client.answers()[..], [answer] if answer.status == 200 && !answer.is_whole);
            (is_cut && end != End::Open).then_some(()).ok_or_else(|| format!("{end:?}, {:?}", client.answers()))
        }),
        Case::new("a client that drips over the limit is told at that byte", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("empty.test", "Transfer-Encoding: chunked", ""));
            client.drip("5\r\nabc", Duration::from_millis(1));
            client.read_until("HTTP/1.1 413 ").then_some(()).ok_or_else(|| format!("{:?}", client.answers()))
        }),
    ]
}

fn over_http2() -> Vec<Case> {
    let asks = |name: &str, lines: &'static [Field<'static>], pieces: &'static [usize], status: u16| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let mut client = open(stage);
            let fields = [&[(":method", "POST"), GET[1], (":authority", "small.test"), GET[3]], lines].concat();
            client.send(headers(END_HEADERS, 1, &fields));
            for (number, piece) in pieces.iter().enumerate() {
                client.send(frame(DATA, u8::from(number + 1 == pieces.len()) * END_STREAM, 1, &vec![b'a'; *piece]));
            }
            let (got, sent) = (verdict(&mut client), stage.sent()?);
            let is_so = got == Verdict::Status(status) && (status == 200) == (sent.len() == 1);
            is_so.then_some(()).ok_or_else(|| format!("{got:?}, the origin got {} requests", sent.len()))?;
            // The connection goes on for others.
            client.send(headers(WHOLE, 3, &GET));
            let next = super::frames::reply(&mut client, 3);
            (next.text() == "/case").then_some(()).ok_or_else(|| format!("the next request: {next:?}"))
        })
    };
    vec![
        asks("HTTP/2: a body that is the limit", &[], &[1000, 24], 200),
        asks("HTTP/2: a length that is the limit", &[("content-length", "1024")], &[MOST], 200),
        asks("HTTP/2: a length of one byte more", &[("content-length", "1025")], &[MOST + 1], 413),
        asks("HTTP/2: a length that is said and does not come", &[("content-length", "1000000")], &[], 413),
        asks("HTTP/2: a body of one byte more", &[], &[MOST + 1], 413),
        asks("HTTP/2: a body that passes the limit in its second frame", &[], &[MOST, 1], 413),
        asks("HTTP/2: a body of 60 KiB", &[], &[15 << 10; 4], 413),
    ]
}

/// Before an app that speaks HTTP/2.
fn to_http2() -> Vec<Case> {
    let begins = |stage: &Stage| {
        stage.begin(None);
        stage.rpc.begin(None);
    };
    vec![
        Case::new("an app of HTTP/2 gets a body that is the limit", move |stage| {
            begins(stage);
            let mut client = stage.connect();
            client.send(post("small-rpc.test", "Connection: close\r\nTransfer-Encoding: chunked", &chunks(&[1000, 24])));
            client.read_to_end();
            let got = statuses(&client.answers());
            let bytes: usize = stage.rpc.heard().iter().filter(|heard| heard.kind == DATA).map(|heard| heard.payload.len()).sum();
            (got == [200] && bytes == MOST).then_some(()).ok_or_else(|| format!("{got:?}, {bytes} bytes"))
        }),
        Case::new("beyond it its stream is reset, and its client told", move |stage| {
            begins(stage);
            let mut client = stage.connect();
            client.send(post("small-rpc.test", "Connection: close\r\nTransfer-Encoding: chunked", &chunks(&[1000, 25])));
            client.read_to_end();
            let got = statuses(&client.answers());
            (got == [413]).then_some(()).ok_or_else(|| format!("{got:?}"))?;
            let heard = |kind| move |heard: &[super::rpc::Heard]| heard.iter().any(|heard| heard.kind == kind);
            // Where the app never heard of the request there is nothing to reset.
            if heard(super::frames::HEADERS)(&stage.rpc.heard()) {
                stage.rpc.eventually("the reset", heard(RST_STREAM))?;
            }
            let is_whole = stage.rpc.heard().iter().any(super::rpc::Heard::ends_stream);
            (!is_whole).then_some(()).ok_or_else(|| "its body was whole".into())
        }),
    ]
}

fn request(method: &str, host: &str, lines: &str, body: &str) -> String {
    let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
    format!("{method} /case HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n{body}")
}

fn post(host: &str, lines: &str, body: &str) -> String {
    request("POST", host, lines, body)
}

/// Chunks of these sizes and the last one.
fn chunks(sizes: &[usize]) -> String {
    let chunk = |size: &usize| format!("{size:x}\r\n{}\r\n", "a".repeat(*size));
    sizes.iter().map(chunk).collect::<Vec<_>>().concat() + "0\r\n\r\n"
}

fn passes(name: &str, bytes: String) -> Case {
    super::case::passes(name, bytes, &[])
}

/// The app never gets a whole request. Where the body came in spite of all, the next request may be answered.
fn refused(name: &str, bytes: String) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let outcome = stage.talk(bytes.as_bytes())?;
        let got = statuses(&outcome.answers);
        let is_so = matches!(got[..], [413] | [413, 200]) && outcome.sent.is_empty() && outcome.end != End::Open;
        is_so.then_some(()).ok_or_else(|| format!("{got:?}, the origin got {:?}", outcome.sent))
    })
}
