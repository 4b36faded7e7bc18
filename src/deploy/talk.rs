//! What a deploy says: to whoever waits for it, live, and to the app's log.

use std::fmt::Display;
use std::sync::Arc;

use super::record::Record;
use crate::model::Stage;

/// A cheap clone of where a deploy's lines go. `COMMANDS.md` gives the forms: steps, results, details, failures.
#[derive(Clone)]
pub struct Talk {
    sink: Arc<dyn Fn(&str) + Send + Sync>,
    stages: Arc<dyn Fn(Stage) + Send + Sync>,
    record: Record,
}

// === impl Talk ===

impl Talk {
    pub fn new(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Talk { sink: Arc::new(sink), stages: Arc::new(drop), record: Record::default() }
    }

    /// Returns a talk that also tells where the deploy is, for those who draw it.
    #[must_use]
    pub fn with_stages(mut self, stages: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        self.stages = Arc::new(stages);
        self
    }

    /// Makes a talk that nobody hears, as for what start-up repairs.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Returns a talk that also hands each line to `other`.
    #[must_use]
    pub fn and(&self, other: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let first = self.sink.clone();
        let both = move |line: &str| {
            first(line);
            other(line);
        };
        Talk { sink: Arc::new(both), stages: self.stages.clone(), record: self.record.clone() }
    }

    /// Returns a talk whose lines are kept where those of another talk of the same deploy are.
    #[must_use]
    pub(super) fn recorded(mut self, record: &Record) -> Self {
        self.record = record.clone();
        self
    }

    /// Returns a talk that nobody hears, for what the caller is told in another way and the kept output lacks.
    #[must_use]
    pub(super) fn only_kept(&self) -> Self {
        Self::silent().recorded(&self.record)
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub fn stage(&self, stage: Stage) {
        (self.stages)(stage);
    }

    pub fn step(&self, text: impl Display) {
        self.say(&format!("-----> {text}"));
    }

    pub fn result(&self, text: impl Display) {
        self.say(&format!("=====> {text}"));
    }

    pub fn detail(&self, text: impl Display) {
        self.say(&format!("       {text}"));
    }

    pub fn failure(&self, text: impl Display) {
        self.say(&format!(" !     {text}"));
    }

    fn say(&self, line: &str) {
        self.record.say(line);
        (self.sink)(line);
    }

    /// Tells a failure whole: the cause, then its details, then one command to try.
    pub fn error(&self, err: &crate::error::Error) {
        self.failure(err.sentence());
        for line in err.detail_lines() {
            self.detail(line);
        }
        if let Some(hint) = err.next_step() {
            format!("try: {hint}").lines().for_each(|line| self.failure(line));
        }
    }
}
