//! Calls that do not come to a good end: who breaks off is understood on the other side, and answers that are none reach nobody.

use std::time::Duration;

use super::calls::{CALL, CANCEL, PLAIN, app, call, over_http1, requests_of, rpc, with};
use super::case::{Case, statuses};
use super::client::Client;
use super::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PUSH_PROMISE, RST_STREAM, Reply, WHOLE, block, frame, headers, open, reply,
};
use super::origin::After;
use super::rpc::{Heard, Wire, answer, head};

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

pub fn cases() -> Vec<Case> {
    [cuts(), goodbyes(), broken(), strangers()].into_iter().flatten().collect()
}

/// Who ends a stream in the middle is understood on the other side.
fn cuts() -> Vec<Case> {
    let resets = |code: u32| {
        app(move |wire, request| {
            wire.body_of(request);
            wire.send(frame(RST_STREAM, 0, request.stream, &code.to_be_bytes()));
            After::Keep
        })
    };
    let breaks_off = || {
        app(|wire, request| {
            wire.send([head(END_HEADERS, request.stream), frame(DATA, 0, request.stream, b"some")].concat());
            wire.body_of(request);
            wire.send(frame(RST_STREAM, 0, request.stream, &INTERNAL_ERROR.to_be_bytes()));
            After::Keep
        })
    };
    let is_told = |name: &str, leave: fn(Client)| {
        rpc(name, Some(app(|_, _| After::Keep)), move |stage| {
            let mut client = open(stage);
            client.send(headers(END_HEADERS, 1, &CALL));
            stage.rpc.eventually("the call", |heard| heard.iter().any(|heard| heard.kind == HEADERS))?;
            leave(client);
            stage.rpc.eventually("the reset", |heard| heard.iter().any(|heard| heard.kind == RST_STREAM))
        })
    };
    vec![
        rpc("a reset before the answer is a 502", Some(resets(INTERNAL_ERROR)), |stage| has_status(&call(stage, &CALL, b""), 502)),
        rpc("so it is for HTTP/1.1", Some(resets(INTERNAL_ERROR)), |stage| {
            let got = statuses(&over_http1(stage, PLAIN).answers());
            (got == [502]).then_some(()).ok_or_else(|| format!("{got:?}"))
        }),
        rpc("a call that was refused for good is a 502", Some(resets(REFUSED_STREAM)), |stage| has_status(&call(stage, &CALL, b""), 502)),
        rpc("an app that resets calls is not given a connection for each", Some(resets(INTERNAL_ERROR)), |stage| {
            let before = stage.rpc.open();
            for _ in 0..40 {
                has_status(&call(stage, &with(":method", "GET"), b""), 502)?;
            }
            let more = stage.rpc.open().saturating_sub(before);
            (more < 10).then_some(()).ok_or_else(|| format!("{more} more connections"))
        }),
        rpc("a reset in mid-answer is a reset", Some(breaks_off()), |stage| {
            let reply = call(stage, &CALL, b"");
            let is_so = reply.status() == Some(200) && !reply.is_whole && reply.reset.is_some();
            is_so.then_some(()).ok_or_else(|| format!("{reply:?}"))
        }),
        rpc("for HTTP/1.1 it is a cut", Some(breaks_off()), |stage| {
            let answers = over_http1(stage, PLAIN).answers();
            let is_so = answers.len() == 1 && answers[0].status == 200 && !answers[0].is_whole;
            is_so.then_some(()).ok_or_else(|| format!("{answers:?}"))
        }),
        is_told("a client that resets its call: the app is told", |mut client| {
            client.send(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
            // Others of its connection go on.
            client.send(headers(WHOLE, 3, &with(":path", "/after")));
            assert!(reply(&mut client, 3).is_whole, "the other call");
        }),
        is_told("a client that leaves in its call: the app is told", drop),
        rpc("a client of HTTP/1.1 that leaves: the app is told", Some(app(|_, _| After::Keep)), |stage| {
            let mut client = stage.connect();
            client.send("POST /case HTTP/1.1\r\nHost: rpc.test\r\nContent-Length: 10\r\n\r\nabc");
            stage.rpc.eventually("the call", |heard| heard.iter().any(|heard| heard.kind == DATA))?;
            drop(client);
            stage.rpc.eventually("the reset", |heard| heard.iter().any(|heard| heard.kind == RST_STREAM))?;
            let is_whole = stage.rpc.heard().iter().any(Heard::ends_stream);
            (!is_whole).then_some(()).ok_or_else(|| "its body was whole".into())
        }),
    ]
}

/// An app that says GOAWAY names the last stream that it looked at (RFC 9113 §6.8).
fn goodbyes() -> Vec<Case> {
    let leaves_once = || {
        app(|wire, request| {
            if wire.requests() > 1 {
                wire.send(answer(request.stream, b"second", &[("grpc-status", "0")]));
                return After::Keep;
            }
            wire.body_of(request);
            wire.send(goaway(0));
            After::Close
        })
    };
    vec![
        rpc("what an app that goes away did not look at is asked again elsewhere", Some(leaves_once()), |stage| {
            let reply = call(stage, &with(":method", "GET"), b"");
            let connections: Vec<_> = requests_of(stage).iter().map(|request| request.connection).collect();
            let is_so = reply.text() == "second" && connections.len() == 2 && connections[0] != connections[1];
            is_so.then_some(()).ok_or_else(|| format!("{reply:?} by {connections:?}"))
        }),
        rpc("a call with a body is not repeated", Some(leaves_once()), |stage| {
            let reply = call(stage, &CALL, b"abc");
            let times = requests_of(stage).len();
            (reply.status() == Some(502) && times == 1).then_some(()).ok_or_else(|| format!("{reply:?}, sent {times} times"))
        }),
        rpc(
            "an answer that is under way ends behind a goodbye",
            Some(app(|wire, request| {
                wire.body_of(request);
                wire.send([head(END_HEADERS, request.stream), goaway(request.stream), frame(DATA, 0, request.stream, b"abc")].concat());
                wire.send(headers(WHOLE, request.stream, &[("grpc-status", "0")]));
                After::Close
            })),
            |stage| {
                let reply = call(stage, &CALL, b"");
                (reply.text() == "abc" && reply.is_whole).then_some(()).ok_or_else(|| format!("{reply:?}"))
            },
        ),
        rpc(
            "after a goodbye the next call has a new connection",
            Some(app(|wire, request| {
                wire.body_of(request);
                wire.send(answer(request.stream, b"abc", &[("grpc-status", "0")]));
                wire.send(goaway(request.stream));
                After::Close
            })),
            |stage| {
                for _ in 0..3 {
                    let reply = call(stage, &CALL, b"abc");
                    (reply.text() == "abc" && reply.is_whole).then_some(()).ok_or_else(|| format!("{reply:?}"))?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                Ok(())
            },
        ),
    ]
}

/// Answers that are none.
fn broken() -> Vec<Case> {
    let says = |name: &str, answer: fn(u32) -> Vec<u8>| {
        let says = move |wire: &mut Wire, request: &Heard| {
            wire.body_of(request);
            wire.send(answer(request.stream));
            After::Close
        };
        rpc(&format!("{name} is a 502 or a cut"), Some(app(says)), |stage| {
            let client = over_http1(stage, PLAIN);
            let (answers, text) = (client.answers(), String::from_utf8_lossy(&client.bytes).to_ascii_lowercase());
            let is_so = matches!(&answers[..], [answer] if answer.status == 502 || !answer.is_whole) && !text.contains("x-evil");
            is_so.then_some(()).ok_or(text)?;
            let reply = call(stage, &CALL, b"");
            let is_so = reply.status() == Some(502) || (!reply.is_whole && reply.reset.is_some());
            is_so.then_some(()).ok_or_else(|| format!("{reply:?}"))
        })
    };
    vec![
        says("garbage", |_| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()),
        says("nothing at all", |_| Vec::new()),
        says("data before headers", |stream| frame(DATA, END_STREAM, stream, b"abc")),
        says("a head without status", |stream| headers(WHOLE, stream, &[("x", "y")])),
        says("a status that is none", |stream| headers(WHOLE, stream, &[(":status", "2oo")])),
        says("a switch of protocols", |stream| headers(WHOLE, stream, &[(":status", "101"), ("upgrade", "websocket")])),
        says("a name in capitals", |stream| headers(WHOLE, stream, &[(":status", "200"), ("X-Evil", "y")])),
        says("a line break in a value", |stream| headers(WHOLE, stream, &[(":status", "200"), ("x", "y\r\nX-Evil: z")])),
        says("a line break in a name", |stream| headers(WHOLE, stream, &[(":status", "200"), ("x\r\nX-Evil", "z")])),
        says("a header of one hop", |stream| headers(WHOLE, stream, &[(":status", "200"), ("connection", "x-evil")])),
        says("a coding of HTTP/1.1", |stream| headers(WHOLE, stream, &[(":status", "200"), ("transfer-encoding", "chunked")])),
        says("a block that is malformed", |stream| frame(HEADERS, WHOLE, stream, &[0xff, 0x80, 0x01])),
        says("a promise that nobody wants", |stream| {
            frame(PUSH_PROMISE, END_HEADERS, stream, &[&2_u32.to_be_bytes()[..], &block(&CALL)].concat())
        }),
        says("a body that is shorter than its length", |stream| {
            [headers(END_HEADERS, stream, &[(":status", "200"), ("content-length", "9")]), frame(DATA, END_STREAM, stream, b"abc")].concat()
        }),
        says("a body that is longer than its length", |stream| {
            [headers(END_HEADERS, stream, &[(":status", "200"), ("content-length", "2")]), frame(DATA, END_STREAM, stream, b"abc")].concat()
        }),
        says("a body without end", |stream| [head(END_HEADERS, stream), frame(DATA, 0, stream, b"abc")].concat()),
        says("a line break in a trailer", |stream| answer(stream, b"abc", &[("x", "y\r\nX-Evil: z")])),
    ]
}

/// Behind `protocol=h2c` stands something else.
fn strangers() -> Vec<Case> {
    let asks = |name: &str, host: &'static str, status: u16| {
        rpc(name, Some(app(|_, _| After::Keep)), move |stage| {
            let got = statuses(&over_http1(stage, &PLAIN.replace("rpc.test", host)).answers());
            (got == [status]).then_some(()).ok_or_else(|| format!("{got:?}"))?;
            has_status(&call(stage, &with(":authority", host), b""), status)
        })
    };
    vec![
        asks("an app that speaks HTTP/1 alone is a 502", "old.test", 502),
        asks("an app that says nothing is a 504, in the time that its line gives it", "hasty.test", 504),
    ]
}

fn goaway(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), 0_u32.to_be_bytes()].concat())
}

fn has_status(reply: &Reply, status: u16) -> Result<(), String> {
    (reply.status() == Some(status)).then_some(()).ok_or_else(|| format!("{reply:?} and not {status}"))
}
