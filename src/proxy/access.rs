//! One request as its app's owner is told of it: counted, and written as one line when its answer has ended.
//!
//! The form is that of Heroku's router, `method=GET path="/" host=… request_id=… fwd="…" … status=200`, and its codes are words. The
//! query stays out: it is where secrets of visitors stand.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;

use super::headers::X_REQUEST_ID;
use super::upload::UploadWatch;
use crate::model::Stamp;
use crate::model::limits::ACCESS_PATH_BYTES;
use crate::route::{AccessWriter, Ended, HostName, Meter, Seat};

/// Whatever comes of a request: what it is dropped with is counted and told.
pub(super) struct Record {
    meter: Arc<Meter>,
    id: HeaderValue,
    begun: Instant,
    first_byte: Option<Duration>,
    status: u16,
    upload: Option<Arc<UploadWatch>>,
    received_bytes: u64,
    sent_bytes: u64,
    is_complete: bool,
    is_websocket: bool,
    reason: Option<Cow<'static, str>>,
    line: Option<Line>,
}

/// What of a request is told besides the figures; missing while nobody reads.
struct Line {
    writer: AccessWriter,
    /// What its head said, and who answers.
    beginning: String,
}

/// What a line says of a request's head.
pub(super) struct Asked<'a> {
    pub head: &'a Parts,
    pub host: &'a HostName,
    /// Its address.
    pub client: &'a HeaderValue,
    pub id: HeaderValue,
}

