//! Releases and the stages of the deploys that make them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CommitId;
use crate::error::{Error, Result};

/// A release's number within its app: `v1`, `v2`, … never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(pub u32);

/// What made a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseKind {
    Push,
    Upload,
    Image,
    Rebuild,
    Config,
    Rollback,
}

/// The commit that a release's source is, and whose it is: what the deploy branch has to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub commit: CommitId,
    /// Made by mini of an upload: no branch of anybody holds it. Else somebody's own, and the deploy branch stands on it while it is live.
    pub is_recorded: bool,
}

/// Where a release stands. `Starting` and `Live` have containers, `Draining` still has, the others have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    Starting,
    Live,
    Draining,
    Retired,
    Failed,
}

/// Where one process of a release stands. `Starting` and `Leaving` ones of a live release are a change under way: a start of mini undoes
/// the one and ends the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    Starting,
    Serving,
    Leaving,
}

/// The steps of a deploy's journal; each is committed before the side effect that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Queued,
    Sourced,
    Building,
    Built,
    Starting,
    Probing,
    Stored,
    Live,
    Draining,
    Done,
    Failed,
}

// === impl Revision ===

impl Revision {
    /// Makes the revision of a commit that somebody has in a branch.
    #[must_use]
    pub fn pushed(commit: CommitId) -> Self {
        Revision { commit, is_recorded: false }
    }

    /// Makes the revision of a commit that mini made of an upload.
    #[must_use]
    pub fn recorded(commit: CommitId) -> Self {
        Revision { commit, is_recorded: true }
    }
}

// === impl Version ===

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number =
            text.strip_prefix('v').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).and_then(|digits| digits.parse().ok());
        match number {
            Some(number) if number > 0 => Ok(Version(number)),
            _ => Err(Error::usage(format!("`{}` is not a release", text.escape_debug())).hint("releases are called v1, v2, …")),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}", self.0))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

word_enum! {
    ReleaseKind {
        Push = "push", Upload = "upload", Image = "image", Rebuild = "rebuild", Config = "config", Rollback = "rollback",
    }
    ReleaseState { Starting = "starting", Live = "live", Draining = "draining", Retired = "retired", Failed = "failed" }
    ProcessState { Starting = "starting", Serving = "serving", Leaving = "leaving" }
    Stage {
        Queued = "queued", Sourced = "sourced", Building = "building", Built = "built", Starting = "starting",
        Probing = "probing", Stored = "stored", Live = "live", Draining = "draining", Done = "done", Failed = "failed",
    }
}
