//! What a build has done so far, told in lines; fed by BuildKit's trace here and by the classic builder in `classic`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

use super::line::{Lines, clean};
use crate::model::limits::FAILURE_LOG_LINES;

/// A step's instruction is shown up to this many characters.
const MAX_STEP_CHARS: usize = 120;

/// A base image that took less was there already, whatever BuildKit's `cached` says of it (it says so only sometimes).
const PULLED: Duration = Duration::from_millis(100);

const STDOUT: i64 = 1;
const STDERR: i64 = 2;

/// One line of a build, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildLine {
    /// A step is done: `[3/6] npm ci  4.1s`, or `… cached`.
    Step(String),
    /// A line that a step printed, without escapes; it comes before its step's line.
    Output(String),
}

/// A numbered step of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// `3/6`, with the stage's name before it when there are several stages.
    pub(super) number: String,
    /// The instruction as written: `RUN npm ci`.
    pub(super) instruction: String,
}

/// What is known of a build while it runs, whichever builder it is.
pub(super) struct Progress<F> {
    on_line: F,
    /// The last lines that steps printed, for a failure's explanation.
    pub(super) tail: VecDeque<String>,
    pub(super) steps: usize,
    pub(super) cached: usize,
    /// The step that failed, or the one under way.
    pub(super) suspect: Option<Step>,
    /// An image that was being looked up when the build failed.
    pub(super) missing_image: Option<String>,
}

/// Reads BuildKit's trace: every change of a vertex, and what vertices printed.
#[derive(Default)]
pub(super) struct Trace {
    steps: HashMap<String, Step>,
    done: HashSet<String>,
    /// What each step is printing, by file descriptor: BuildKit sends the two unordered.
    output: HashMap<(String, i64), Lines>,
}

// === impl BuildLine ===

impl BuildLine {
    /// Returns the line without saying what it is.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            BuildLine::Step(text) | BuildLine::Output(text) => text,
        }
    }
}

// === impl Step ===

impl Step {
    /// Parses a name such as `[build 2/4] RUN npm ci`, as BuildKit calls its vertices.
    fn parse(name: &str) -> Option<Self> {
        let (number, instruction) = name.strip_prefix('[')?.split_once("] ")?;
        let (done, of) = number.rsplit(' ').next()?.split_once('/')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (is_number(done) && is_number(of)).then(|| Step::new(number, instruction))
    }

    pub(super) fn new(number: &str, instruction: &str) -> Self {
        let instruction = clean(instruction.lines().next().unwrap_or_default().as_bytes());
        Step { number: clean(number.as_bytes()), instruction: instruction.replacen("docker.io/library/", "", 1) }
    }

    fn is_base(&self) -> bool {
        self.instruction.starts_with("FROM ")
    }

    fn describe(&self, outcome: &str) -> String {
        let command = self.instruction.strip_prefix("RUN ").unwrap_or(&self.instruction);
        format!("[{}] {}  {outcome}", self.number, shorten(command))
    }
}

pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_STEP_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

// === impl Progress ===

impl<F: FnMut(BuildLine)> Progress<F> {
    pub(super) fn new(on_line: F) -> Self {
        Progress { on_line, tail: VecDeque::new(), steps: 0, cached: 0, suspect: None, missing_image: None }
    }

    /// A step is done: `took` is `None` when it came from the cache.
    pub(super) fn step(&mut self, step: &Step, took: Option<Duration>) {
        self.steps += 1;
        self.cached += usize::from(took.is_none());
        let outcome = took.map_or("cached".to_owned(), |took| format!("{:.1}s", took.as_secs_f64()));
        (self.on_line)(BuildLine::Step(step.describe(&outcome)));
    }

    /// A step printed a line; the last ones are kept for a failure's explanation.
    pub(super) fn output(&mut self, line: String) {
        if self.tail.len() == FAILURE_LOG_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        (self.on_line)(BuildLine::Output(line));
    }
}

// === impl Trace ===

