//! Apps that speak HTTP/2 alone (`protocol=h2c`): what they get, streams both ways, trailers, and the limits that they set.

use std::time::Duration;

use super::calls::{CALL, CANCEL, app, call, over_http1, requests_of, rpc, with};
use super::case::{Case, statuses};
use super::frames::{DATA, END_HEADERS, END_STREAM, Field, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, frame, headers, open, reply};
use super::hpack::value;
use super::origin::After;
use super::rpc::{answer, head};
use super::stage::Stage;

pub fn cases() -> Vec<Case> {
    [requests(), trailers(), streams(), limits()].into_iter().flatten().collect()
}

/// What the app gets.
fn requests() -> Vec<Case> {
    let told = |name: &str, bytes: &'static str, wanted: &'static [Field<'static>], missing: &'static [&'static str]| {
        rpc(name, None, move |stage| {
            over_http1(stage, bytes);
            tells(stage, wanted, missing)
        })
    };
    vec![
        rpc("a call arrives as HTTP/2, with its authority", None, |stage| {
            call(stage, &CALL, b"abc");
            let body =
                stage.rpc.heard().iter().filter(|heard| heard.kind == DATA).flat_map(|heard| heard.payload.clone()).collect::<Vec<_>>();
            (body == b"abc").then_some(()).ok_or_else(|| format!("{body:?}"))?;
            tells(stage, &[CALL[0], CALL[1], CALL[2], CALL[3], CALL[4], ("x-forwarded-for", "127.0.0.1")], &["host", "connection"])
        }),
        rpc("`te: trailers` goes on", None, |stage| {
            call(stage, &CALL, b"");
            tells(stage, &[("te", "trailers")], &[])
        }),
        rpc("an authority is normalised", None, |stage| {
            call(stage, &with(":authority", "RPC.Test.:8080"), b"");
            tells(stage, &[(":authority", "rpc.test:8080")], &[])
        }),
        rpc("what a client says about forwarding is replaced", None, |stage| {
            call(stage, &[&CALL[..], &[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https")]].concat(), b"");
            tells(stage, &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http")], &[])
        }),
        told(
            "a request of HTTP/1.1 arrives as one of HTTP/2",
            "GET /case?x=y HTTP/1.1\r\nHost: RPC.test\r\nConnection: close\r\n\r\n",
            &[(":method", "GET"), (":scheme", "http"), (":authority", "rpc.test"), (":path", "/case?x=y")],
            &["host", "connection", "te"],
        ),
        told(
            "`TE: trailers` of HTTP/1.1 goes on",
            "GET /case HTTP/1.1\r\nHost: rpc.test\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n",
            &[("te", "trailers")],
            &["connection"],
        ),
        told(
            "what holds for one hop of HTTP/1.1 goes no further",
            "GET /case HTTP/1.1\r\nHost: rpc.test\r\nConnection: close, x-hop, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
             Proxy-Connection: close\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            &[(":path", "/case")],
            &["connection", "keep-alive", "x-hop", "proxy-connection", "te", "upgrade", "http2-settings"],
        ),
        told(
            "a websocket is not asked for",
            "GET /case HTTP/1.1\r\nHost: rpc.test\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n",
            &[(":method", "GET")],
            &["upgrade", "connection", ":protocol"],
        ),
        told(
            "chunks become data",
            "POST /case HTTP/1.1\r\nHost: rpc.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            &[(":method", "POST")],
            &["transfer-encoding", "content-length"],
        ),
        told(
            "a length goes on",
            "POST /case HTTP/1.1\r\nHost: rpc.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
            &[("content-length", "3")],
            &["transfer-encoding"],
        ),
        rpc("a refused request never becomes a call", None, |stage| {
            let bytes = "POST /case HTTP/1.1\r\nHost: rpc.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc";
            let client = over_http1(stage, bytes);
            let is_so = statuses(&client.answers()) == [400] && requests_of(stage).is_empty();
            is_so.then_some(()).ok_or_else(|| format!("{:?}, {:?}", client.answers(), stage.rpc.heard()))
        }),
    ]
}

/// Asks for trailers.
const ASKS: &str = "TE: trailers\r\nConnection: TE, close";

fn trailers() -> Vec<Case> {
    let says = |trailers: &'static [Field<'static>]| {
        app(move |wire, request| {
            wire.body_of(request);
            wire.send(answer(request.stream, b"abc", trailers));
            After::Keep
        })
    };
    let sees = |name: &str, trailers: &'static [Field<'static>], te: &'static str, end: &'static str| {
        rpc(name, Some(says(trailers)), move |stage| {
            let client = over_http1(stage, &format!("GET /case HTTP/1.1\r\nHost: rpc.test\r\n{te}\r\n\r\n"));
            let text = String::from_utf8_lossy(&client.bytes).into_owned();
            text.ends_with(&format!("3\r\nabc\r\n0\r\n{end}\r\n")).then_some(()).ok_or(text)
        })
    };
    vec![
        rpc(
            "the status behind an answer reaches a client of HTTP/2",
            Some(says(&[("grpc-status", "5"), ("grpc-message", "none")])),
            |stage| {
                let reply = call(stage, &CALL, b"");
                let is_so = reply.text() == "abc" && reply.is_whole && value(&reply.trailers, "grpc-status") == Some("5");
                (is_so && value(&reply.trailers, "grpc-message") == Some("none")).then_some(()).ok_or_else(|| format!("{reply:?}"))
            },
        ),
        sees("it reaches a client of HTTP/1.1 that asked", &[("grpc-status", "5")], ASKS, "grpc-status: 5\r\n"),
        sees("it reaches no client of HTTP/1.1 that did not", &[("grpc-status", "5")], "Connection: close", ""),
        sees(
            "of trailers, what frames or routes ends here",
            &[("content-length", "9"), ("host", "evil.test"), ("set-cookie", "a=b"), ("grpc-status", "0")],
            ASKS,
            "grpc-status: 0\r\n",
        ),
        rpc(
            "an answer that is its status alone is whole",
            Some(app(|wire, request| {
                wire.body_of(request);
                wire.send(headers(
                    WHOLE,
                    request.stream,
                    &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "12")],
                ));
                After::Keep
            })),
            |stage| {
                let reply = call(stage, &CALL, b"");
                let is_so = reply.is_whole && reply.body.is_empty() && value(&reply.fields, "grpc-status") == Some("12");
                is_so.then_some(()).ok_or_else(|| format!("{reply:?}"))
            },
        ),
    ]
}

/// Both sides speak at once.
fn streams() -> Vec<Case> {
    vec![
        rpc(
            "messages go both ways before the client's end",
            Some(app(|wire, request| {
                wire.send(head(END_HEADERS, request.stream));
                while let Some(heard) = wire.next_of(DATA) {
                    if heard.ends_stream() {
                        break;
                    }
                    wire.send(frame(DATA, 0, request.stream, &[b"re:", &heard.payload[..]].concat()));
                }
                wire.send(headers(WHOLE, request.stream, &[("grpc-status", "0")]));
                After::Keep
            })),
            |stage| {
                let mut client = open(stage);
                client.send(headers(END_HEADERS, 1, &CALL));
                for word in ["one", "two", "three"] {
                    client.send(frame(DATA, 0, 1, word.as_bytes()));
                    client.read_until(&format!("re:{word}")).then_some(()).ok_or_else(|| format!("no answer to {word}"))?;
                }
                client.send(frame(DATA, END_STREAM, 1, b""));
                let reply = reply(&mut client, 1);
                let is_so = reply.is_whole && value(&reply.trailers, "grpc-status") == Some("0");
                is_so.then_some(()).ok_or_else(|| format!("{reply:?}"))
            },
        ),
        rpc(
            "the server speaks first",
            Some(app(|wire, request| {
                wire.send([head(END_HEADERS, request.stream), frame(DATA, 0, request.stream, b"hello")].concat());
                wire.body_of(request);
                wire.send(headers(WHOLE, request.stream, &[("grpc-status", "0")]));
                After::Keep
            })),
            |stage| {
                let mut client = open(stage);
                client.send(headers(END_HEADERS, 1, &CALL));
                client.read_until("hello").then_some(()).ok_or("nothing came before the client's end")?;
                client.send(frame(DATA, END_STREAM, 1, b"abc"));
                reply(&mut client, 1).is_whole.then_some(()).ok_or_else(|| "no end".into())
            },
        ),
        rpc(
            "an answer that is over before its upload is whole",
            Some(app(|wire, request| {
                wire.send(answer(request.stream, b"enough", &[("grpc-status", "0")]));
                wire.send(frame(RST_STREAM, 0, request.stream, &0_u32.to_be_bytes()));
                After::Keep
            })),
            |stage| {
                let mut client = open(stage);
                client.send([headers(END_HEADERS, 1, &CALL), frame(DATA, 0, 1, b"abc")].concat());
                let reply = reply(&mut client, 1);
                (reply.text() == "enough" && reply.is_whole).then_some(()).ok_or_else(|| format!("{reply:?}"))
            },
        ),
    ]
}

/// What the app allows is kept to.
fn limits() -> Vec<Case> {
    let setting = |id: u8, value: u32| frame(SETTINGS, 0, 0, &[&[0, id][..], &value.to_be_bytes()].concat());
    vec![
        rpc(
            "an upload waits for the app's window and arrives whole",
            Some(app(move |wire, request| {
                let mut taken = 0;
                while let Some(heard) = wire.next_of(DATA) {
                    taken += heard.payload.len();
                    if heard.ends_stream() {
                        break;
                    }
                    let more = u32::try_from(heard.payload.len().max(1)).unwrap().to_be_bytes();
                    wire.send([frame(WINDOW_UPDATE, 0, 0, &more), frame(WINDOW_UPDATE, 0, request.stream, &more)].concat());
                }
                wire.send(answer(request.stream, taken.to_string().as_bytes(), &[]));
                After::Keep
            })),
            |stage| {
                let text = "a".repeat(300_000);
                let client = over_http1(
                    stage,
                    &format!("POST /case HTTP/1.1\r\nHost: rpc.test\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n{text}"),
                );
                let texts: Vec<_> = client.answers().iter().map(super::client::Answer::text).collect();
                (texts == ["300000"]).then_some(()).ok_or_else(|| format!("{texts:?}"))
            },
        ),
        rpc(
            "a stream that stays open keeps no other call waiting, at an app of one stream a connection",
            Some(app(move |wire, request| {
                if request.value(":path") == Some("/open") {
                    wire.send(setting(3, 1));
                    wire.send([head(END_HEADERS, request.stream), frame(DATA, 0, request.stream, b"open")].concat());
                    return After::Keep;
                }
                wire.body_of(request);
                wire.send(answer(request.stream, b"abc", &[]));
                After::Keep
            })),
            |stage| {
                let mut client = open(stage);
                client.send(headers(END_HEADERS, 1, &with(":path", "/open")));
                client.read_until("open").then_some(()).ok_or("the first call is not answered")?;
                std::thread::sleep(Duration::from_millis(50));
                client.send(headers(WHOLE, 3, &CALL));
                let reply = reply(&mut client, 3);
                client.send(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
                (reply.text() == "abc").then_some(()).ok_or_else(|| format!("{reply:?}, the app got {:?}", stage.rpc.heard()))
            },
        ),
    ]
}

/// The app got one request, with these fields, once each, and without those.
fn tells(stage: &Stage, wanted: &[Field<'_>], missing: &[&str]) -> Result<(), String> {
    let requests = requests_of(stage);
    let [request] = &requests[..] else { return Err(format!("the app got {requests:?}")) };
    let times = |name: &str| request.fields.iter().filter(|field| field.0 == name).count();
    let has = wanted.iter().all(|(name, value)| request.value(name) == Some(value) && times(name) == 1);
    let is_clean = request.fields.iter().all(|(name, value)| *name == name.to_ascii_lowercase() && !value.contains(['\r', '\n', '\0']));
    (has && is_clean && missing.iter().all(|name| times(name) == 0)).then_some(()).ok_or_else(|| format!("{:?}", request.fields))
}
