//! Answers before the answer: `Expect`, 1xx, and answers that come while the request is still on its way.

use std::io::Write;
use std::time::Duration;

use super::case::Clue::{Body, No};
use super::case::Got::{Answers, Line, Status};
use super::case::{Case, answered, asked, get, passes, post, request, statuses};
use super::client::End;
use super::origin::{After, At, does};

pub fn cases() -> Vec<Case> {
    [expectations(), informational(), early()].into_iter().flatten().collect()
}

fn expectations() -> Vec<Case> {
    vec![
        Case::new("`Expect: 100-continue` gets its 100, then its answer", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("Expect: 100-continue\r\nConnection: close\r\nContent-Length: 3", ""));
            if !client.read_until("HTTP/1.1 100 Continue\r\n\r\n") {
                return Err("no 100".into());
            }
            client.send("abc");
            client.read_to_end();
            let sent = stage.sent()?;
            Body("abc").hold_for(sent.first().ok_or("nothing arrived")?)?;
            (statuses(&client.answers()) == [100, 200]).then_some(()).ok_or_else(|| format!("{:?}", client.answers()))
        }),
        passes(
            "a body that does not wait for its 100 arrives",
            post("Expect: 100-continue\r\nContent-Length: 3", "abc"),
            &[Body("abc"), No("expect")],
        ),
        passes("an expectation without a body", get("Expect: 100-continue"), &[No("expect")]),
        Case::new("an unknown expectation is refused or dropped", |stage| {
            stage.begin(None);
            let outcome = stage.talk(get("Expect: 200-maybe").as_bytes())?;
            let first = outcome.answers.first().map(|answer| answer.status);
            matches!(first, Some(200 | 417)).then_some(()).ok_or_else(|| format!("{first:?}"))
        }),
        Case::new("an expectation of HTTP/1.0 gets no 100", |stage| {
            stage.begin(None);
            let outcome = stage.talk(request("POST /case HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 3", "abc").as_bytes())?;
            (statuses(&outcome.answers).first() == Some(&200)).then_some(()).ok_or_else(|| format!("{:?}", outcome.answers))
        }),
        Case::new("an app that refuses the body at its head answers alone", |stage| {
            stage.begin(Some(does(At::Head, |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
                After::Close
            })));
            let mut client = stage.connect();
            client.send(post("Expect: 100-continue\r\nConnection: close\r\nContent-Length: 300000", ""));
            client.read_until("HTTP/1.1 413");
            let last = client.answers().pop().map(|answer| answer.status);
            (last == Some(413)).then_some(()).ok_or_else(|| format!("{last:?}"))
        }),
    ]
}

fn informational() -> Vec<Case> {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    vec![
        answered(
            "early hints go to the client or nowhere",
            format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}"),
            After::Keep,
            &[Status(200), super::case::Got::Body("ok")],
        ),
        answered("so do several 102s", format!("{}{OK}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(3)), After::Keep, &[Status(200)]),
        answered("a 100 that nobody expects is no answer", format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"), After::Keep, &[Status(200)]),
        asked(
            "HTTP/1.0 clients get no 1xx",
            request("GET /case HTTP/1.0", "", ""),
            format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{OK}"),
            After::Keep,
            &[Answers(1), Status(200)],
        ),
        asked(
            "what the app names in a 103's `Connection` ends here",
            get("Connection: close"),
            format!("HTTP/1.1 103 Early Hints\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n{OK}"),
            After::Keep,
            &[Status(200), super::case::Got::No("x-hop")],
        ),
        answered("a 1xx and then nothing is a 502", "HTTP/1.1 103 Early Hints\r\n\r\n", After::Close, &[Status(502)]),
        answered(
            "a hundred thousand 1xx do not fill the memory",
            format!("{}{OK}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100_000)),
            After::Close,
            &[Line("content-length: 2")],
        ),
    ]
}

fn early() -> Vec<Case> {
    let refuses = || {
        does(At::Head, |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
            After::Close
        })
    };
    vec![
        Case::new("an app that answers 413 in mid-upload is heard", move |stage| {
            stage.begin(Some(refuses()));
            let mut client = stage.connect();
            client.send(post("Content-Length: 10000000", &"a".repeat(100_000)));
            client.read_until("no");
            (statuses(&client.answers()) == [413]).then_some(()).ok_or_else(|| format!("{:?}", client.answers()))
        }),
        Case::new("what follows an early answer is never read as a request", move |stage| {
            stage.begin(Some(refuses()));
            let mut client = stage.connect();
            client.send(post("Content-Length: 200000", &"a".repeat(1000)));
            client.read_until("no");
            client.send(get("X: smuggled").repeat(10));
            client.read_to_end();
            let only = client.answers().len() == 1 && stage.sent()?.is_empty();
            only.then_some(()).ok_or_else(|| format!("{:?}", client.answers()))
        }),
        Case::new("an app may answer at the head and read on", |stage| {
            stage.begin(Some(does(At::Head, |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                After::Listen
            })));
            let mut client = stage.connect();
            client.send(post("Content-Length: 100000\r\nConnection: close", ""));
            client.read_until("ok");
            client.send("a".repeat(100_000));
            let answers = client.answers();
            (statuses(&answers) == [200]).then_some(()).ok_or_else(|| format!("{answers:?}"))
        }),
        Case::new("a client that half-closes is answered, or its app is told; it never waits", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(get(""));
            client.half_close();
            let end = client.read_to_end();
            (end != End::Open).then_some(()).ok_or_else(|| "left open".into())
        }),
        Case::new("pipelined requests are answered in their order", |stage| {
            stage.begin(Some(does(At::Whole, |turn, stream| {
                std::thread::sleep(Duration::from_millis(if turn.target == "/0" { 50 } else { 0 }));
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", turn.target);
                After::Keep
            })));
            let mut client = stage.connect();
            client.send(
                (0..5)
                    .map(|n| request(&format!("GET /{n} HTTP/1.1"), if n == 4 { "Connection: close" } else { "" }, ""))
                    .collect::<String>(),
            );
            client.read_to_end();
            let bodies: Vec<_> = client.answers().iter().map(super::client::Answer::text).collect();
            (bodies == ["/0", "/1", "/2", "/3", "/4"]).then_some(()).ok_or_else(|| format!("{bodies:?}"))
        }),
    ]
}
