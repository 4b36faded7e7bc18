//! Streams: what one side has said is with the other side at once, and as it was said. Each word here waits for the one before to arrive.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::case::{Case, get, post, request};
use super::client::{Client, PATIENCE};
use super::frames::{DATA, END_HEADERS, END_STREAM, GET, RST_STREAM, WHOLE, frame, greet, headers, open};
use super::judge::find;
use super::origin::{After, At, Script, does, says};
use super::rpc;
use super::stage::Stage;
use super::tls_client::offering;

const WORDS: [&str; 4] = ["data: one\n\n", "data: two\n\n", ": still here\n\n", "data: four\n\n"];

const LENGTH: usize = WORDS[0].len() + WORDS[1].len() + WORDS[2].len() + WORDS[3].len();

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

pub fn cases() -> Vec<Case> {
    [events(), unchanged(), uploads()].into_iter().flatten().collect()
}

/// How an event stands in an answer.
type Framing = fn(&str) -> String;

fn plain(text: &str) -> String {
    text.to_owned()
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn events() -> Vec<Case> {
    let over_http1 = |stage: &Stage| asked(stage.connect(), get("Accept-Encoding: gzip, br, zstd"));
    let over_http2 = |stage: &Stage| asked(open(stage), headers(WHOLE, 1, &[&GET[..], &[("accept-encoding", "gzip, br")]].concat()));
    let over_tls = |stage: &Stage| asked(offering(stage, "a.test", &["http/1.1"]).unwrap(), get("Accept-Encoding: gzip"));
    let over_both = |stage: &Stage| asked(greet(offering(stage, "a.test", &["h2"]).unwrap()), headers(WHOLE, 1, &GET));
    let rpc_over_http1 = |stage: &Stage| asked(stage.connect(), get("").replace("a.test", "rpc.test"));
    let rpc_over_http2 = |stage: &Stage| {
        let fields = GET.map(|field| if field.0 == ":authority" { (field.0, "rpc.test") } else { field });
        asked(open(stage), headers(WHOLE, 1, &fields))
    };
    vec![
        told("events in chunks arrive one by one", "Transfer-Encoding: chunked\r\n\r\n", chunk, over_http1),
        told("events up to the end arrive one by one", "\r\n", plain, over_http1),
        told("events of a length arrive one by one", "Content-Length: 1000000\r\n\r\n", plain, over_http1),
        told("events arrive one by one at a client of HTTP/1.0", "Transfer-Encoding: chunked\r\n\r\n", chunk, |stage| {
            asked(stage.connect(), request("GET /case HTTP/1.0", "", ""))
        }),
        told("events arrive one by one over HTTP/2", "Transfer-Encoding: chunked\r\n\r\n", chunk, over_http2),
        told("events up to the end arrive one by one over HTTP/2", "\r\n", plain, over_http2),
        told("events arrive one by one over TLS", "Transfer-Encoding: chunked\r\n\r\n", chunk, over_tls),
        told("events arrive one by one over HTTP/2 and TLS", "Transfer-Encoding: chunked\r\n\r\n", chunk, over_both),
        told_by_rpc("events of an app of HTTP/2 arrive one by one", rpc_over_http1),
        told_by_rpc("events of an app of HTTP/2 arrive one by one over HTTP/2", rpc_over_http2),
        Case::new("the head of a stream arrives before its first event", move |stage| {
            stage.begin(Some(says(format!("{EVENTS}Transfer-Encoding: chunked\r\n\r\n"), After::Listen)));
            let mut client = over_http1(stage);
            client.read_until("\r\n\r\n").then_some(()).ok_or_else(|| "no head".into())
        }),
        Case::new("a client of HTTP/2 that has had enough: its app is told", move |stage| {
            stage.begin(Some(says(format!("{EVENTS}\r\ndata: one\n\n"), After::Listen)));
            let mut client = over_http2(stage);
            client.read_until("data: one").then_some(()).ok_or("no event")?;
            client.send(frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))
        }),
    ]
}

