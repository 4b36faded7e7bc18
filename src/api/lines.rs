//! Bodies that are written as they come: NDJSON with an end that always comes, and arrays of log records.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use tokio_util::sync::DropGuard;

use super::Body;
use crate::command::{Answer, End, Event, Lines};
use crate::error::Result;

/// Events that are there already leave together, up to about this many bytes.
const BATCH_BYTES: usize = 32 << 10;

type Chunk = io::Result<Frame<Bytes>>;

/// One line of an answer.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Value(&'a Answer),
    End(End),
    #[serde(untagged)]
    Event(&'a Event),
}

/// A stream of events on its way. Dropped when the client leaves, which tells the command.
struct Telling {
    events: Lines,
    _here: DropGuard,
}

/// Writes a value and its end.
pub(super) fn of_value(answer: &Answer) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text, &Line::Value(answer));
    write(&mut text, &Line::End(End::of(&Ok(()))));
    text
}

/// Writes each event as a line as soon as it comes, and the end as the last one.
pub(super) fn of_events(events: Lines, here: DropGuard) -> Body {
    let chunks = stream::unfold(Some(Telling { events, _here: here }), |telling| async {
        let mut telling = telling?;
        let mut text = Vec::new();
        let mut next = telling.events.recv().await;
        loop {
            match next {
                Some(Ok(event)) => write(&mut text, &Line::Event(&event)),
                end => {
                    let result = end.map_or(Ok(()), |failed| failed.map(drop));
                    write(&mut text, &Line::End(End::of(&result)));
                    return Some((Chunk::Ok(chunk(text)), None));
                }
            }
            if text.len() >= BATCH_BYTES {
                return Some((Ok(chunk(text)), Some(telling)));
            }
            let Ok(more) = telling.events.try_recv() else { return Some((Ok(chunk(text)), Some(telling))) };
            next = Some(more);
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}

/// Writes log records as one JSON array. A failure after the first one cuts the connection: nothing else could be told by then.
pub(super) async fn of_records(mut events: Lines, here: DropGuard) -> Result<Body> {
    let Some(first) = events.recv().await.transpose()? else { return Ok(super::whole("[]\n")) };
    let opening = [&b"["[..], &record(&first)].concat();
    let rest = stream::unfold((opening, Some(Telling { events, _here: here })), |(text, telling)| async {
        let mut telling = telling?;
        let (next, telling) = match telling.events.recv().await {
            Some(Ok(event)) => ([&b",\n"[..], &record(&event)].concat(), Some(telling)),
            Some(Err(err)) => {
                tracing::debug!(?err, "a list of records is cut");
                return Some((Err(io::Error::other(err)), (Vec::new(), None)));
            }
            None => return Some((Ok(chunk([&text[..], b"]\n"].concat())), (Vec::new(), None))),
        };
        Some((Chunk::Ok(chunk(text)), (next, telling)))
    });
    Ok(StreamBody::new(rest).boxed_unsync())
}

/// A record, as the command line's `--json` has it.
fn record(event: &Event) -> Vec<u8> {
    let written = match event {
        Event::Log(record) => serde_json::to_vec(record),
        Event::Say(text) => serde_json::to_vec(&serde_json::json!({ "message": text })),
        other => serde_json::to_vec(other),
    };
    written.expect("events hold nothing that JSON cannot")
}

fn chunk(text: Vec<u8>) -> Frame<Bytes> {
    Frame::data(text.into())
}

fn write(text: &mut Vec<u8>, line: &Line<'_>) {
    serde_json::to_writer(&mut *text, line).expect("answers hold nothing that JSON cannot");
    text.push(b'\n');
}