/// In an answer's extensions: why the proxy gave it in place of the app's, in a clause.
#[derive(Clone)]
pub(super) struct Reason(pub Cow<'static, str>);

/// nginx's and Heroku's status for a client that did not wait for its answer.
const CLIENT_LEFT: u16 = 499;

const LINE_BYTES: usize = 384;

// === impl Record ===

impl Record {
    /// Begins to count a request.
    pub(super) fn begin(meter: Arc<Meter>, writer: &AccessWriter, asked: &Asked<'_>) -> Record {
        meter.begun();
        let line = writer.is_read().then(|| Line { writer: writer.clone(), beginning: asked.in_writing() });
        Record {
            meter,
            id: asked.id.clone(),
            begun: Instant::now(),
            first_byte: None,
            status: CLIENT_LEFT,
            upload: None,
            received_bytes: 0,
            sent_bytes: 0,
            is_complete: false,
            is_websocket: false,
            reason: None,
            line,
        }
    }

    /// Notes the body that the client sends.
    pub(super) fn uploads(&mut self, upload: Option<Arc<UploadWatch>>) {
        self.upload = upload;
    }

    /// Notes who answers.
    pub(super) fn seated(&mut self, seat: &Seat) {
        if let Some(line) = &mut self.line {
            push_number(&mut line.beginning, " release=v", seat.release().version().0);
            line.beginning.push_str(" upstream=");
            line.beginning.push_str(seat.address_text());
        }
    }

    /// Notes the head of the answer, whoever gave it, and gives it the request's id; what is left to come is its body.
    pub(super) fn answered<B>(&mut self, answer: &mut Response<B>) {
        self.first_byte = Some(self.begun.elapsed());
        self.status = answer.status().as_u16();
        if let Some(Reason(why)) = answer.extensions_mut().remove() {
            self.reason = Some(why);
        }
        answer.headers_mut().insert(X_REQUEST_ID, self.id.clone());
    }

    /// Notes that the request goes on as a websocket, of which is told when that has ended.
    pub(super) fn of_websocket<B>(mut self: Box<Self>, answer: &mut Response<B>) -> Box<Self> {
        self.answered(answer);
        self.is_websocket = true;
        self.is_complete = true;
        self.meter.websocket_opened();
        self
    }

    /// Counts bytes of a websocket.
    pub(super) fn relayed(&mut self, received_bytes: u64, sent_bytes: u64) {
        self.received_bytes += received_bytes;
        self.sent_bytes += sent_bytes;
    }

    /// Counts bytes of the answer's body.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// Notes that all of the answer was given.
    pub(super) fn completed(&mut self) {
        self.is_complete = true;
    }

    /// Notes that the answer ends before its time, and why.
    pub(super) fn cut(&mut self, why: &'static str) {
        self.is_complete = true;
        self.reason = Some(why.into());
    }

    fn ended(&self) -> Ended {
        let uploaded = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        Ended {
            status: self.status,
            first_byte: self.first_byte,
            received_bytes: self.received_bytes + uploaded,
            sent_bytes: self.sent_bytes,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = self.ended();
        self.meter.ended(&ended);
        if self.is_websocket {
            self.meter.websocket_closed();
        }
        let Some(Line { writer, beginning }) = self.line.take() else { return };
        let reason = if self.is_complete { self.reason.as_deref() } else { Some("the client left") };
        let total = self.begun.elapsed();
        writer.write(&self.meter, Stamp::now(), |line| {
            line.push_str(&beginning);
            finish(line, &ended, total, reason);
        });
    }
}

fn finish(line: &mut String, ended: &Ended, total: Duration, reason: Option<&str>) {
    for (name, length) in [(" first=", ended.first_byte), (" total=", Some(total))] {
        if let Some(length) = length {
            let tenths = length.as_micros() / 100;
            push_number(line, name, tenths / 10);
            push_number(line, ".", tenths % 10);
            line.push_str("ms");
        }
    }
    push_number(line, " status=", ended.status);
    push_number(line, " received=", ended.received_bytes);
    push_number(line, " bytes=", ended.sent_bytes);
    if let Some(reason) = reason {
        line.push_str(" error=\"");
        push_quoted(line, reason, usize::MAX);
        line.push('"');
    }
}

// === impl Asked ===

impl Asked<'_> {
    fn in_writing(&self) -> String {
        let mut line = String::with_capacity(LINE_BYTES);
        line.push_str("method=");
        line.push_str(self.head.method.as_str());
        line.push_str(" path=\"");
        push_quoted(&mut line, self.head.uri.path(), ACCESS_PATH_BYTES);
        line.push_str("\" host=");
        let _ = write!(line, "{}", self.host);
        line.push_str(" request_id=");
        push_quoted(&mut line, self.id.to_str().unwrap_or_default(), usize::MAX);
        line.push_str(" fwd=\"");
        line.push_str(self.client.to_str().unwrap_or_default());
        line.push('"');
        line
    }
}

/// `write!` takes several times as long, and a request has six numbers.
fn push_number(line: &mut String, name: &str, number: impl itoa::Integer) {
    line.push_str(name);
    line.push_str(itoa::Buffer::new().format(number));
}

/// Appends what a stranger wrote: what would end the quotes, break the line or be shown as something else is percent-encoded.
fn push_quoted(line: &mut String, text: &str, most_bytes: usize) {
    let shown = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b'"' && byte != b'\\';
    let end = text.floor_char_boundary(most_bytes);
    if text.as_bytes()[..end].iter().copied().all(shown) {
        line.push_str(&text[..end]);
    } else {
        for byte in text.as_bytes()[..end].iter().copied() {
            let _ = if shown(byte) { line.write_char(byte.into()) } else { write!(line, "%{byte:02X}") };
        }
    }
    if end < text.len() {
        line.push('…');
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;
    use crate::model::AppId;
    use crate::route::AccessLog;

    fn asked(method: &str, target: &str, id: &str, tell: impl FnOnce(Box<Record>) -> Box<Record>) -> (String, Arc<Meter>) {
        let (access, meter) = (AccessLog::default(), Arc::new(Meter::new(AppId::random())));
        let (mut reader, writer) = (access.read(), access.writer());
        let head = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
        let (host, id) = ("blog.localhost:81".parse().unwrap(), HeaderValue::from_str(id).unwrap());
        let asked = Asked { head: &head, host: &host, client: &HeaderValue::from_static("9.8.7.6"), id };

        let record = Box::new(Record::begin(Arc::clone(&meter), &writer, &asked));
        assert_eq!(meter.read().in_flight, 1);
        drop(tell(record));

        let batches = reader.take();
        let lines: Vec<&str> = batches.iter().flat_map(|batch| batch.lines().map(|line| line.text)).collect();
        assert_eq!(lines.len(), 1);
        (without_times(lines[0]), meter)
    }

    fn without_times(line: &str) -> String {
        let is_time = |word: &&str| word.starts_with("first=") || word.starts_with("total=");
        assert!(line.split(' ').filter(is_time).all(|word| word.ends_with("ms")));
        line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_answer_is_one_line_without_its_query_and_counts_once() {
        let (line, meter) = asked("GET", "/a/b?token=s3cret", "abc-1", |mut record| {
            let mut answer = Response::builder().status(404).body(()).unwrap();
            record.answered(&mut answer);
            assert_eq!(answer.headers()["x-request-id"], "abc-1");
            record.sent(7);
            record.sent(6);
            record.completed();
            record
        });

        assert_eq!(line, "method=GET path=\"/a/b\" host=blog.localhost:81 request_id=abc-1 fwd=\"9.8.7.6\" status=404 received=0 bytes=13");
        let reading = meter.read();
        assert_eq!((reading.classes, reading.in_flight, reading.sent_bytes), ([0, 0, 0, 1, 0], 0, 13));
        assert_eq!(reading.latency.count(), 1);
    }

    #[test]
    fn why_the_app_did_not_answer_is_told_and_so_is_a_client_that_left() {
        let (line, _) = asked("GET", "/", "1", |mut record| {
            let mut answer = Response::builder().status(504).body(()).unwrap();
            answer.extensions_mut().insert(Reason("no answer in time".into()));
            record.answered(&mut answer);
            record.completed();
            record
        });
        assert!(line.ends_with("status=504 received=0 bytes=0 error=\"no answer in time\""), "{line}");

        let (line, meter) = asked("GET", "/", "1", |record| record);
        assert!(line.ends_with("status=499 received=0 bytes=0 error=\"the client left\""), "{line}");
        assert_eq!((meter.read().classes[3], meter.read().latency.count()), (1, 0));
    }

    #[test]
    fn nothing_that_a_stranger_writes_forges_a_field_or_a_line() {
        let (line, _) = asked("GET", "/\"%20status=200|{}~", "id\"error=x", |record| record);
        assert!(line.starts_with("method=GET path=\"/%22%20status=200|{}~\" host="), "{line}");
        assert!(line.contains(" request_id=id%22error=x fwd="), "{line}");

        let long = format!("/{}", "a".repeat(5000));
        let (line, _) = asked("GET", &long, "1", |record| record);
        assert!(line.contains("aaa…\" host=") && line.len() < ACCESS_PATH_BYTES + 200, "{}", line.len());

        let mut quoted = String::new();
        push_quoted(&mut quoted, "a\\b\r\n\u{1b}[0mü", usize::MAX);
        assert_eq!(quoted, "a%5Cb%0D%0A%1B[0m%C3%BC");
    }

    #[test]
    fn a_websocket_is_told_when_it_ends() {
        let (line, meter) = asked("GET", "/ws", "1", |record| {
            let mut record = record.of_websocket(&mut Response::builder().status(101).body(()).unwrap());
            record.relayed(5, 9);
            record
        });

        assert!(line.ends_with("status=101 received=5 bytes=9"), "{line}");
        let reading = meter.read();
        assert_eq!((reading.classes[0], reading.websockets, reading.received_bytes), (1, 0, 5));
    }

    #[test]
    fn while_nobody_reads_requests_are_counted_alone() {
        let (access, meter) = (AccessLog::default(), Arc::new(Meter::new(AppId::random())));
        let head = Request::new(()).into_parts().0;
        let (host, id) = ("a.localhost".parse().unwrap(), HeaderValue::from_static("1"));

        let record = Record::begin(
            Arc::clone(&meter),
            &access.writer(),
            &Asked { head: &head, host: &host, client: &HeaderValue::from_static("127.0.0.1"), id },
        );
        assert!(record.line.is_none());
        drop(record);

        assert_eq!(meter.read().requests(), 1);
    }
}