/// Nothing is packed, unpacked, joined or announced that the app did not.
fn unchanged() -> Vec<Case> {
    let same = |name: &str, lines: &'static str, body: Vec<u8>, missing: &'static [&'static str], kept: &'static [&'static str]| {
        Case::new(name, move |stage: &Stage| {
            let head = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
            stage.begin(Some(says([head.as_bytes(), &body].concat(), After::Keep)));
            let mut client = asked(stage.connect(), get("Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: close"));
            client.read_to_end();
            let answers = client.answers();
            let [answer] = &answers[..] else { return Err(format!("{answers:?}")) };
            let is_so = answer.body == body
                && missing.iter().all(|name| answer.header(name).is_none())
                && kept.iter().all(|line| answer.lines.iter().any(|known| known == line));
            is_so.then_some(()).ok_or_else(|| format!("{:?} and {} bytes", answer.lines, answer.body.len()))
        })
    };
    let text = || "a line of text that packs well\n".repeat(3000).into_bytes();
    vec![
        same("text is not packed", "Content-Type: text/plain\r\n", text(), &["content-encoding", "vary"], &["content-type: text/plain"]),
        same(
            "what the app packed stays packed",
            "Content-Encoding: gzip\r\nVary: accept-encoding\r\n",
            vec![0x1f, 0x8b, 8, 0, 1, 2, 3],
            &[],
            &["content-encoding: gzip", "vary: accept-encoding"],
        ),
        same(
            "what it says about keeping and packing goes on",
            "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\nETag: \"x\"\r\n",
            text(),
            &["content-encoding", "age"],
            &["cache-control: no-cache, no-transform", "x-accel-buffering: no", "etag: \"x\""],
        ),
        same("bytes of all kinds stay as they are", "", (0..=255).collect::<Vec<u8>>().repeat(300), &["content-encoding"], &[]),
        super::case::passes(
            "what the client takes is the app's to know",
            get("Accept-Encoding: gzip, br"),
            &[super::case::Clue::Line("accept-encoding: gzip, br")],
        ),
    ]
}

/// The other way round: the app has each piece before the next one is sent.
fn uploads() -> Vec<Case> {
    let streams = |name: &str, begin: fn(&Stage) -> Client, framed: fn(&str) -> Vec<u8>, end: Vec<u8>| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let mut client = begin(stage);
            for word in WORDS {
                client.send(framed(word));
                stage.eventually(word, |wires| wires.iter().any(|wire| find(&wire.bytes, word.as_bytes()).is_some()))?;
            }
            client.send(&end);
            client.read_until("/case").then_some(()).ok_or_else(|| "no answer".into())
        })
    };
    vec![
        streams(
            "chunks of an upload arrive one by one",
            |stage| asked(stage.connect(), post("Transfer-Encoding: chunked", "")),
            |word| chunk(word).into_bytes(),
            b"0\r\n\r\n".to_vec(),
        ),
        streams(
            "pieces of an upload of a length arrive one by one",
            |stage| asked(stage.connect(), post(&format!("Content-Length: {LENGTH}"), "")),
            |word| word.as_bytes().to_vec(),
            Vec::new(),
        ),
        streams(
            "frames of an upload arrive one by one",
            |stage| asked(open(stage), headers(END_HEADERS, 1, &[(":method", "POST"), GET[1], GET[2], GET[3]])),
            |word| frame(DATA, 0, 1, word.as_bytes()),
            frame(DATA, END_STREAM, 1, b""),
        ),
        streams(
            "records of an upload arrive one by one",
            |stage| asked(offering(stage, "a.test", &[]).unwrap(), post("Transfer-Encoding: chunked", "")),
            |word| chunk(word).into_bytes(),
            b"0\r\n\r\n".to_vec(),
        ),
    ]
}

/// Sends a request, or what opens one.
fn asked(mut client: Client, bytes: impl AsRef<[u8]>) -> Client {
    client.send(bytes);
    client
}

/// An app that says each word when the client has the one before.
fn told(name: &str, lines: &'static str, framed: Framing, ask: impl Fn(&Stage) -> Client + 'static) -> Case {
    Case::new(name, move |stage: &Stage| {
        let (go, may_go) = channel();
        let may_go = Mutex::new(may_go);
        let script: Script = does(At::Whole, move |_, stream| {
            let _ = write!(stream, "{EVENTS}{lines}");
            for word in WORDS {
                let _ = stream.write_all(framed(word).as_bytes());
                wait(&may_go);
            }
            After::Close
        });
        stage.begin(Some(script));
        hears(&mut ask(stage), &go)
    })
}

/// As [`told`], by an app of HTTP/2.
fn told_by_rpc(name: &str, ask: impl Fn(&Stage) -> Client + 'static) -> Case {
    Case::new(name, move |stage: &Stage| {
        let (go, may_go) = channel();
        let may_go = Mutex::new(may_go);
        stage.rpc.begin(Some(Arc::new(move |wire, request| {
            wire.send(rpc::head(END_HEADERS, request.stream));
            for word in WORDS {
                wire.send(frame(DATA, 0, request.stream, word.as_bytes()));
                wait(&may_go);
            }
            wire.send(frame(DATA, END_STREAM, request.stream, b""));
            After::Keep
        })));
        hears(&mut ask(stage), &go)
    })
}

fn wait(may_go: &Mutex<Receiver<()>>) {
    let _ = may_go.lock().unwrap().recv_timeout(PATIENCE);
}

fn hears(client: &mut Client, go: &Sender<()>) -> Result<(), String> {
    for word in WORDS {
        client.read_until(word).then_some(()).ok_or_else(|| format!("{word:?} did not come before the next one was due"))?;
        let _ = go.send(());
    }
    Ok(())
}
