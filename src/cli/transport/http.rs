//! The way to a server by its HTTP API: arguments in JSON, answers as lines of JSON with an explicit end.

use std::cell::RefCell;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::feed::{self, Feed, Feeding};
use super::problem::error_of;
use super::tls;
use super::{Ask, Show, Shown};
use crate::command::frame::MAX_PAYLOAD_BYTES;
use crate::command::{Command, End, Event, word_of};
use crate::config::HttpAddress;
use crate::error::{Error, Result};
use crate::model::Secret;
use crate::model::limits::MAX_INPUT_BYTES;

type Body = BoxBody<Bytes, std::io::Error>;

/// An answer that is no success is read up to here.
const MAX_PROBLEM_BYTES: usize = 1 << 20;

/// What a server says of itself to anybody.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerInfo {
    pub name: String,
    /// `host:port` of its SSH door.
    pub ssh: Option<String>,
    /// Its SSH host key, as it stands in `known_hosts`.
    pub host_key: Option<String>,
}

/// A request that is ready to go, and the larger input that follows it.
struct Prepared {
    path: String,
    body: Body,
    upload: Option<Upload>,
}

/// The half of an upload that stays here.
struct Upload {
    feeding: Feeding,
    to: mpsc::Sender<std::io::Result<Frame<Bytes>>>,
}

pub async fn exchange(address: &HttpAddress, key: Option<&Secret>, ask: Ask, show: Show<'_>) -> Result<u8> {
    let Ask { command, input, .. } = ask;
    let word = word_of(&command);
    if command.is_attached() {
        return Err(attached(&word));
    }
    let arguments = arguments_of(&command);
    let Prepared { path, body, upload } = prepare(&word, arguments, input).await?;
    let content = if upload.is_some() { "application/gzip" } else { "application/json" };
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, content)
        .header(header::ACCEPT, "application/x-ndjson");
    let request = with_key(request, key)?;

    let mut connection = JoinSet::new();
    let (mut sender, driver) = handshake(address).await?;
    connection.spawn(driver);
    let request = finish(request, address, body)?;
    let show = RefCell::new(show);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|err| cut(address).because(err))?;
        read_answer(address, response, &show).await
    };
    tokio::select! {
        code = answer => code,
        failed = send_upload(upload, &show) => failed,
    }
}

/// Asks what the server is. Errors: nobody answers, or it is not mini.
pub async fn server_info(address: &HttpAddress) -> Result<ServerInfo> {
    let mut connection = JoinSet::new();
    let (mut sender, driver) = handshake(address).await?;
    connection.spawn(driver);
    let request = finish(Request::builder().method(Method::GET).uri("/v1/server"), address, full(Vec::new()))?;
    let response = sender.send_request(request).await.map_err(|err| cut(address).because(err))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_PROBLEM_BYTES).collect().await;
    let body = body.map_err(|err| cut(address).because(err))?.to_bytes();
    let info = serde_json::from_slice::<ServerInfo>(&body).ok().filter(|info| status.is_success() && info.name == "mini");
    info.ok_or_else(|| error_of(if status.is_success() { StatusCode::NOT_FOUND } else { status }, b""))
}

type Handshake = (hyper::client::conn::http1::SendRequest<Body>, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>);

async fn handshake(address: &HttpAddress) -> Result<Handshake> {
    let stream = tls::connect(address).await?;
    let shaken = hyper::client::conn::http1::handshake::<_, Body>(stream).await;
    let (sender, driver) = shaken.map_err(|err| cut(address).because(err))?;
    // How the connection ended is told by the answer, or by its lack.
    Ok((sender, Box::pin(async move { drop(driver.await) })))
}

fn finish(request: hyper::http::request::Builder, address: &HttpAddress, body: Body) -> Result<Request<Body>> {
    let agent = concat!("mini/", env!("CARGO_PKG_VERSION"));
    let request = request.header(header::HOST, address.place()).header(header::USER_AGENT, agent).body(body);
    request.map_err(|err| Error::failed("the request could not be made").because(err))
}

fn with_key(request: hyper::http::request::Builder, key: Option<&Secret>) -> Result<hyper::http::request::Builder> {
    let Some(key) = key else { return Ok(request) };
    let mut value = header::HeaderValue::from_str(&format!("Bearer {}", key.expose()))
        .map_err(|_| Error::usage("this API key cannot be one: it holds strange characters"))?;
    value.set_sensitive(true);
    Ok(request.header(header::AUTHORIZATION, value))
}

