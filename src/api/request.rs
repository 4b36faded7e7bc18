//! From a request's body and query to a command and its input.

use std::io;

use futures_util::TryStreamExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use serde_json::{Map, Value};
use tokio_util::io::StreamReader;

use super::problem::Problem;
use crate::command::{Command, Input, arguments_of_query, from_arguments};
use crate::error::Error;
use crate::model::limits::MAX_JSON_BYTES;

/// Reads the command that `word` is with what was sent.
///
/// `application/json` is an object of the arguments, at most [`MAX_JSON_BYTES`], with the input as the text `input`. With any other
/// type the arguments stand in the query, and the body is the input of a word that reads one: as it is, of any length.
pub(super) async fn read(word: &str, head: &Parts, body: Incoming) -> Result<(Command, Input), Problem> {
    if is_json(head) { read_json(word, head, body).await } else { read_raw(word, head, body) }
}

fn is_json(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

async fn read_json(word: &str, head: &Parts, body: Incoming) -> Result<(Command, Input), Problem> {
    if head.uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Error::usage("arguments stand in the JSON body or in the query, not in both").into());
    }
    let mut given = object(&collect(body).await?)?;
    let input = if Command::may_read_input(word) { given.remove("input") } else { None };
    let command = from_arguments(word, given)?;
    match (command.reads_input(), input) {
        (true, Some(Value::String(text))) => Ok((command, Input::new(io::Cursor::new(text)))),
        (true, None | Some(Value::Null)) => Err(Error::usage("the field `input` is missing").hint("it is the text that is read").into()),
        (_, Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            Err(Error::usage("`input` is a string").into())
        }
        (false, Some(Value::String(_))) => Err(Error::usage(format!("`{word}` reads no input with these arguments")).into()),
        (false, None | Some(Value::Null)) => Ok((command, Input::new(tokio::io::empty()))),
    }
}

async fn collect(body: Incoming) -> Result<Vec<u8>, Problem> {
    match Limited::new(body, MAX_JSON_BYTES).collect().await {
        Ok(all) => Ok(all.to_bytes().into()),
        Err(err) if err.is::<LengthLimitError>() => {
            let err = Error::usage(format!("the JSON body is over {} KiB", MAX_JSON_BYTES / 1024));
            Err(Problem::too_large(err.hint("send a long input as the body itself, with the arguments in the query")))
        }
        Err(err) => Err(Error::usage("the body was cut").because(err).into()),
    }
}

/// What serde says of a body may quote it, and it may hold a secret: only the place is told.
fn object(text: &[u8]) -> Result<Map<String, Value>, Error> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(given)) => Ok(given),
        Ok(_) => Err(Error::usage("the body is not a JSON object").hint("send {} for a word without arguments")),
        Err(err) => Err(Error::usage(format!("the body is not JSON: see line {}, column {}", err.line(), err.column()))),
    }
}

fn read_raw(word: &str, head: &Parts, body: Incoming) -> Result<(Command, Input), Problem> {
    // Told before what the query lacks: `curl -d '{…}'` sends a form unless it is told otherwise.
    if !Command::may_read_input(word) && !body.is_end_stream() {
        return Err(unread_body(word));
    }
    let pairs = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
    let command = from_arguments(word, arguments_of_query(word, pairs)?)?;
    if command.reads_input() {
        let bytes = body.into_data_stream().map_err(io::Error::other);
        return Ok((command, Input::new(StreamReader::new(bytes))));
    }
    if !body.is_end_stream() {
        return Err(unread_body(word));
    }
    Ok((command, Input::new(tokio::io::empty())))
}

fn unread_body(word: &str) -> Problem {
    let err = Error::usage(format!("`{word}` reads no input here, and arguments are sent as JSON"));
    Problem::wrong_content(err.hint("add: Content-Type: application/json"))
}
