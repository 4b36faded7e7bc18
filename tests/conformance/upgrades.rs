//! Websockets, and everything that only looks like one: no byte is tunnelled before the app's 101 (research: V20).

use std::io::{Read, Write};

use super::case::Clue::{Line, No};
use super::case::{Case, Clue, get, passes, request, statuses};
use super::client::End;
use super::origin::{After, At, Script, does, says};
use super::stage::Stage;

const OPENING: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

pub fn cases() -> Vec<Case> {
    [tunnels(), not_asked(), refused_switches()].into_iter().flatten().collect()
}

fn tunnels() -> Vec<Case> {
    vec![
        tunnel("a websocket carries bytes both ways", OPENING, ""),
        tunnel("`Connection` may name more", &OPENING.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"), ""),
        tunnel("letters of a websocket have no case", &OPENING.replace("websocket", "WebSocket"), ""),
        tunnel("bytes that came with the opening are the tunnel's", OPENING, "early"),
        Case::new("what is said with the 101 arrives", |stage| {
            stage.begin(Some(says(format!("{SWITCH}hello"), After::Listen)));
            let mut client = stage.connect();
            client.send(get(OPENING));
            client.read_until("hello").then_some(()).ok_or_else(|| "no hello".into())
        }),
        Case::new("a tunnel ends with its client", |stage| {
            stage.begin(Some(echoes(SWITCH)));
            let mut client = stage.connect();
            client.send(get(OPENING));
            client.read_until("\r\n\r\n");
            drop(client);
            stage.eventually("the tunnel's end", |wires| !wires.is_empty() && wires.iter().all(|wire| wire.is_over))
        }),
        Case::new("a tunnel ends with its app", |stage| {
            stage.begin(Some(says(SWITCH, After::Close)));
            let mut client = stage.connect();
            client.send(get(OPENING));
            (client.read_to_end() == End::Closed).then_some(()).ok_or_else(|| "it was left open".into())
        }),
        Case::new("an app may say no, and its answer is an answer", |stage| {
            stage.begin(Some(says("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", After::Keep)));
            let mut client = stage.connect();
            client.send(get(OPENING));
            client.send(get("Connection: close"));
            client.read_to_end();
            let is_so = statuses(&client.answers()) == [403, 403] && stage.sent()?.len() == 2;
            is_so.then_some(()).ok_or_else(|| format!("{:?}", client.answers()))
        }),
        Case::new("a request behind a refused opening is a request, not a tunnel's bytes", |stage| {
            stage.begin(Some(says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", After::Keep)));
            let mut client = stage.connect();
            client.send(get(OPENING) + &request("GET /smuggled HTTP/1.1", "X-Forwarded-For: 6.6.6.6\r\nConnection: close", ""));
            client.read_to_end();
            let sent = stage.sent()?;
            let behind = sent.iter().find(|sent| sent.target == "/smuggled").ok_or("it was not judged at all")?;
            Clue::Line("x-forwarded-for: 127.0.0.1").hold_for(behind)
        }),
    ]
}

/// What is no opening of a websocket is a plain request.
fn not_asked() -> Vec<Case> {
    let plain = [No("upgrade"), No("connection"), No("http2-settings")];
    vec![
        passes(
            "an upgrade to h2c is not passed on",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
            &plain,
        ),
        passes("an upgrade to TLS is not passed on", get("Connection: Upgrade\r\nUpgrade: TLS/1.0"), &plain),
        passes("an upgrade to several protocols is not passed on", get("Connection: Upgrade\r\nUpgrade: websocket, h2c"), &plain),
        passes("two `Upgrade` lines are not passed on", get("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c"), &plain),
        passes("`Upgrade` that `Connection` does not name", get("Upgrade: websocket"), &plain),
        passes("`Connection: Upgrade` alone", get("Connection: Upgrade"), &plain),
        passes("a POST is no websocket", request("POST /case HTTP/1.1", &format!("{OPENING}\r\nContent-Length: 0"), ""), &plain),
        passes("a body is no websocket", request("GET /case HTTP/1.1", &format!("{OPENING}\r\nContent-Length: 3"), "abc"), &plain),
        passes(
            "chunks are no websocket",
            request("GET /case HTTP/1.1", &format!("{OPENING}\r\nTransfer-Encoding: chunked"), "0\r\n\r\n"),
            &plain,
        ),
        passes("HTTP/1.0 is no websocket", request("GET /case HTTP/1.0", OPENING, ""), &plain),
        Case::new("a websocket is asked for in our own words", |stage| {
            stage.begin(Some(says(SWITCH, After::Close)));
            let mut client = stage.connect();
            client.send(get(&OPENING
                .replace("Connection: Upgrade", "Connection: X-Hop, upgrade\r\nX-Hop: 1")
                .replace("websocket", "WEBSOCKET")));
            client.read_to_end();
            let sent = stage.sent()?;
            let sent = sent.first().ok_or("nothing arrived")?;
            [Line("connection: upgrade"), Line("upgrade: websocket"), No("x-hop"), Line("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")]
                .into_iter()
                .try_for_each(|clue| clue.hold_for(sent))
        }),
    ]
}

/// A 101 that nobody asked for, or to something else.
fn refused_switches() -> Vec<Case> {
    let gone_wrong = |name: &str, lines: String, switch: &str| {
        let (switch, lines) = (switch.to_owned(), get(&lines));
        Case::new(name, move |stage| {
            stage.begin(Some(says(format!("{switch}evil"), After::Listen)));
            let mut client = stage.connect();
            client.send(&lines);
            client.read_while(|bytes| !bytes.windows(2).any(|end| end == b".\n"));
            let answers = client.answers();
            let is_so =
                answers.first().is_some_and(|answer| answer.status == 502) && !String::from_utf8_lossy(&client.bytes).contains("evil");
            is_so.then_some(()).ok_or_else(|| format!("{answers:?}"))
        })
    };
    vec![
        gone_wrong("a 101 to a plain request is a 502", String::new(), SWITCH),
        gone_wrong("a 101 to h2c is a 502", "Connection: Upgrade\r\nUpgrade: h2c".into(), &SWITCH.replace("websocket", "h2c")),
        gone_wrong("a 101 to another protocol than asked is a 502", OPENING.into(), &SWITCH.replace("websocket", "h2c")),
        gone_wrong("a 101 to no protocol is a 502", OPENING.into(), "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ]
}

/// Opens one with these lines, says `early` at once and more after the 101, and wants both back.
fn tunnel(name: &str, lines: &str, early: &'static str) -> Case {
    let opening = get(lines) + early;
    Case::new(name, move |stage: &Stage| {
        stage.begin(Some(echoes(SWITCH)));
        let mut client = stage.connect();
        client.send(&opening);
        if !client.read_until("\r\n\r\n") {
            return Err("no 101".into());
        }
        client.send("\0\r\n\r\nmore");
        let is_back = client.read_until(&format!("{early}\0\r\n\r\nmore"));
        is_back.then_some(()).ok_or_else(|| format!("what came back: {:?}", String::from_utf8_lossy(&client.bytes)))
    })
}

/// Switches, and sends back what comes.
fn echoes(switch: &'static str) -> Script {
    does(At::Head, move |turn, stream| {
        let _ = stream.write_all(switch.as_bytes()).and_then(|()| stream.write_all(&turn.rest));
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut piece) {
            let _ = stream.write_all(&piece[..read]);
        }
        After::Close
    })
}