/// The fields of a command as the API takes them: what is left out is not sent.
fn arguments_of(command: &Command) -> Map<String, Value> {
    let value = serde_json::to_value(command).expect("a command holds nothing that JSON cannot");
    let Value::Object(tagged) = value else { return Map::new() };
    let fields = tagged.into_iter().next().map(|(_, fields)| fields);
    let Some(Value::Object(fields)) = fields else { return Map::new() };
    fields.into_iter().filter(|(_, value)| !matches!(value, Value::Null | Value::Bool(false))).collect()
}

/// A program with a terminal needs a way that carries both directions at once.
fn attached(word: &str) -> Error {
    Error::usage(format!("`{word}` needs a connection both ways, which the API does not give"))
        .hint("use ssh: mini config set-host ssh://…, or `ssh mini …`")
}

/// A source travels as the body beside its arguments; every other input is a field among them.
async fn prepare(word: &str, mut arguments: Map<String, Value>, input: Option<Feed>) -> Result<Prepared> {
    let path = format!("/v1/{word}");
    match input {
        Some(input) if word == "deploy" => {
            arguments.remove("input");
            let (to, pieces) = mpsc::channel(1);
            let body = BodyExt::boxed(StreamBody::new(ReceiverStream::new(pieces)));
            Ok(Prepared {
                path: format!("{path}?{}", query_of(&arguments)),
                body,
                upload: Some(Upload { feeding: feed::start(input), to }),
            })
        }
        Some(input) => {
            let text = feed::start(input).text(MAX_INPUT_BYTES).await?;
            arguments.insert("input".into(), Value::String(text));
            Ok(Prepared { path, body: json(&arguments), upload: None })
        }
        None => Ok(Prepared { path, body: json(&arguments), upload: None }),
    }
}

fn json(arguments: &Map<String, Value>) -> Body {
    full(serde_json::to_vec(arguments).expect("arguments are JSON already"))
}

fn full(bytes: Vec<u8>) -> Body {
    BodyExt::boxed(Full::new(Bytes::from(bytes)).map_err(|never| match never {}))
}

fn query_of(arguments: &Map<String, Value>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in arguments {
        match value {
            Value::String(text) => query.append_pair(name, text),
            other => query.append_pair(name, &other.to_string()),
        };
    }
    query.finish()
}

/// Sends the source while the answer is awaited. It ends only when the source cannot be made whole.
async fn send_upload(upload: Option<Upload>, show: &RefCell<Show<'_>>) -> Result<u8> {
    let Some(Upload { mut feeding, to }) = upload else { return std::future::pending().await };
    loop {
        match feeding.next().await {
            Ok(Some(piece)) => {
                // A server that takes no more has answered already.
                if to.send(Ok(Frame::data(piece.into()))).await.is_err() {
                    return std::future::pending().await;
                }
            }
            Ok(None) => break,
            Err(err) => {
                let _ = to.send(Err(std::io::Error::other("the source could not be made whole"))).await;
                return Err(err);
            }
        }
    }
    // One place in the channel: once it is free, the last piece is on its way.
    if to.reserve().await.is_ok() {
        show.borrow_mut()(Shown::Sent);
    }
    drop(to);
    std::future::pending().await
}

async fn read_answer(address: &HttpAddress, response: Response<Incoming>, show: &RefCell<Show<'_>>) -> Result<u8> {
    let status = response.status();
    if !status.is_success() {
        let body = Limited::new(response.into_body(), MAX_PROBLEM_BYTES).collect().await;
        return Err(error_of(status, &body.map(http_body_util::Collected::to_bytes).unwrap_or_default()));
    }
    let mut body = response.into_body().into_data_stream();
    let mut waiting = Vec::new();
    while let Some(piece) = body.next().await {
        waiting.extend_from_slice(&piece.map_err(|err| cut(address).because(err))?);
        let mut start = 0;
        while let Some(length) = waiting[start..].iter().position(|&byte| byte == b'\n') {
            let line = &waiting[start..start + length];
            start += length + 1;
            match read_line(address, line)? {
                Line::Shown(shown) => show.borrow_mut()(shown),
                Line::Nothing => {}
                Line::End(End { code, error: None }) => return Ok(code),
                Line::End(end) => return end.into_result().map(|()| 0),
            }
        }
        waiting.drain(..start);
        if waiting.len() > MAX_PAYLOAD_BYTES {
            return Err(strange(address));
        }
    }
    Err(cut(address))
}

