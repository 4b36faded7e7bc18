//! A case: a name that claims something, and the bytes that prove it. The words that tables of cases are written in.

use super::client::{Answer, End};
use super::judge::Sent;
use super::origin::{After, says};
use super::stage::{Outcome, Stage};

pub struct Case {
    pub name: String,
    play: Play,
}

type Play = Box<dyn Fn(&Stage) -> Result<(), String>>;

/// Something that must hold for the request that the origin got.
#[derive(Clone, Copy)]
pub enum Clue {
    /// This line, and no other of its name.
    Line(&'static str),
    /// No header of this name.
    No(&'static str),
    Method(&'static str),
    Target(&'static str),
    Body(&'static str),
}

/// Something that must hold for the answer that the client got.
#[derive(Clone, Copy)]
pub enum Got {
    Status(u16),
    Line(&'static str),
    No(&'static str),
    Body(&'static str),
    /// The body broke off: no client can take it for the whole.
    Cut,
    Whole,
    /// So many answers came, informational ones too.
    Answers(usize),
}

// === impl Case ===

impl Case {
    pub fn new(name: impl Into<String>, play: impl Fn(&Stage) -> Result<(), String> + 'static) -> Case {
        Case { name: name.into(), play: Box::new(play) }
    }

    /// Plays it; whatever it was, the next client must be served.
    pub fn play(&self, stage: &Stage) -> Result<(), String> {
        (self.play)(stage)?;
        stage.begin(None);
        stage.settle()
    }
}

/// The request is refused with this status, the connection ends, and the origin never gets a whole request.
pub fn refused(name: &str, status: u16, bytes: impl Into<Vec<u8>>) -> Case {
    refused_or_cut(name, status, bytes.into(), false)
}

/// The head is good and the body is not: the request is refused, or cut where its answer has begun.
pub fn broken(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    refused_or_cut(name, 400, bytes.into(), true)
}

/// A body that does not end: whatever its client is told, the origin never gets a whole request.
pub fn endless(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::new(name, move |stage| {
        stage.begin(None);
        nothing_got_through(&stage.talk(&bytes)?)
    })
}

fn refused_or_cut(name: &str, status: u16, bytes: Vec<u8>, may_cut: bool) -> Case {
    Case::new(name, move |stage| {
        stage.begin(None);
        let outcome = stage.talk(&bytes)?;
        nothing_got_through(&outcome)?;
        match &outcome.answers[..] {
            [answer] if answer.status == status => Ok(()),
            [] if may_cut => Ok(()),
            answers => Err(format!("the client got {:?} for a refusal with {status}", statuses(answers))),
        }
    })
}

fn nothing_got_through(outcome: &Outcome) -> Result<(), String> {
    if let Some(sent) = outcome.sent.first() {
        let word = if sent.target.contains("smuggled") { "SMUGGLED" } else { "passed" };
        return Err(format!("{word}: {} {}", sent.method, sent.target));
    }
    (outcome.end != End::Open).then_some(()).ok_or_else(|| "the connection was left open".into())
}

/// The request reaches the origin once, in this form, and its client gets the answer and that of the next request.
pub fn passes(name: &str, bytes: impl Into<Vec<u8>>, clues: &[Clue]) -> Case {
    let (bytes, clues) = (bytes.into(), clues.to_vec());
    Case::new(name, move |stage| {
        stage.begin(None);
        let outcome = stage.talk(&bytes)?;
        let sent = only(&outcome)?;
        match outcome.answers.iter().find(|answer| answer.status >= 200) {
            Some(answer) if answer.status == 200 => {}
            _ => return Err(format!("the client got {:?}", statuses(&outcome.answers))),
        }
        clues.iter().try_for_each(|clue| clue.hold_for(sent))
    })
}

/// Refused or forwarded, both are well; misread is not.
pub fn harmless(name: &str, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::new(name, move |stage| {
        stage.begin(None);
        let outcome = stage.talk(&bytes)?;
        match outcome.answers.first().map(|answer| answer.status) {
            Some(200..=299) => only(&outcome).map(drop),
            None | Some(400..=499 | 501 | 505) => nothing_got_through(&outcome),
            Some(status) => Err(format!("the client got {status}")),
        }
    })
}

/// An origin that answers a GET so; what must the client see.
pub fn answered(name: &str, answer: impl Into<Vec<u8>>, after: After, wants: &[Got]) -> Case {
    asked(name, get(""), answer, after, wants)
}

/// An origin that answers these bytes so; what must the client see.
pub fn asked(name: &str, bytes: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>, after: After, wants: &[Got]) -> Case {
    let (bytes, answer, wants) = (bytes.into(), answer.into(), wants.to_vec());
    Case::new(name, move |stage| {
        stage.begin(Some(says(answer.clone(), after)));
        let outcome = stage.talk(&bytes)?;
        wants.iter().try_for_each(|want| want.hold_for(&outcome.answers))
    })
}

/// A GET with one more line, or several.
pub fn get(lines: &str) -> String {
    request("GET /case HTTP/1.1", lines, "")
}

/// A POST with these lines and these bytes behind its head.
pub fn post(lines: &str, body: &str) -> String {
    request("POST /case HTTP/1.1", lines, body)
}

/// A request for the origin's host.
pub fn request(first: &str, lines: &str, body: &str) -> String {
    let lines = if lines.is_empty() { String::new() } else { format!("{lines}\r\n") };
    format!("{first}\r\nHost: a.test\r\n{lines}\r\n{body}")
}

fn only(outcome: &Outcome) -> Result<&Sent, String> {
    match &outcome.sent[..] {
        [sent] => Ok(sent),
        all => {
            let targets: Vec<_> = all.iter().map(|sent| format!("{} {}", sent.method, sent.target)).collect();
            let word = if targets.iter().any(|target| target.contains("smuggled")) { "SMUGGLED" } else { "not once" };
            Err(format!("{word}: the origin got {targets:?}, the client {:?}", statuses(&outcome.answers)))
        }
    }
}

pub fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

// === impl Clue ===

impl Clue {
    pub fn hold_for(self, sent: &Sent) -> Result<(), String> {
        let holds = match self {
            Clue::Line(line) => {
                let name = line.split(':').next().unwrap_or_default();
                sent.values(name).len() == 1 && sent.lines.iter().any(|sent| sent == line)
            }
            Clue::No(name) => sent.values(name).is_empty(),
            Clue::Method(method) => sent.method == method,
            Clue::Target(target) => sent.target == target,
            Clue::Body(body) => sent.body == body.as_bytes(),
        };
        let clue = match self {
            Clue::Line(text) | Clue::Method(text) | Clue::Target(text) | Clue::Body(text) => text.to_owned(),
            Clue::No(name) => format!("no {name}"),
        };
        holds.then_some(()).ok_or_else(|| format!("no trace of `{clue}` in {sent:?}"))
    }
}

// === impl Got ===

impl Got {
    fn hold_for(self, answers: &[Answer]) -> Result<(), String> {
        let last = answers.iter().find(|answer| answer.status >= 200 || answer.status == 101);
        let is_so = |is: &dyn Fn(&Answer) -> bool| last.is_some_and(is);
        let holds = match self {
            Got::Status(status) => is_so(&|answer| answer.status == status),
            Got::Line(line) => is_so(&|answer| answer.lines.iter().any(|got| got == line)),
            Got::No(name) => is_so(&|answer| answer.header(name).is_none()),
            Got::Body(body) => is_so(&|answer| answer.body == body.as_bytes()),
            Got::Cut => last.is_none_or(|answer| !answer.is_whole),
            Got::Whole => is_so(&|answer| answer.is_whole),
            Got::Answers(count) => answers.len() == count,
        };
        holds.then_some(()).ok_or_else(|| format!("{} is not so: {answers:?}", self.words()))
    }

    fn words(self) -> String {
        match self {
            Got::Status(status) => format!("status {status}"),
            Got::Line(line) => format!("`{line}`"),
            Got::No(name) => format!("no `{name}`"),
            Got::Body(body) => format!("the body {body:?}"),
            Got::Cut => "a cut".into(),
            Got::Whole => "a whole body".into(),
            Got::Answers(count) => format!("{count} answers"),
        }
    }
}
