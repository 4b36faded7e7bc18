//! The first words of TLS by hand: a `ClientHello` (RFC 5246 §7.4.1.2, RFC 8446 §4.1.2), and what a server makes of it.

use super::client::Client;
use super::judge::find;

pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;

pub const SERVER_NAME: u16 = 0;
pub const ALPN: u16 = 16;
pub const SESSION_TICKET: u16 = 35;
pub const SUPPORTED_VERSIONS: u16 = 43;

/// The name of a host among server names; other kinds were never defined (RFC 6066 §3).
pub const HOST_NAME: u8 = 0;

/// A hello of TLS 1.2, whose answer can be read; anything in it can be made wrong.
pub struct Hello {
    /// The version of its record.
    pub record: u16,
    pub version: u16,
    pub suites: Vec<u16>,
    pub compressions: Vec<u8>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

/// What the server says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It takes the hello.
    Hello,
    /// It ends the connection, and says why.
    Alert(u8),
    /// It ends the connection.
    End,
    /// It waits for more.
    Silence,
    Nonsense,
}

// === impl Hello ===

impl Hello {
    pub fn new() -> Hello {
        // x25519 and P-256; ECDSA over P-256 with SHA-256.
        let groups = (10, vec![0, 4, 0, 29, 0, 23]);
        let signatures = (13, vec![0, 2, 4, 3]);
        // ECDHE-ECDSA with AES-GCM: the certificates here have such keys.
        Hello { record: 0x0301, version: 0x0303, suites: vec![0xc02b, 0xc02c], compressions: vec![0], extensions: vec![groups, signatures] }
    }

    /// Asks for the certificate of a name.
    pub fn named(name: &str) -> Hello {
        Hello::new().with(SERVER_NAME, names(&[(HOST_NAME, name)]))
    }

    pub fn with(mut self, id: u16, body: Vec<u8>) -> Hello {
        self.extensions.push((id, body));
        self
    }

    /// Returns the message, without a record around it.
    pub fn message(&self) -> Vec<u8> {
        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        let extensions: Vec<u8> = self.extensions.iter().flat_map(|(id, body)| [id.to_be_bytes().to_vec(), short(body)].concat()).collect();
        let body = [
            &self.version.to_be_bytes()[..],
            &[7; 32],
            // No session.
            &[0],
            &short(&suites),
            &tiny(&self.compressions),
            &short(&extensions),
        ]
        .concat();
        message(1, &body)
    }

    pub fn bytes(&self) -> Vec<u8> {
        record(HANDSHAKE, self.record, &self.message())
    }
}

/// Returns a handshake message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

pub fn record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &version.to_be_bytes(), &short(payload)].concat()
}

/// Returns a list of server names with their kinds.
pub fn names(names: &[(u8, &str)]) -> Vec<u8> {
    short(&names.iter().flat_map(|(kind, name)| [vec![*kind], short(name.as_bytes())].concat()).collect::<Vec<_>>())
}

/// Returns a list of protocols.
pub fn protocols(names: &[&str]) -> Vec<u8> {
    short(&names.iter().flat_map(|name| tiny(name.as_bytes())).collect::<Vec<_>>())
}

/// Puts a length of two bytes before them.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Puts a length of one byte before them.
pub fn tiny(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// Reads what the server says first.
pub fn word(client: &mut Client) -> Word {
    client.read_while(|bytes| bytes.len() < 7);
    match client.bytes[..] {
        [HANDSHAKE, 3, _, _, _, 2, ..] => Word::Hello,
        [ALERT, 3, _, 0, 2, 2, why, ..] => Word::Alert(why),
        [] if client.is_open() => Word::Silence,
        [] => Word::End,
        _ => Word::Nonsense,
    }
}

/// Reads what the server shows in TLS 1.2 before anything is encrypted.
pub fn read_flight(client: &mut Client) -> &[u8] {
    const SERVER_HELLO_DONE: [u8; 4] = [14, 0, 0, 0];
    client.read_while(|bytes| find(bytes, &SERVER_HELLO_DONE).is_none());
    &client.bytes
}
