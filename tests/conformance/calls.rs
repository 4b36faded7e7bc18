//! The words that cases of calls are written in: an app of HTTP/2, calls to it, and what it got.

use std::sync::Arc;

use super::case::Case;
use super::client::Client;
use super::frames::{DATA, END_HEADERS, END_STREAM, Field, HEADERS, Reply, WHOLE, frame, headers, open, reply};
use super::origin::After;
use super::rpc::{Heard, Script, Wire};
use super::stage::Stage;

/// The pseudo-headers of a call.
pub const CALL: [Field<'static>; 6] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "rpc.test"),
    (":path", "/echo.Echo/Say"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
];

/// What a client says that wants no answer any more.
pub const CANCEL: u32 = 8;

/// A request of HTTP/1.1 that ends its connection.
pub const PLAIN: &str = "GET /case HTTP/1.1\r\nHost: rpc.test\r\nConnection: close\r\n\r\n";

/// A case with this app, after which the next call must be answered.
pub fn rpc(name: &str, script: Option<Script>, play: impl Fn(&Stage) -> Result<(), String> + 'static) -> Case {
    Case::new(name, move |stage: &Stage| {
        stage.begin(None);
        stage.rpc.begin(script.clone());
        play(stage)?;
        let reply = call(stage, &with(":path", "/after"), b"");
        (reply.text() == "/after" && reply.is_whole).then_some(()).ok_or_else(|| format!("the next call got {reply:?}"))
    })
}

pub fn app(act: impl Fn(&mut Wire, &Heard) -> After + Send + Sync + 'static) -> Script {
    Arc::new(act)
}

/// Makes a call over HTTP/2 and returns what came back.
pub fn call(stage: &Stage, fields: &[Field<'_>], body: &[u8]) -> Reply {
    let mut client = open(stage);
    if body.is_empty() {
        client.send(headers(WHOLE, 1, fields));
    } else {
        client.send([headers(END_HEADERS, 1, fields), frame(DATA, END_STREAM, 1, body)].concat());
    }
    reply(&mut client, 1)
}

pub fn over_http1(stage: &Stage, bytes: &str) -> Client {
    let mut client = stage.connect();
    client.send(bytes);
    client.read_to_end();
    client
}

/// A call with another value of one field.
pub fn with<'a>(name: &str, value: &'a str) -> Vec<Field<'a>> {
    CALL.into_iter().map(|field| if field.0 == name { (field.0, value) } else { field }).collect()
}

pub fn requests_of(stage: &Stage) -> Vec<Heard> {
    stage.rpc.heard().into_iter().filter(|heard| heard.kind == HEADERS).collect()
}
