//! Requests to the server itself, as curl sends them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Answer, Mini};

/// An answer that is read while it comes.
pub struct Stream {
    stream: TcpStream,
    text: String,
}

pub type Header<'a> = (&'a str, &'a str);

impl Mini {
    /// Makes an API key with the words of `tokens:create`.
    #[track_caller]
    pub fn token(&self, words: &str) -> String {
        let line = format!("tokens:create {words}");
        let said = self.local(&line.split(' ').collect::<Vec<_>>()).ok();
        said.stdout.lines().last().unwrap().to_owned()
    }

    /// Sends a request to the bare address.
    pub fn send(&self, method: &str, path: &str, headers: &[Header<'_>], body: &[u8]) -> Answer {
        self.begin(method, path, headers, body).finish()
    }

    /// `POST /v1/<word>` with arguments in JSON.
    pub fn call(&self, token: &str, word: &str, arguments: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.send("POST", &format!("/v1/{word}"), &headers, arguments.to_string().as_bytes())
    }

    /// The same, answered in lines that are read while they come.
    pub fn follow(&self, token: &str, word: &str, arguments: &Value) -> Stream {
        let bearer = format!("Bearer {token}");
        let accept = ("Accept", "application/x-ndjson");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), accept];
        self.begin("POST", &format!("/v1/{word}"), &headers, arguments.to_string().as_bytes())
    }

    /// Sends a request whole, or, with a `Transfer-Encoding` among `headers`, its beginning.
    pub fn begin(&self, method: &str, path: &str, headers: &[Header<'_>], body: &[u8]) -> Stream {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let is_given = |wanted: &str| headers.iter().any(|(name, _)| *name == wanted);
        let mut head = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".into()];
        if !is_given("Host") {
            head.push(format!("Host: {}", self.http));
        }
        if !is_given("Transfer-Encoding") && !body.is_empty() {
            head.push(format!("Content-Length: {}", body.len()));
        }
        head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        stream.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes()).unwrap();
        // A server that refuses early may close before it was all written.
        let _ = stream.write_all(body);
        Stream { stream, text: String::new() }
    }
}

impl Stream {
    /// Waits until the answer holds `text`.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.text.contains(text) {
            assert!(Instant::now() < deadline, "not said in time: {text:?}, but {}", self.text);
            assert!(self.read(), "ended without {text:?}: {}", self.text);
        }
    }

    /// Reads to the end.
    #[track_caller]
    pub fn finish(mut self) -> Answer {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.read() {
            assert!(Instant::now() < deadline, "the answer does not end: {}", self.text);
        }
        Answer::parse(&self.text)
    }

    /// Reads what there is; tells whether more may come.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 8 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.text += &String::from_utf8_lossy(&bytes[..length]);
                true
            }
            Err(err) => matches!(err.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
        }
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }

    /// The lines of an NDJSON answer.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line:?}"))).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())))?;
        Some(line.split_once(':')?.1.trim())
    }

    #[track_caller]
    pub fn has_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A problem without its request id, which is that of the header.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!((self.status, self.header("Content-Type")), (status, Some("application/problem+json")), "{self:?}");
        let mut problem = self.json();
        let id = problem.as_object_mut().unwrap().remove("request_id").unwrap();
        assert_eq!(id.as_str(), self.header("X-Request-Id"), "{self:?}");
        problem
    }
}
