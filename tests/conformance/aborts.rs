//! When one side goes, the other is told: nobody works for a client that left, and nobody takes a half for the whole.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::case::{Case, get, post, statuses};
use super::client::{End, PATIENCE};
use super::origin::{After, At, does, says};
use super::stage::Stage;

pub fn cases() -> Vec<Case> {
    [clients(), races(), pressure()].into_iter().flatten().collect()
}

fn clients() -> Vec<Case> {
    let leaves = |name: &str, bytes: String, answer: &'static str| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(Some(says(answer, After::Listen)));
            let mut client = stage.connect();
            client.send(&bytes);
            stage.eventually("the request", |wires| wires.iter().any(|wire| wire.bytes.windows(4).any(|end| end == b"\r\n\r\n")))?;
            if !answer.is_empty() {
                client.read_until("some");
            }
            drop(client);
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))
        })
    };
    vec![
        leaves("a client that leaves while its app thinks", get(""), ""),
        leaves("a client that leaves in mid-answer", get(""), "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome"),
        leaves("a client that leaves in a stream", get(""), "HTTP/1.1 200 OK\r\n\r\nsome"),
        leaves("a client that leaves in mid-upload", post("Content-Length: 100000", "abc"), ""),
        leaves("a client that leaves in mid-chunk", post("Transfer-Encoding: chunked", "9\r\nabc"), ""),
        Case::new("an upload that its client cut is never whole for the app", |stage| {
            stage.begin(None);
            let mut client = stage.connect();
            client.send(post("Transfer-Encoding: chunked", "3\r\nabc\r\n"));
            stage.eventually("the head", |wires| wires.iter().any(|wire| wire.bytes.windows(3).any(|body| body == b"abc")))?;
            drop(client);
            stage.eventually("the end", |wires| wires.iter().all(|wire| wire.is_over))?;
            stage.sent()?.is_empty().then_some(()).ok_or_else(|| "it was".into())
        }),
    ]
}

/// An app closes an idle connection in the instant in which the next request goes out on it.
fn races() -> Vec<Case> {
    let script = || {
        does(At::Whole, |turn, stream| {
            if turn.before > 0 {
                return After::Reset;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            After::Keep
        })
    };
    let race = move |name: &str, bytes: String, wanted: &'static [u16], sends: usize| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(Some(script()));
            // The first leaves an idle connection to the app behind, whichever core of ours gets the second.
            let mut client = stage.connect();
            client.send(get("X: first"));
            client.read_until("ok");
            stage.begin(Some(script()));
            client.send(&bytes);
            client.read_to_end();
            let got = statuses(&client.answers());
            let times = stage.sent()?.len();
            (got == wanted && times == sends).then_some(()).ok_or_else(|| format!("{got:?}, and it was sent {times} times"))
        })
    };
    vec![
        race("a GET is sent once more", get("Connection: close"), &[200, 200], 2),
        race("a HEAD is sent once more", get("Connection: close").replace("GET", "HEAD"), &[200, 200], 2),
        race("a POST is not sent twice", post("Connection: close\r\nContent-Length: 3", "abc"), &[200, 502], 1),
        race("a POST without a body is not sent twice", post("Connection: close\r\nContent-Length: 0", ""), &[200, 502], 1),
        race("a DELETE is not sent twice", get("Connection: close").replace("GET", "DELETE"), &[200, 502], 1),
        race("a GET with a body is not sent twice", get("Connection: close\r\nContent-Length: 3") + "abc", &[200, 502], 1),
        Case::new("an app that always dies of a GET gets it twice at most", |stage| {
            stage.begin(Some(does(At::Whole, |_, _| After::Reset)));
            let outcome = stage.talk(get("").as_bytes())?;
            let first = outcome.answers.first().map(|answer| answer.status);
            (first == Some(502) && outcome.sent.len() <= 2)
                .then_some(())
                .ok_or_else(|| format!("{first:?} after {} times", outcome.sent.len()))
        }),
        Case::new("an answer that broke off is not begun again", |stage| {
            stage.begin(Some(says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", After::Reset)));
            let mut client = stage.connect();
            client.send(get(""));
            client.read_to_end();
            (stage.sent()?.len() == 1).then_some(()).ok_or_else(|| "it was".into())
        }),
    ]
}

fn pressure() -> Vec<Case> {
    vec![
        Case::new("an app that does not read holds its client up, and no memory is filled", |stage| {
            let (done, is_done) = channel();
            let is_done = Mutex::new(is_done);
            stage.begin(Some(does(At::Head, move |_, _| {
                let _ = is_done.lock().unwrap().recv_timeout(PATIENCE);
                After::Reset
            })));
            let mut client = stage.connect();
            client.send(post("Content-Length: 1000000000", ""));
            let taken = mebibytes_taken(&mut client.stream);
            let _ = done.send(());
            (taken < MOST).then_some(()).ok_or_else(|| format!("{taken} MiB were taken in"))
        }),
        Case::new("a client that does not read holds its app up, and no memory is filled", |stage| {
            let (done, taken) = channel();
            let done = Mutex::new(done);
            stage.begin(Some(does(At::Whole, move |_, stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
                let _ = done.lock().unwrap().send(mebibytes_taken(stream));
                After::Reset
            })));
            let mut client = stage.connect();
            client.send(get(""));
            let taken = taken.recv_timeout(PATIENCE).map_err(|err| err.to_string())?;
            let end = client.read_to_end();
            let is_cut = end != End::Open && !client.answers().first().is_some_and(|answer| answer.is_whole);
            (taken < MOST && is_cut).then_some(()).ok_or_else(|| format!("{taken} MiB were taken in, and then {end:?}"))
        }),
    ]
}

/// What the buffers of four sockets hold at the most, and a little more.
const MOST: usize = 64;

/// Writes until nothing more is taken for a moment.
fn mebibytes_taken(stream: &mut TcpStream) -> usize {
    let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
    let piece = vec![b'a'; 1 << 20];
    (0..256).take_while(|_| stream.write_all(&piece).is_ok()).count()
}
