//! What a deploy says: to whoever waits for it, live, and to the app's log.

use std::fmt::Display;
use std::sync::Arc;

use crate::model::Stage;

/// A cheap clone of where a deploy's lines go. `COMMANDS.md` gives the forms: steps, results, details, failures.
#[derive(Clone)]
pub struct Talk {
    sink: Arc<dyn Fn(&str) + Send + Sync>,
    stages: Arc<dyn Fn(Stage) + Send + Sync>,
}

// === impl Talk ===

impl Talk {
    pub fn new(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Talk { sink: Arc::new(sink), stages: Arc::new(drop) }
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
        Talk { sink: Arc::new(both), stages: self.stages.clone() }
    }

    pub fn stage(&self, stage: Stage) {
        (self.stages)(stage);
    }

    pub fn step(&self, text: impl Display) {
        (self.sink)(&format!("-----> {text}"));
    }

    pub fn result(&self, text: impl Display) {
        (self.sink)(&format!("=====> {text}"));
    }

    pub fn detail(&self, text: impl Display) {
        (self.sink)(&format!("       {text}"));
    }

    pub fn failure(&self, text: impl Display) {
        (self.sink)(&format!(" !     {text}"));
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
