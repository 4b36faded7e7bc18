//! Peers that owe bytes and do not send them; played before a proxy whose patience is a second.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::case::{Case, get, post, statuses};
use super::client::{Client, End};
use super::origin::{After, At, does, says};
use super::stage::Stage;

/// What the proxy of these cases is started with.
pub const FLAGS: &[&str] = &["--patience", "1s"];

/// Long enough for its patience to end twice.
const LONG: Duration = Duration::from_millis(2500);

pub fn cases() -> Vec<Case> {
    [heads(), bodies(), apps(), readers()].into_iter().flatten().collect()
}

fn heads() -> Vec<Case> {
    vec![
        ends("a head that stops", 408, "GET /case HTTP/1.1\r\nHost: a.test\r\nX: ", |_| {}),
        ends("a head of one byte", 408, "G", |_| {}),
        ends("a head of one byte each tenth of a second", 408, "", |client| {
            let mut client = client.again();
            std::thread::spawn(move || client.drip(get(&"X: y\r\n".repeat(50)), Duration::from_millis(100)));
        }),
        Case::new("a connection that never says anything is closed", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            let end = client.read_to_end();
            (end != End::Open).then_some(()).ok_or_else(|| "left open".into())
        }),
        Case::new("a head in one-byte pieces, in time, is a head", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.drip(get("Connection: close"), Duration::from_millis(1));
            client.read_to_end();
            answered(&client, &[200])
        }),
        Case::new("an idle connection is closed, and takes requests until then", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(get(""));
            client.read_until("\r\n\r\n/case");
            sleep(Duration::from_millis(300));
            client.send(get(""));
            let end = client.read_to_end();
            let answers = client.answers().len();
            (end != End::Open && answers >= 2).then_some(()).ok_or_else(|| format!("{end:?} after {answers} answers"))
        }),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        ends("a body that stops", 408, post("Content-Length: 100", "abc"), |_| {}),
        ends("a body that never begins", 408, post("Content-Length: 100", ""), |_| {}),
        ends("chunks that stop", 408, post("Transfer-Encoding: chunked", "3\r\nabc\r\n"), |_| {}),
        ends("a chunk size that stops", 408, post("Transfer-Encoding: chunked", "3"), |_| {}),
        Case::new("a body that is slow and moves arrives", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("Connection: close\r\nContent-Length: 12", ""));
            client.drip("abcdefghijkl", Duration::from_millis(200));
            client.read_to_end();
            answered(&client, &[200])
        }),
    ]
}

fn apps() -> Vec<Case> {
    vec![
        Case::new("an app that says nothing is a 504", |stage| {
            stage.begin(Some(says("", After::Listen)));
            let mut client = stage.connect();
            client.send(get("Connection: close"));
            client.read_to_end();
            answered(&client, &[504])
        }),
        Case::new("an app that stops in its head is a 504", |stage| {
            stage.begin(Some(says("HTTP/1.1 200 OK\r\nX: ", After::Listen)));
            let mut client = stage.connect();
            client.send(get("Connection: close"));
            client.read_to_end();
            answered(&client, &[504])
        }),
        Case::new("an app that took too long is hung up on", |stage| {
            stage.begin(Some(says("", After::Listen)));
            let mut client = stage.connect();
            client.send(get("Connection: close"));
            client.read_to_end();
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))
        }),
        Case::new("a stream that is silent after its head lives", |stage| {
            stage.begin(Some(does(At::Whole, |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
                sleep(LONG);
                let _ = stream.write_all(b"data: 2\n\n");
                After::Close
            })));
            let mut client = stage.connect();
            client.send(get(""));
            let came_at_once = client.read_until("data: 1\n\n");
            (came_at_once && client.read_until("data: 2\n\n")).then_some(()).ok_or_else(|| "it was cut".into())
        }),
        Case::new("a websocket that is silent lives", |stage| {
            stage.begin(Some(does(At::Head, |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
                sleep(LONG);
                let _ = stream.write_all(b"late");
                After::Close
            })));
            let mut client = stage.connect();
            client.send(get("Connection: Upgrade\r\nUpgrade: websocket"));
            client.read_until("late").then_some(()).ok_or_else(|| "it was cut".into())
        }),
        Case::new("an app that answers in one-byte pieces is understood", |stage| {
            stage.begin(Some(does(At::Whole, |_, stream| {
                for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
                    let _ = stream.write_all(&[*byte]);
                    sleep(Duration::from_millis(1));
                }
                After::Keep
            })));
            let mut client = stage.connect();
            client.send(get("Connection: close"));
            client.read_to_end();
            let is_so = client.answers().first().is_some_and(|answer| answer.text() == "ok" && answer.is_whole);
            is_so.then_some(()).ok_or_else(|| format!("{:?}", client.answers()))
        }),
    ]
}

fn readers() -> Vec<Case> {
    vec![Case::new("a client that does not read its answer is cut, and its app let go", |stage| {
        stage.begin(Some(does(At::Whole, |_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while stream.write_all(&[b'a'; 64 << 10]).is_ok() {}
            After::Close
        })));
        let mut client = stage.connect();
        client.send(get(""));
        let let_go = stage.eventually("the end", |wires| !wires.is_empty() && wires.iter().all(|wire| wire.is_over));
        drop(client);
        let_go
    })]
}

/// Sends bytes, does more, and wants this refusal, or at least the end, before long.
fn ends(name: &str, status: u16, bytes: impl Into<Vec<u8>>, more: impl Fn(&mut Client) + 'static) -> Case {
    let bytes = bytes.into();
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let (mut client, begun) = (stage.connect(), Instant::now());
        client.send(&bytes);
        more(&mut client);
        let end = client.read_to_end();
        if end == End::Open || begun.elapsed() > Duration::from_secs(6) {
            return Err(format!("{end:?} after {:?}", begun.elapsed()));
        }
        stage.sent()?.is_empty().then_some(()).ok_or("the origin got a whole request")?;
        answered(&client, &[status])
    })
}

fn answered(client: &Client, wanted: &[u16]) -> Result<(), String> {
    let got = statuses(&client.answers());
    (got == wanted).then_some(()).ok_or_else(|| format!("{got:?} and not {wanted:?}"))
}
