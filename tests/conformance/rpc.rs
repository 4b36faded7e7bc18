//! The app behind the proxy that speaks HTTP/2 alone, in frames by hand (RFC 9113): what came in is kept, and the case at hand answers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::client::PATIENCE;
use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WHOLE, frame, frames, headers};
use super::hpack::{Decoder, Fields, value};
use super::origin::After;

/// An app that listens until the test's process ends.
pub struct Rpc {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    script: Option<Script>,
    heard: Vec<Heard>,
    /// Connections that the proxy has not closed.
    open: usize,
}

/// Answers a request, whose headers are here.
pub type Script = Arc<dyn Fn(&mut Wire, &Heard) -> After + Send + Sync>;

/// A frame that came in.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Counts the app's connections.
    pub connection: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
    /// Of HEADERS.
    pub fields: Fields,
}

/// One connection from the proxy.
pub struct Wire {
    number: usize,
    stream: TcpStream,
    bytes: Vec<u8>,
    decoder: Decoder,
    shared: Arc<Shared>,
}

// === impl Rpc ===

impl Rpc {
    pub fn start() -> Rpc {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let _ = stream.set_nodelay(true);
                let shared = Arc::clone(&theirs);
                let mut wire = Wire { number, stream, bytes: Vec::new(), decoder: Decoder::default(), shared };
                thread::spawn(move || {
                    wire.shared.now.lock().unwrap().open += 1;
                    wire.serve();
                    wire.shared.now.lock().unwrap().open -= 1;
                });
            }
        });
        Rpc { address, shared }
    }

    /// Forgets what was heard and answers with `script` from now on; without one, every call gets its own path and a status of 0. What
    /// begins with `/after` is always answered so.
    pub fn begin(&self, script: Option<Script>) {
        let mut now = self.shared.now.lock().unwrap();
        now.script = script;
        now.heard.clear();
    }

    /// Returns what came in.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.now.lock().unwrap().heard.clone()
    }

    /// Returns how many connections it has.
    pub fn open(&self) -> usize {
        self.shared.now.lock().unwrap().open
    }

    /// Waits until what came in is as wanted.
    pub fn eventually(&self, what: &str, is_so: impl Fn(&[Heard]) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut now = self.shared.now.lock().unwrap();
        while !is_so(&now.heard) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("the app never saw this: {what}; it saw {:?}", now.heard));
            }
            now = self.shared.changed.wait_timeout(now, left).unwrap().0;
        }
        Ok(())
    }
}

// === impl Heard ===

impl Heard {
    pub fn value(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

// === impl Wire ===

impl Wire {
    fn serve(&mut self) {
        while self.bytes.len() < PREFACE.len() {
            if !self.read() {
                return;
            }
        }
        if !self.bytes.starts_with(PREFACE) {
            return;
        }
        self.bytes.drain(..PREFACE.len());
        self.send(frame(SETTINGS, 0, 0, &[]));
        while let Some(request) = self.next() {
            if request.kind != HEADERS || request.value(":path").is_none() {
                continue;
            }
            let script = self.shared.now.lock().unwrap().script.clone();
            let script = script.filter(|_| !request.value(":path").is_some_and(|path| path.starts_with("/after")));
            let after = match script {
                Some(script) => script(self, &request),
                None => plainly(self, &request),
            };
            match after {
                After::Keep => {}
                After::Listen => while self.next().is_some() {},
                After::Close => {
                    let _ = self.stream.shutdown(Shutdown::Write);
                    while self.read() {}
                    return;
                }
                After::Reset => {
                    let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                    return;
                }
            }
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Returns the next frame, answering settings and pings; `None`: the proxy ended the connection.
    pub fn next(&mut self) -> Option<Heard> {
        loop {
            let whole = frames(&self.bytes).into_iter().next().map(|frame| {
                let fields = if frame.kind == HEADERS { self.decoder.read(frame.payload) } else { None };
                Heard {
                    connection: self.number,
                    kind: frame.kind,
                    flags: frame.flags,
                    stream: frame.stream,
                    payload: frame.payload.to_vec(),
                    fields: fields.unwrap_or_default(),
                }
            });
            let Some(heard) = whole else {
                self.read().then_some(())?;
                continue;
            };
            self.bytes.drain(..9 + heard.payload.len());
            if matches!(heard.kind, SETTINGS | PING) && heard.flags & 1 == 0 {
                let payload = if heard.kind == PING { &heard.payload[..] } else { &[] };
                self.send(frame(heard.kind, 1, 0, payload));
            }
            self.shared.now.lock().unwrap().heard.push(heard.clone());
            self.shared.changed.notify_all();
            return Some(heard);
        }
    }

    /// Returns how many requests the app got in this case.
    pub fn requests(&self) -> usize {
        self.shared.now.lock().unwrap().heard.iter().filter(|heard| heard.kind == HEADERS).count()
    }

    /// Returns the next frame of a kind.
    pub fn next_of(&mut self, kind: u8) -> Option<Heard> {
        loop {
            let heard = self.next()?;
            if heard.kind == kind {
                return Some(heard);
            }
        }
    }

    /// Reads on until the request is whole, or reset; returns its body.
    pub fn body_of(&mut self, request: &Heard) -> Vec<u8> {
        let (mut body, mut is_whole) = (Vec::new(), request.ends_stream());
        while !is_whole && let Some(heard) = self.next() {
            if heard.stream == request.stream {
                body.extend((heard.kind == DATA).then_some(&heard.payload).into_iter().flatten());
                is_whole = heard.ends_stream() || heard.kind == RST_STREAM;
            }
        }
        body
    }

    fn read(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        let read = self.stream.read(&mut piece).unwrap_or(0);
        self.bytes.extend_from_slice(&piece[..read]);
        read > 0
    }
}

fn plainly(wire: &mut Wire, request: &Heard) -> After {
    wire.body_of(request);
    let path = request.value(":path").unwrap_or_default().to_owned();
    let is_sent = wire.send(answer(request.stream, path.as_bytes(), &[("grpc-status", "0")]));
    if is_sent { After::Keep } else { After::Close }
}

/// An answer of gRPC: a 200, a body, and how it went behind it.
pub fn answer(stream: u32, body: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    [head(END_HEADERS, stream), frame(DATA, 0, stream, body), headers(WHOLE, stream, trailers)].concat()
}

/// The head of such an answer.
pub fn head(flags: u8, stream: u32) -> Vec<u8> {
    headers(flags, stream, &[(":status", "200"), ("content-type", "application/grpc")])
}
