//! HTTP/2's frames themselves: what breaks the protocol ends the connection, what floods it is bounded (RFC 9113 §5, §6, §10.5).

use std::time::{Duration, Instant};

use super::case::Case;
use super::client::Client;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    Verdict, WHOLE, WINDOW_UPDATE, block, frame, frames, headers, open, verdict,
};
use super::stage::Stage;

pub fn cases() -> Vec<Case> {
    [prefaces(), frame_errors(), compression(), tolerated(), floods()].into_iter().flatten().collect()
}

fn prefaces() -> Vec<Case> {
    let starts = |name: &str, bytes: Vec<u8>| ends(name, move |client: &mut Client| _ = client.send(&bytes), Start::Raw);
    let get = headers(WHOLE, 1, &GET);
    vec![
        starts("a preface that breaks off into garbage", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        starts("a preface with headers", b"PRI * HTTP/2.0\r\nHost: a.test\r\n\r\nSM\r\n\r\n".to_vec()),
        starts("a preface without settings", [PREFACE, &get].concat()),
        starts("a preface twice", [PREFACE, &frame(SETTINGS, 0, 0, &[]), PREFACE].concat()),
        starts("a request of HTTP/1.1 behind a preface", [PREFACE, b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat()),
        starts(
            "a preface behind a request",
            b"GET /case HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
    ]
}

fn frame_errors() -> Vec<Case> {
    let open = || headers(END_HEADERS, 1, &[(":method", "POST"), GET[1], GET[2], GET[3]]);
    let number = |number: u32| number.to_be_bytes().to_vec();
    let setting = |id: u8, value: u32| [vec![0, id], value.to_be_bytes().to_vec()].concat();
    [
        ("a frame of 16,385 bytes", frame(DATA, 0, 1, &vec![0; 16_385])),
        ("a frame that says 16 MiB", vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]),
        ("settings on a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings of five bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("an acknowledgement with settings", frame(SETTINGS, 1, 0, &[0; 6])),
        ("a push setting of 2", frame(SETTINGS, 0, 0, &setting(2, 2))),
        ("an initial window that is too large", frame(SETTINGS, 0, 0, &setting(4, 1 << 31))),
        ("a frame size that is too small", frame(SETTINGS, 0, 0, &setting(5, 100))),
        ("a window update of 0", frame(WINDOW_UPDATE, 0, 0, &number(0))),
        ("a window update of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        (
            "a window that overflows",
            [frame(WINDOW_UPDATE, 0, 0, &number(0x7fff_ffff)), frame(WINDOW_UPDATE, 0, 0, &number(0x7fff_ffff))].concat(),
        ),
        ("data on stream 0", frame(DATA, END_STREAM, 0, b"abc")),
        ("data on a stream that is idle", frame(DATA, END_STREAM, 1, b"abc")),
        ("headers on stream 0", headers(WHOLE, 0, &GET)),
        ("headers on an even stream", headers(WHOLE, 2, &GET)),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, &number(8))),
        ("a reset of stream 0", frame(RST_STREAM, 0, 0, &number(8))),
        ("a reset of three bytes", [open(), frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("a promise from a client", [open(), frame(PUSH_PROMISE, END_HEADERS, 1, &[number(2), block(&GET)].concat())].concat()),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7])),
        ("a ping on a stream", frame(PING, 0, 1, &[0; 8])),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &block(&GET))),
        ("a continuation of another stream", [headers(END_STREAM, 1, &GET), frame(CONTINUATION, END_HEADERS, 3, &[])].concat()),
        ("a ping within headers", [headers(END_STREAM, 1, &GET), frame(PING, 0, 0, &[0; 8])].concat()),
        ("data within headers", [headers(0, 1, &GET), frame(DATA, END_STREAM, 1, b"abc")].concat()),
        ("padding that is longer than its frame", [open(), frame(DATA, END_STREAM | 8, 1, b"\xffabc")].concat()),
        ("a length of padding without padding", [open(), frame(DATA, END_STREAM | 8, 1, &[])].concat()),
        ("a goodbye on a stream", frame(GOAWAY, 0, 1, &[0; 8])),
    ]
    .into_iter()
    .map(|(name, bytes)| ends(name, move |client: &mut Client| _ = client.send(&bytes), Start::Opened))
    .collect()
}

