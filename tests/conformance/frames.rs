//! An HTTP/2 client that writes frames by hand (RFC 9113 §4) and header blocks without compression (RFC 7541 §6.2.2).

use super::client::Client;
use super::hpack::{Decoder, Fields, value};
use super::stage::Stage;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

/// What the other side made of the first stream, or of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Status(u16),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was ended, with this code.
    GoneAway(u32),
    Closed,
    /// Nothing of it, in time.
    Silence,
}

/// A frame that came in.
pub struct Frame<'a> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

/// What came on one stream.
#[derive(Debug, Default)]
pub struct Reply {
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// The other side ended it, which a reset does not.
    pub is_whole: bool,
    pub reset: Option<u32>,
}

pub type Field<'a> = (&'a str, &'a str);

/// The pseudo-headers of a plain request.
pub const GET: [Field<'static>; 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/case")];

/// Returns a frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Returns the HEADERS frame of a request.
pub fn headers(flags: u8, stream: u32, fields: &[Field<'_>]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

/// Returns a block of literal fields that are not to be indexed.
pub fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let literal = |text: &str| [length(text.len()), text.as_bytes().to_vec()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], literal(name), literal(value)].concat()).collect()
}

/// Writes an integer with a prefix of seven bits (RFC 7541 §5.1).
fn length(value: usize) -> Vec<u8> {
    let byte = |value: usize| u8::try_from(value).unwrap();
    if value < 127 {
        return vec![byte(value)];
    }
    let (mut bytes, mut rest) = (vec![127], value - 127);
    while rest >= 128 {
        bytes.push(byte(rest % 128 + 128));
        rest /= 128;
    }
    bytes.push(byte(rest));
    bytes
}

/// Connects, and says the preface with empty settings.
pub fn open(stage: &Stage) -> Client {
    greet(stage.connect())
}

/// Says the preface with empty settings.
pub fn greet(mut client: Client) -> Client {
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    client
}

/// Reads until the first stream has a verdict, or the connection.
pub fn verdict(client: &mut Client) -> Verdict {
    client.read_while(|bytes| find_verdict(bytes).is_none());
    let is_over = !client.is_open();
    find_verdict(&client.bytes).unwrap_or(if is_over { Verdict::Closed } else { Verdict::Silence })
}

fn find_verdict(bytes: &[u8]) -> Option<Verdict> {
    heard(bytes).into_iter().find_map(|(frame, fields)| match (frame.kind, frame.stream) {
        (HEADERS, 1) => status(&fields).filter(|status| *status >= 200).map(Verdict::Status),
        (RST_STREAM, 1) => Some(Verdict::Reset(code(frame.payload))),
        (GOAWAY, _) => Some(Verdict::GoneAway(code(frame.payload.get(4..).unwrap_or_default()))),
        _ => None,
    })
}

/// Reads until a stream is over, whole or reset, or the connection is.
pub fn reply(client: &mut Client, stream: u32) -> Reply {
    let of = |bytes: &[u8]| read_reply(bytes, stream);
    client.read_while(|bytes| {
        let reply = of(bytes);
        !reply.is_whole && reply.reset.is_none()
    });
    of(&client.bytes)
}

/// Returns what has come on a stream.
pub fn read_reply(bytes: &[u8], stream: u32) -> Reply {
    let mut reply = Reply::default();
    for (frame, fields) in heard(bytes).into_iter().filter(|(frame, _)| frame.stream == stream) {
        match frame.kind {
            HEADERS if reply.fields.is_empty() => reply.fields = fields,
            HEADERS => reply.trailers = fields,
            DATA => reply.body.extend_from_slice(frame.payload),
            RST_STREAM => reply.reset = Some(code(frame.payload)),
            _ => {}
        }
        reply.is_whole |= matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
    }
    reply
}

/// Returns the whole frames among the bytes, and what the HEADERS among them say.
fn heard(bytes: &[u8]) -> Vec<(Frame<'_>, Fields)> {
    let mut decoder = Decoder::default();
    let mut heard = Vec::new();
    for frame in frames(bytes) {
        let fields = if frame.kind == HEADERS { decoder.read(frame.payload) } else { None };
        heard.push((frame, fields.unwrap_or_default()));
    }
    heard
}

/// Returns the whole frames among the bytes.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while bytes.len() >= 9 {
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let Some(payload) = bytes.get(9..9 + length) else { break };
        frames.push(Frame { kind: bytes[3], flags: bytes[4], stream: code(&bytes[5..9]), payload });
        bytes = &bytes[9 + length..];
    }
    frames
}

/// Reads a number of four bytes.
pub fn code(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(u32::MAX, |code| u32::from_be_bytes(*code))
}

fn status(fields: &[(String, String)]) -> Option<u16> {
    value(fields, ":status")?.parse().ok()
}

// === impl Reply ===

impl Reply {
    pub fn status(&self) -> Option<u16> {
        status(&self.fields)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
