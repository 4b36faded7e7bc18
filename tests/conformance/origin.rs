//! The app behind the proxy: it reads leniently, keeps every byte it got, and answers as the case at hand says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::judge::find;

/// An origin that listens until the test's process ends.
pub struct Origin {
    pub address: SocketAddr,
    heard: Arc<Heard>,
}

/// What came in since [`Origin::begin`], by connection.
#[derive(Default)]
struct Heard {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    script: Option<Script>,
    wires: BTreeMap<usize, Wire>,
    connections: usize,
}

/// One connection as the origin saw it.
#[derive(Clone, Default)]
pub struct Wire {
    pub bytes: Vec<u8>,
    /// The other side has closed it, or cut it.
    pub is_over: bool,
}

/// How a request is answered.
#[derive(Clone)]
pub struct Script {
    pub at: At,
    pub act: Arc<Act>,
}

type Act = dyn Fn(&Turn, &mut TcpStream) -> After + Send + Sync;

/// When it is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum At {
    Head,
    Whole,
}

/// The request at hand.
pub struct Turn {
    pub target: String,
    /// How many came before it on its connection.
    pub before: usize,
    /// What came with its head.
    pub rest: Vec<u8>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
    /// Closed with a reset, so that what was sent last may be lost.
    Reset,
    /// Kept open, and only listened to.
    Listen,
}

// === impl Origin ===

impl Origin {
    pub fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::<Heard>::default());
        let theirs = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = Arc::clone(&theirs);
                thread::spawn(move || heard.serve(stream));
            }
        });
        Origin { address, heard }
    }

    /// Forgets what was heard and answers with `script` from now on; without one, every request gets a 200 that names its target.
    pub fn begin(&self, script: Option<Script>) {
        let mut now = self.heard.now.lock().unwrap();
        now.script = script;
        now.wires.clear();
    }

    /// Returns what came in.
    pub fn wires(&self) -> Vec<Wire> {
        self.heard.now.lock().unwrap().wires.values().cloned().collect()
    }

    /// Waits until what came in is as wanted; false: it was not in time.
    pub fn eventually(&self, time: Duration, is_so: impl Fn(&[Wire]) -> bool) -> bool {
        let deadline = Instant::now() + time;
        let mut now = self.heard.now.lock().unwrap();
        loop {
            if is_so(&now.wires.values().cloned().collect::<Vec<_>>()) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            now = self.heard.changed.wait_timeout(now, left).unwrap().0;
        }
    }
}

// === impl Heard ===

impl Heard {
    fn serve(&self, mut stream: TcpStream) {
        let id = {
            let mut now = self.now.lock().unwrap();
            now.connections += 1;
            now.connections
        };
        let _ = stream.set_nodelay(true);
        let (mut buffer, mut before) = (Vec::new(), 0);
        while let Some(after) = self.turn(id, &mut stream, &mut buffer, before) {
            match after {
                After::Keep => before += 1,
                After::Listen => while self.read(id, &mut stream, &mut buffer) {},
                After::Close => {
                    let _ = stream.shutdown(Shutdown::Write);
                    while self.read(id, &mut stream, &mut buffer) {}
                    break;
                }
                After::Reset => {
                    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                    break;
                }
            }
        }
    }

    /// Reads one request and answers it; `None`: no more came.
    fn turn(&self, id: usize, stream: &mut TcpStream, buffer: &mut Vec<u8>, before: usize) -> Option<After> {
        let head_end = loop {
            if let Some(end) = head_end(buffer) {
                break end;
            }
            self.read(id, stream, buffer).then_some(())?;
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let turn =
            Turn { target: head.split([' ', '\n']).nth(1).unwrap_or_default().to_owned(), before, rest: buffer[head_end..].to_vec() };
        let script = self.now.lock().unwrap().script.clone().filter(|_| !turn.target.starts_with("/after"));
        if let Some(script) = script.as_ref().filter(|script| script.at == At::Head) {
            return Some((script.act)(&turn, stream));
        }
        let end = loop {
            if let Some(length) = body_length(&head, &buffer[head_end..]) {
                break head_end + length;
            }
            self.read(id, stream, buffer).then_some(())?;
        };
        buffer.drain(..end);
        Some(match script {
            Some(script) => (script.act)(&turn, stream),
            None => plainly(&turn, stream),
        })
    }

    fn read(&self, id: usize, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
        let mut piece = [0; 16 << 10];
        let read = stream.read(&mut piece).unwrap_or(0);
        buffer.extend_from_slice(&piece[..read]);
        let mut now = self.now.lock().unwrap();
        if read > 0 || now.wires.contains_key(&id) {
            let wire = now.wires.entry(id).or_default();
            wire.bytes.extend_from_slice(&piece[..read]);
            wire.is_over = read == 0;
        }
        self.changed.notify_all();
        read > 0
    }
}

/// The answer to a request that nobody has a word on.
fn plainly(turn: &Turn, stream: &mut TcpStream) -> After {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Target: {}\r\n\r\n{}", turn.target.len(), turn.target, turn.target);
    if stream.write_all(answer.as_bytes()).is_ok() { After::Keep } else { After::Close }
}

/// As lenient servers find it: a line without its CR ends as well.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let crlf = find(bytes, b"\r\n\r\n").map(|at| at + 4);
    let lf = find(bytes, b"\n\n").map(|at| at + 2);
    crlf.into_iter().chain(lf).min()
}

/// Returns the length of a body once it is there. Anything that looks like a coding is one, and the first digits are the length.
fn body_length(head: &str, rest: &[u8]) -> Option<usize> {
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding") && head.contains("chunked") {
        return find(rest, b"0\r\n\r\n").map(|at| at + 5);
    }
    let length = head.split("content-length").nth(1).unwrap_or_default();
    let digits: String = length.chars().skip_while(|c| !c.is_ascii_digit() && *c != '\n').take_while(char::is_ascii_digit).collect();
    let length = digits.parse().unwrap_or(0);
    (rest.len() >= length).then_some(length)
}

/// Answers every request with these bytes.
pub fn says(answer: impl Into<Vec<u8>>, after: After) -> Script {
    let answer = answer.into();
    does(At::Whole, move |_, stream| {
        let _ = stream.write_all(&answer);
        after
    })
}

/// Answers every request by hand.
pub fn does(at: At, act: impl Fn(&Turn, &mut TcpStream) -> After + Send + Sync + 'static) -> Script {
    Script { at, act: Arc::new(act) }
}