/// Header blocks that no encoder writes (RFC 7541).
fn compression() -> Vec<Case> {
    [
        ("an index of 0", vec![0x80]),
        ("an index beyond the tables", vec![0xff, 0x80, 0x01]),
        ("a name's index beyond the tables", vec![0x7f, 0x80, 0x01, 0x01, b'x']),
        ("an integer that breaks off", vec![0xff]),
        ("an integer without end", [vec![0xff], vec![0xff; 64]].concat()),
        ("a literal that breaks off", vec![0x00, 0x7f, b'x']),
        ("a table larger than agreed", vec![0x3f, 0xe1, 0xff, 0xff, 0x03]),
        ("a table size behind a field", vec![0x82, 0x20]),
        ("Huffman's end of string", vec![0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'x']),
        ("Huffman's padding of zeros", vec![0x00, 0x81, 0x00, 0x01, b'x']),
    ]
    .into_iter()
    .map(|(name, bytes)| ends(name, move |client: &mut Client| _ = client.send(frame(HEADERS, WHOLE, 1, &bytes)), Start::Opened))
    .collect()
}

/// What must be borne: the request behind it is answered.
fn tolerated() -> Vec<Case> {
    let get = headers(WHOLE, 1, &GET);
    let split = || {
        let whole = block(&GET);
        let (first, rest) = whole.split_at(10);
        [frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, 0, 1, &[]), frame(CONTINUATION, END_HEADERS, 1, rest)].concat()
    };
    [
        ("a frame of an unknown kind", [frame(0xfa, 0, 0, b"abc"), get.clone()].concat()),
        ("a setting that is unknown", [frame(SETTINGS, 0, 0, &[0xff, 0xff, 0, 0, 0, 1]), get.clone()].concat()),
        ("flags that are unknown", frame(HEADERS, WHOLE | 0xc0 & !8 & !32, 1, &block(&GET))),
        ("priorities", [frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]), get.clone()].concat()),
        ("headers in pieces", split()),
        ("a ping, which is answered", [frame(PING, 0, 0, b"12345678"), get.clone()].concat()),
        ("the top bit of a stream's number", {
            let mut bytes = get.clone();
            bytes[5] |= 0x80;
            bytes
        }),
    ]
    .into_iter()
    .map(|(name, bytes)| {
        Case::new(name, move |stage: &Stage| {
            stage.begin(None);
            let mut client = open(stage);
            client.send(&bytes);
            let verdict = verdict(&mut client);
            (verdict == Verdict::Status(200)).then_some(()).ok_or_else(|| format!("{verdict:?}"))
        })
    })
    .collect()
}