impl Trace {
    pub(super) fn feed<F: FnMut(BuildLine)>(&mut self, status: &StatusResponse, progress: &mut Progress<F>) {
        for log in &status.logs {
            self.log(log, progress);
        }
        for vertex in &status.vertexes {
            self.vertex(vertex, progress);
        }
    }

    fn log<F: FnMut(BuildLine)>(&mut self, log: &VertexLog, progress: &mut Progress<F>) {
        if self.steps.contains_key(&log.vertex) {
            let lines = self.output.entry((log.vertex.clone(), log.stream)).or_default().push(&log.msg);
            for line in lines {
                progress.output(line);
            }
        }
    }

    fn vertex<F: FnMut(BuildLine)>(&mut self, vertex: &Vertex, progress: &mut Progress<F>) {
        let step = Step::parse(&vertex.name);
        if !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
            progress.missing_image = looked_up(&vertex.name);
            progress.suspect = step.clone().or(progress.suspect.take());
        }
        let Some(step) = step else { return };
        self.steps.insert(vertex.digest.clone(), step.clone());
        if vertex.completed.is_none() || !self.done.insert(vertex.digest.clone()) {
            return;
        }
        for stream in [STDOUT, STDERR] {
            if let Some(rest) = self.output.remove(&(vertex.digest.clone(), stream)).and_then(|mut lines| lines.finish()) {
                progress.output(rest);
            }
        }
        if vertex.error.is_empty() {
            progress.step(&step, duration(vertex).filter(|took| !step.is_base() || *took >= PULLED));
        }
    }
}

/// Returns how long a vertex ran, or `None` when it came from the cache.
fn duration(vertex: &Vertex) -> Option<Duration> {
    if vertex.cached {
        return None;
    }
    let (start, end) = (vertex.started.as_ref()?, vertex.completed.as_ref()?);
    let nanos = i128::from(end.seconds - start.seconds) * 1_000_000_000 + i128::from(end.nanos - start.nanos);
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// Returns the image that a vertex looks up: `[internal] load metadata for docker.io/library/foo:1`, `[1/2] FROM …`, `FROM …`.
fn looked_up(vertex: &str) -> Option<String> {
    let image = vertex.strip_prefix("[internal] load metadata for ").or_else(|| {
        let instruction = vertex.split_once("] ").map_or(vertex, |(_, instruction)| instruction);
        instruction.strip_prefix("FROM ")
    })?;
    let image = image.split('@').next().unwrap_or(image);
    Some(image.strip_prefix("docker.io/library/").or_else(|| image.strip_prefix("docker.io/")).unwrap_or(image).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_named_as_a_reader_of_the_dockerfile_knows_them() {
        let step = Step::parse("[build 3/6] RUN npm ci").unwrap();

        assert_eq!(step.describe("4.1s"), "[build 3/6] npm ci  4.1s");
        assert_eq!(Step::parse("[1/2] FROM docker.io/library/busybox").unwrap().describe("cached"), "[1/2] FROM busybox  cached");
        assert_eq!(Step::parse("[internal] load remote build context"), None);
        assert_eq!(Step::parse("exporting to image"), None);
    }

    #[test]
    fn an_image_that_is_looked_up_is_named_as_it_was_typed() {
        assert_eq!(looked_up("[internal] load metadata for docker.io/library/nosuch:1").as_deref(), Some("nosuch:1"));
        assert_eq!(looked_up("FROM docker.io/me/app:3").as_deref(), Some("me/app:3"));
        assert_eq!(looked_up("[a 1/2] FROM quay.io/x/y:2@sha256:ab").as_deref(), Some("quay.io/x/y:2"));
        assert_eq!(looked_up("[2/2] RUN echo FROM me"), None);
    }

    #[test]
    fn every_line_is_told_and_the_last_ones_are_kept() {
        let mut told = 0;
        let mut progress = Progress::new(|_| told += 1);

        for number in 0..1000 {
            progress.output(number.to_string());
        }

        assert_eq!((progress.tail.len(), progress.tail.back().map(String::as_str)), (FAILURE_LOG_LINES, Some("999")));
        assert_eq!(told, 1000);
    }
}
