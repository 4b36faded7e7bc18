//! An error has a kind, a sentence, a hint and a cause; kinds map to exit codes and HTTP statuses here and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of everything that can fail towards a person.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The work was tried and did not succeed.
    Failed,
    /// The words were wrong.
    Usage,
    /// There is no such thing, or it belongs to somebody else.
    NotFound,
    /// The caller is known and may not do this.
    NotAllowed,
    /// Somebody else holds it, or it moved meanwhile.
    Busy,
    /// There is no such command.
    UnknownCommand,
    /// Something that `mini` needs (engine, git, disk) is not there now.
    Unavailable,
    /// The server's own set-up is wrong: data dir, port, schema, key.
    Setup,
    /// Another server holds the data dir.
    Locked,
}

impl Kind {
    /// Returns the process exit code of this kind (COMMANDS: 0–5 and 127; 75 and 78 as in sysexits.h).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed | Kind::Unavailable => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::NotAllowed => 4,
            Kind::Busy => 5,
            Kind::UnknownCommand => 127,
            Kind::Locked => 75,
            Kind::Setup => 78,
        }
    }

    /// Returns the HTTP status of this kind (RFC 9110 §15).
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Kind::Usage => 400,
            Kind::NotAllowed => 403,
            Kind::NotFound | Kind::UnknownCommand => 404,
            Kind::Busy => 409,
            Kind::Failed => 422,
            Kind::Unavailable => 503,
            Kind::Setup | Kind::Locked => 500,
        }
    }
}

/// A failure that can be shown to a person: sentence, details, hint. The cause is for the log.
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    sentence: String,
    details: Vec<String>,
    hint: Option<String>,
    cause: Option<Cause>,
}

// === impl Error ===

impl Error {
    /// Makes an error of `kind` with a sentence about the user's world: lower case, no full stop.
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Self {
        let inner = Inner { kind, sentence: sentence.into(), details: Vec::new(), hint: None, cause: None };
        Error { inner: Box::new(inner) }
    }

    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Failed, sentence)
    }

    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Usage, sentence)
    }

    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, sentence)
    }

    pub fn not_allowed(sentence: impl Into<String>) -> Self {
        Self::new(Kind::NotAllowed, sentence)
    }

    pub fn busy(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Busy, sentence)
    }

    pub fn unavailable(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, sentence)
    }

    pub fn setup(sentence: impl Into<String>) -> Self {
        Self::new(Kind::Setup, sentence)
    }

    /// Adds what the user can do next: one command or one sentence.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Adds the hint that there may be, such as another error's; without one the error stays as it is.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Adds lines that a person reads below the sentence, such as the last log lines.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.inner.details.extend(lines);
        self
    }

    /// Keeps the cause for the log; it never reaches a stranger.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.inner.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    #[must_use]
    pub fn sentence(&self) -> &str {
        &self.inner.sentence
    }

    #[must_use]
    pub fn detail_lines(&self) -> &[String] {
        &self.inner.details
    }

    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.inner.kind.exit_code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.sentence)
    }
}

/// Shows the sentence and every cause below it: this is what a log line holds.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.sentence)?;
        let mut cause = std::error::Error::source(self);
        while let Some(err) = cause {
            write!(f, ": {err}")?;
            cause = err.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.cause.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_sees_the_cause_and_a_person_does_not() {
        let err = Error::failed("the image could not be built").because(std::io::Error::other("socket gone"));

        assert_eq!(err.to_string(), "the image could not be built");
        assert_eq!(format!("{err:?}"), "the image could not be built: socket gone");
    }

    #[test]
    fn no_hint_leaves_the_one_that_is_there() {
        let err = Error::busy("somebody else deploys").maybe_hint(Some("wait")).maybe_hint(None::<&str>);

        assert_eq!(err.next_step(), Some("wait"));
    }
}