fn floods() -> Vec<Case> {
    let again = |piece: Vec<u8>, times: usize| move |client: &mut Client| pour(client, &piece, times);
    let unfinished = || headers(0, 1, &GET);
    let (reset, ping) = (|stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()), frame(PING, 0, 0, &[0; 8]));
    vec![
        ends(
            "rapid resets",
            move |client| {
                let _ = (0..20_000).all(|n| client.send([headers(WHOLE, n * 2 + 1, &GET), reset(n * 2 + 1)].concat()));
            },
            Start::Opened,
        ),
        ends(
            "resets that the client's faults provoke",
            |client| {
                let _ = (0..20_000)
                    .all(|n| client.send([headers(END_HEADERS, n * 2 + 1, &GET), frame(WINDOW_UPDATE, 0, n * 2 + 1, &[0; 4])].concat()));
            },
            Start::Opened,
        ),
        ends(
            "continuations without end",
            move |client| {
                client.send(unfinished());
                pour(client, &frame(CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(8000))])), 10_000);
            },
            Start::Opened,
        ),
        ends(
            "empty continuations without end",
            move |client| {
                client.send(unfinished());
                pour(client, &frame(CONTINUATION, 0, 1, &[]), 200_000);
            },
            Start::Opened,
        ),
        ends(
            "small continuations without end",
            move |client| {
                client.send(unfinished());
                pour(client, &frame(CONTINUATION, 0, 1, &block(&[("x", "y")])), 200_000);
            },
            Start::Opened,
        ),
        bounded("empty data without end", move |client| {
            client.send(headers(END_HEADERS, 1, &[(":method", "POST"), GET[1], GET[2], GET[3]]));
            pour(client, &frame(DATA, 0, 1, &[]), 200_000);
        }),
        bounded("settings without end", again(frame(SETTINGS, 0, 0, &[]), 200_000)),
        bounded("pings without end", again(ping, 200_000)),
        bounded("priorities without end", again(frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]), 200_000)),
        bounded("window updates without end", again(frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()), 200_000)),
        bounded("unknown frames without end", again(frame(0xfa, 0, 0, &[0; 1000]), 50_000)),
        bounded("a thousand streams that stay open", |client| {
            let _ = (0..1000).all(|n| client.send(headers(END_HEADERS, n * 2 + 1, &[(":method", "POST"), GET[1], GET[2], GET[3]])));
        }),
        bounded("a header that is written once and named ten thousand times", |client| {
            let large = [vec![0x40, 0x01, b'x', 0x7f, 0xa1, 0x1e], vec![b'y'; 4000]].concat();
            client.send(frame(HEADERS, WHOLE, 1, &[block(&GET), large, vec![0xbe; 10_000]].concat()));
        }),
        Case::new("more streams at once than agreed are refused, and the others go on", |stage: &Stage| {
            stage.begin(None);
            let mut client = open(stage);
            for n in 0..200 {
                client.send(headers(END_HEADERS, n * 2 + 1, &[(":method", "POST"), GET[1], GET[2], GET[3]]));
            }
            client.send(frame(DATA, END_STREAM, 1, b"abc"));
            let verdict = verdict(&mut client);
            let refused = frames(&client.bytes).iter().filter(|frame| frame.kind == RST_STREAM).count();
            (verdict == Verdict::Status(200) && refused >= 50).then_some(()).ok_or_else(|| format!("{verdict:?}, {refused} refused"))
        }),
    ]
}

enum Start {
    Raw,
    Opened,
}

/// The connection is ended, before long; no request of it is answered with success.
fn ends(name: &str, play: impl Fn(&mut Client) + 'static, start: Start) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let (memory, begun) = (stage.resident_mib(), Instant::now());
        let mut client = if let Start::Raw = start { stage.connect() } else { open(stage) };
        play(&mut client);
        client.read_to_end();
        let is_smuggled = stage.sent()?.iter().any(|sent| sent.target.contains("smuggled"));
        if client.is_open() || is_smuggled || begun.elapsed() > Duration::from_secs(12) {
            return Err(format!("smuggled: {is_smuggled}, open: {}, after {:?}", client.is_open(), begun.elapsed()));
        }
        small(stage, memory)
    })
}

/// Borne or ended: the memory stays, and others are served meanwhile.
fn bounded(name: &str, play: impl Fn(&mut Client) + 'static) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        let memory = stage.resident_mib();
        let mut client = open(stage);
        play(&mut client);
        let begun = Instant::now();
        stage.settle()?;
        if begun.elapsed() > Duration::from_secs(3) {
            return Err(format!("the next client waited {:?}", begun.elapsed()));
        }
        small(stage, memory)
    })
}

fn small(stage: &Stage, before: usize) -> Result<(), String> {
    let grown = stage.resident_mib().saturating_sub(before);
    (grown < 32).then_some(()).ok_or_else(|| format!("{grown} MiB more"))
}

/// Sends a piece many times, as long as it is taken.
fn pour(client: &mut Client, piece: &[u8], times: usize) {
    let _ = client.stream.set_write_timeout(Some(Duration::from_secs(2)));
    let bundle = piece.repeat(100);
    let _ = (0..times / 100).all(|_| client.send(&bundle));
}
