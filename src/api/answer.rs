//! A reply as an HTTP answer: JSON at its end for those who wait, lines as they come for those who ask for them.

use std::collections::VecDeque;

use hyper::header::ACCEPT;
use hyper::{HeaderMap, Response};
use serde::Serialize;
use tokio_util::sync::DropGuard;

use super::problem::Problem;
use super::{Body, JSON, NDJSON, lines, response, whole};
use crate::command::{Answer, Check, Command, Event, Lines, Look, Released, Reply, render_answer};
use crate::error::Error;

/// Lines of talk that a plain answer keeps, and those that a problem shows.
const KEPT_TALK: usize = 1000;
const SHOWN_TALK: usize = 50;

/// How a reply is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON value, when all is done.
    Whole,
    /// Log records, or lines of output, as one JSON array, written as they come: there may be more of them than memory.
    Records,
    /// One event a line, at once, and always an end (NDJSON).
    Lines,
}

/// What a stream came to, for those who did not watch it.
#[derive(Default, Serialize)]
struct Story {
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<Released>,
    said: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
    /// The last [`KEPT_TALK`] lines.
    talk: VecDeque<String>,
}

// === impl Form ===

impl Form {
    /// Chooses by what the client accepts; a stream without an end is lines in any case.
    pub fn of(headers: &HeaderMap, command: &Command) -> Form {
        let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        if command.is_endless() || accepted.any(|list| list.to_ascii_lowercase().contains("application/x-ndjson")) {
            return Form::Lines;
        }
        let is_records = matches!(command, Command::Logs { .. } | Command::BuildsOutput { .. } | Command::ReleasesOutput { .. });
        if is_records { Form::Records } else { Form::Whole }
    }
}

/// Turns a reply into an answer. `here` is told when the client leaves: it lives as long as the body.
pub(super) async fn answer(reply: Reply, form: Form, here: DropGuard) -> Result<Response<Body>, Problem> {
    match (reply, form) {
        (Reply::Value(answer), Form::Lines) => Ok(response(NDJSON, whole(lines::of_value(&answer)))),
        (Reply::Value(answer), _) => Ok(value(&answer)),
        (Reply::Lines(events), Form::Lines) => Ok(response(NDJSON, lines::of_events(events, here))),
        (Reply::Lines(events), Form::Records) => Ok(response(JSON, lines::of_records(events, here).await?)),
        (Reply::Lines(events), Form::Whole) => story(events).await,
        (Reply::Attached(_), _) => Err(needs_a_terminal().into()),
    }
}

/// The same JSON as `--json`.
fn value(answer: &Answer) -> Response<Body> {
    response(JSON, whole(render_answer(answer, &Look::plain(true))))
}

/// What an attached word is told here, before anything is started.
pub(super) fn needs_a_terminal() -> Error {
    Error::usage("this word needs a terminal or pipes").hint("use ssh, or `mini` over ssh")
}

async fn story(mut events: Lines) -> Result<Response<Body>, Problem> {
    let mut story = Story::default();
    while let Some(event) = events.recv().await {
        match event {
            Ok(Event::Talk(line)) => story.keep(line),
            Ok(Event::Log(record)) => story.keep(record.to_string()),
            Ok(Event::Say(text)) => story.said.push(text),
            Ok(Event::Released(released)) => story.released = Some(released),
            Ok(Event::Stage(_)) => {}
            Ok(Event::Check(check)) => story.checks.push(check),
            Err(err) => {
                story.checks.iter().map(Check::in_words).for_each(|check| story.talk.push_back(check));
                let skipped = story.talk.len().saturating_sub(SHOWN_TALK);
                return Err(Problem::from(err).after(story.talk.into_iter().skip(skipped).collect()));
            }
        }
    }
    let text = serde_json::to_string(&story).expect("a story holds nothing that JSON cannot") + "\n";
    Ok(response(JSON, whole(text)))
}

// === impl Story ===

impl Story {
    fn keep(&mut self, line: String) {
        if self.talk.len() == KEPT_TALK {
            self.talk.pop_front();
        }
        self.talk.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use hyper::header::HeaderValue;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::error::Result;

    fn reply(events: Vec<Result<Event>>) -> Reply {
        let (sender, lines) = mpsc::channel(events.len().max(1));
        for event in events {
            sender.try_send(event).unwrap();
        }
        Reply::Lines(lines)
    }

    async fn body_of(events: Vec<Result<Event>>, form: Form) -> String {
        let here = CancellationToken::new().drop_guard();
        let answer = match answer(reply(events), form, here).await {
            Ok(answer) => answer,
            Err(problem) => problem.into_response("r1"),
        };
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    fn talk(text: &str) -> Event {
        Event::Talk(text.into())
    }

    #[tokio::test]
    async fn who_waits_gets_the_story_and_who_listens_gets_the_lines() {
        let events = || vec![Ok(talk("-----> Building")), Ok(Event::Say("Released v2.".into()))];

        assert_eq!(body_of(events(), Form::Whole).await, "{\"said\":[\"Released v2.\"],\"talk\":[\"-----> Building\"]}\n");
        let lines = "{\"talk\":\"-----> Building\"}\n{\"say\":\"Released v2.\"}\n{\"end\":{\"code\":0}}\n";
        assert_eq!(body_of(events(), Form::Lines).await, lines);
    }

    #[tokio::test]
    async fn a_failure_is_told_in_both_forms() {
        let events = || vec![Ok(talk("one")), Err(Error::failed("the build failed").details(["line".to_owned()]).hint("look"))];

        let problem: serde_json::Value = serde_json::from_str(&body_of(events(), Form::Whole).await).unwrap();

        let expected = serde_json::json!({
            "type": "about:blank", "title": "Unprocessable Entity", "status": 422, "detail": "the build failed", "kind": "failed",
            "code": 1, "hint": "look", "details": ["line"], "talk": ["one"], "request_id": "r1",
        });
        assert_eq!(problem, expected);
        let end = "{\"end\":{\"code\":1,\"error\":{\"kind\":\"failed\",\
                   \"sentence\":\"the build failed\",\"details\":[\"line\"],\"hint\":\"look\"}}}\n";
        assert_eq!(body_of(events(), Form::Lines).await, format!("{{\"talk\":\"one\"}}\n{end}"));
    }

    #[tokio::test]
    async fn long_talk_is_cut_at_its_beginning() {
        let events = (0..KEPT_TALK + 5).map(|number| Ok(talk(&number.to_string()))).collect();

        let story: serde_json::Value = serde_json::from_str(&body_of(events, Form::Whole).await).unwrap();

        assert_eq!(story["talk"].as_array().unwrap().len(), KEPT_TALK);
        assert_eq!(story["talk"][0], "5");
    }

    #[test]
    fn lines_are_for_those_who_ask_and_for_what_never_ends() {
        let logs = |follow| Command::Logs { app: "blog".parse().unwrap(), follow, lines: 1, process: None, source: None, since: None };
        let mut headers = HeaderMap::new();
        assert_eq!(Form::of(&headers, &Command::Apps), Form::Whole);
        assert_eq!(Form::of(&headers, &logs(false)), Form::Records);
        assert_eq!(Form::of(&headers, &logs(true)), Form::Lines);

        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(Form::of(&headers, &Command::Apps), Form::Whole);
        headers.append(ACCEPT, HeaderValue::from_static("application/X-ndjson"));
        assert_eq!(Form::of(&headers, &Command::Apps), Form::Lines);
    }
}
