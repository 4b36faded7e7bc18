//! The client before the proxy: raw bytes out, everything that comes back in, and where it ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::ClientConnection;

use super::judge::find;

/// Nothing in these cases takes longer, unless the proxy hangs.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A client's connection.
pub struct Client {
    pub stream: TcpStream,
    pub bytes: Vec<u8>,
    /// What it is spoken through, where that is TLS.
    pub tls: Option<Box<ClientConnection>>,
    patience: Duration,
    is_over: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    /// With a reset or, in TLS, without a word that this is the end.
    Reset,
    /// It did not, in the client's patience.
    Open,
}

/// One answer, as a client that believes its framing reads it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub lines: Vec<String>,
    pub body: Vec<u8>,
    /// Its framing says that the body came to its end.
    pub is_whole: bool,
}

// === impl Client ===

impl Client {
    pub fn connect(address: SocketAddr, patience: Duration) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        Client { stream, bytes: Vec::new(), tls: None, patience, is_over: false }
    }

    /// Returns a second hand on the same connection, below TLS.
    pub fn again(&self) -> Client {
        Client { stream: self.stream.try_clone().unwrap(), bytes: Vec::new(), tls: None, patience: self.patience, is_over: false }
    }

    /// Sends what the other side takes; it may have closed already.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).write_all(bytes.as_ref()).is_ok(),
            None => self.stream.write_all(bytes.as_ref()).is_ok(),
        }
    }

    /// Sends byte by byte, as long as they are taken.
    pub fn drip(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            if !self.send([*byte]) {
                return;
            }
            std::thread::sleep(pause);
        }
    }

    /// Says that nothing more will come, but for TLS.
    pub fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Says in TLS that nothing more will come.
    pub fn close_tls(&mut self) {
        let tls = self.tls.as_mut().expect("it is spoken");
        tls.send_close_notify();
        let _ = tls.write_tls(&mut self.stream);
    }

    /// Reads until the other side ends.
    pub fn read_to_end(&mut self) -> End {
        self.read_while(|_| true)
    }

    /// Reads until the marker came, or the other side ends.
    pub fn read_until(&mut self, marker: &str) -> bool {
        self.read_while(|bytes| find(bytes, marker.as_bytes()).is_none());
        find(&self.bytes, marker.as_bytes()).is_some()
    }

    /// Reads until `wants_more` is false.
    pub fn read_while(&mut self, wants_more: impl Fn(&[u8]) -> bool) -> End {
        let end = self.read(wants_more);
        self.is_over |= end != End::Open;
        end
    }

    fn read(&mut self, wants_more: impl Fn(&[u8]) -> bool) -> End {
        let deadline = Instant::now() + self.patience;
        let mut piece = [0; 16 << 10];
        while wants_more(&self.bytes) {
            let read = match &mut self.tls {
                Some(tls) => rustls::Stream::new(&mut **tls, &mut self.stream).read(&mut piece),
                None => self.stream.read(&mut piece),
            };
            match read {
                Ok(0) => return End::Closed,
                Ok(read) => self.bytes.extend_from_slice(&piece[..read]),
                Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return End::Open,
                Err(_) => return End::Reset,
            }
            if Instant::now() > deadline {
                return End::Open;
            }
        }
        End::Open
    }

    /// Whether the other side has not been seen to end.
    pub fn is_open(&self) -> bool {
        !self.is_over
    }

    pub fn answers(&self) -> Vec<Answer> {
        answers(&self.bytes)
    }
}

// === impl Answer ===

impl Answer {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name).map(|(_, value)| value))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads all answers of a connection; what is no answer ends them.
pub fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((answer, rest)) = answer(bytes) {
        answers.push(answer);
        bytes = rest;
    }
    answers
}

fn answer(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let lines = lines.map(|line| line.split_once(':').map_or_else(String::new, normal)).collect();
    let mut answer = Answer { status, lines, body: Vec::new(), is_whole: true };
    let mut rest = &bytes[end + 4..];
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.is_whole = false;
        while let Some((chunk, after)) = chunk(rest) {
            rest = after;
            answer.body.extend_from_slice(chunk);
            if chunk.is_empty() {
                answer.is_whole = true;
                rest = find(rest, b"\r\n").map_or(rest, |at| &rest[at + 2..]);
                break;
            }
        }
    } else if status >= 200 && status != 204 && status != 304 {
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let taken = length.unwrap_or(rest.len()).min(rest.len());
        answer.is_whole = length.is_none_or(|length: usize| length == taken);
        answer.body = rest[..taken].to_vec();
        rest = &rest[taken..];
    }
    Some((answer, rest))
}

fn normal((name, value): (&str, &str)) -> String {
    format!("{}: {}", name.to_ascii_lowercase(), value.trim())
}

/// Reads a chunk; the last one is empty.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = find(bytes, b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok()?;
    let data = &bytes[line + 2..];
    if size == 0 {
        return Some((&[], data));
    }
    let after = data.get(size..)?.strip_prefix(b"\r\n")?;
    Some((&data[..size], after))
}