/// One line of an answer.
enum Line {
    Shown(Shown),
    End(End),
    /// A blank one keeps a quiet connection open.
    Nothing,
}

fn read_line(address: &HttpAddress, line: &[u8]) -> Result<Line> {
    if line.trim_ascii().is_empty() {
        return Ok(Line::Nothing);
    }
    let wrong = |err: serde_json::Error| strange(address).because(err);
    let mut fields: Map<String, Value> = serde_json::from_slice(line).map_err(wrong)?;
    if let Some(value) = fields.remove("value") {
        return serde_json::from_value(value).map(|answer| Line::Shown(Shown::Value(answer))).map_err(wrong);
    }
    if let Some(end) = fields.remove("end") {
        return serde_json::from_value(end).map(Line::End).map_err(wrong);
    }
    serde_json::from_value::<Event>(Value::Object(fields)).map(|event| Line::Shown(Shown::Event(event))).map_err(wrong)
}

/// An answer without its end is none, whatever it said before.
fn cut(address: &HttpAddress) -> Error {
    Error::unavailable(format!("the connection to {} was cut", address.place())).hint("try again; see how the server is: mini status")
}

fn strange(address: &HttpAddress) -> Error {
    Error::failed(format!("the server at {} answers in words that this client does not know", address.place()))
        .hint("use the same version on both sides")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Asked, parse_words};

    fn command(line: &str) -> Command {
        match parse_words(&shlex::split(line).unwrap()).unwrap() {
            Asked::Do { command, .. } => command,
            Asked::Help(_) => panic!("{line}"),
        }
    }

    fn address() -> HttpAddress {
        HttpAddress { is_tls: false, host: "box".into(), port: 80 }
    }

    #[test]
    fn arguments_are_the_commands_fields_without_those_left_out() {
        let arguments = arguments_of(&command("logs blog -n 5"));

        assert_eq!(Value::Object(arguments), serde_json::json!({"app": "blog", "lines": 5}));
        assert!(arguments_of(&command("whoami")).is_empty());
    }

    #[tokio::test]
    async fn a_source_goes_as_the_body_with_its_arguments_in_the_query() {
        let feed: Feed = Box::new(|_| Ok(()));

        let prepared = prepare("deploy", arguments_of(&command("deploy blog - -m 'a & b' --no-cache")), Some(feed)).await.unwrap();

        assert_eq!(prepared.path, "/v1/deploy?app=blog&message=a+%26+b&no_cache=true");
        assert!(prepared.upload.is_some());
    }

    #[tokio::test]
    async fn a_small_input_is_a_field() {
        let prepared =
            prepare("keys:add", arguments_of(&command("keys:add anna -")), Some(feed::of_reader(&b"ssh-ed25519 x"[..]))).await.unwrap();

        let body = prepared.body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, serde_json::json!({"name": "anna", "role": "deploy", "apps": [], "input": "ssh-ed25519 x"}));
    }

    #[test]
    fn lines_are_values_events_and_an_end() {
        let line = |text: &str| read_line(&address(), text.as_bytes());

        assert!(matches!(line(r#"{"value":{"text":"x"}}"#), Ok(Line::Shown(Shown::Value(_)))));
        assert!(matches!(line(r#"{"stage":"building"}"#), Ok(Line::Shown(Shown::Event(Event::Stage(_))))));
        assert!(matches!(line(r#"{"talk":"x"}"#), Ok(Line::Shown(Shown::Event(Event::Talk(_))))));
        assert!(matches!(line(r#"{"end":{"code":7}}"#), Ok(Line::End(End { code: 7, error: None }))));
        assert!(matches!(line(" \r"), Ok(Line::Nothing)));
        for strange in ["{}", "[]", "x", r#"{"dance":1}"#, "\u{fffd}"] {
            assert_eq!(line(strange).err().unwrap().exit_code(), 1, "{strange}");
        }
    }
}
