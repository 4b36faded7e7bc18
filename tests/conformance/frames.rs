//! An HTTP/2 client that writes frames by hand (RFC 9113 §4) and header blocks without compression (RFC 7541 §6.2.2).

use super::client::Client;
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
    pub stream: u32,
    pub payload: &'a [u8],
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
    let mut client = stage.connect();
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
    frames(bytes).into_iter().find_map(|frame| match (frame.kind, frame.stream) {
        (HEADERS, 1) => status(frame.payload).filter(|status| *status >= 200).map(Verdict::Status),
        (RST_STREAM, 1) => Some(Verdict::Reset(code(frame.payload))),
        (GOAWAY, _) => Some(Verdict::GoneAway(code(frame.payload.get(4..).unwrap_or_default()))),
        _ => None,
    })
}

/// Returns the whole frames among the bytes.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while bytes.len() >= 9 {
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let Some(payload) = bytes.get(9..9 + length) else { break };
        frames.push(Frame { kind: bytes[3], stream: code(&bytes[5..9]), payload });
        bytes = &bytes[9 + length..];
    }
    frames
}

fn code(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(u32::MAX, |code| u32::from_be_bytes(*code))
}

/// Reads `:status`, which comes first: from the static table, or as a literal, whose digits may be in Huffman's code.
fn status(block: &[u8]) -> Option<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block.first()? {
        byte @ 0x88..=0x8e => INDEXED.get(usize::from(byte - 0x88)).copied(),
        0x48 | 0x08 | 0x18 => {
            let length = block.get(1)?;
            let text = block.get(2..2 + usize::from(length & 0x7f))?;
            if length & 0x80 == 0 { std::str::from_utf8(text).ok()?.parse().ok() } else { digits(text) }
        }
        _ => None,
    }
}

/// 0, 1 and 2 have five bits, the other digits six (RFC 7541, appendix B).
fn digits(bytes: &[u8]) -> Option<u16> {
    let bits = bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
    let (mut rest, mut number) = (bits.as_str(), 0);
    for _ in 0..3 {
        let short = u16::from_str_radix(rest.get(..5)?, 2).ok()?;
        let long = || u16::from_str_radix(rest.get(..6)?, 2).ok();
        let (digit, length) = if short <= 2 { (short, 5) } else { (long()?.checked_sub(0b1_1001)? + 3, 6) };
        number = number * 10 + digit;
        rest = rest.get(length..)?;
    }
    Some(number)
}

#[test]
fn a_status_is_read_in_each_of_its_forms() {
    assert_eq!(status(&[0x88]), Some(200));
    assert_eq!(status(b"\x48\x03421"), Some(421));
    assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
}
