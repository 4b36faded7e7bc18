//! What git's hooks ask of the server, and what they are answered.

use std::fmt;
use std::path::PathBuf;

use crate::command::{Listener, Teller, backlog};
use crate::model::CommitId;
use crate::model::limits::MAX_LINE_BYTES;

/// Whoever decides about a push. git calls it twice: before it keeps the objects, and before it moves a ref.
pub trait PushHandler: Send {
    /// Decides about the whole push, while its objects are in quarantine and everything can still be thrown away.
    fn pre_receive(&mut self, push: PushRequest, out: HookOutput) -> impl Future<Output = Verdict> + Send;

    /// Decides about one ref of an accepted push; the objects are permanent now, the ref moves right after.
    fn update(&mut self, update: RefUpdate, out: HookOutput) -> impl Future<Output = Verdict> + Send;
}

/// Everything that one push wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRequest {
    pub updates: Vec<RefUpdate>,
    /// Where git keeps the new objects until the push is accepted (git-receive-pack(1), "Quarantine environment").
    pub quarantine: Option<PathBuf>,
    /// The `-o` options, as they came: see [`PushOptions`](super::PushOptions).
    pub options: Vec<String>,
}

/// One ref that a push wants to make, move or delete. The name is a stranger's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefUpdate {
    pub name: String,
    /// `None`: the ref is new.
    pub old: Option<CommitId>,
    /// `None`: the ref goes away. The id may be of any object, not only of a commit.
    pub new: Option<CommitId>,
}

/// A hook's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Reject,
}

/// Sends lines to the pusher, who reads them as `remote: …` while the hook runs. Lines after the verdict go nowhere.
#[derive(Clone)]
pub struct HookOutput {
    lines: Teller<String>,
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Verdict::Accept => 0,
            Verdict::Reject => 1,
        }
    }
}

// === impl HookOutput ===

impl HookOutput {
    /// Makes an output and the end at which its lines arrive.
    pub fn channel() -> (HookOutput, Listener<String>) {
        let (lines, arriving) = backlog();
        (HookOutput { lines }, arriving)
    }

    /// Sends a line, or several. Control characters are dropped: the terminal at the other end is somebody's.
    pub fn line(&self, text: impl AsRef<str>) {
        for line in text.as_ref().split('\n') {
            let end = line.floor_char_boundary(MAX_LINE_BYTES);
            let plain: String = line[..end].chars().filter(|c| *c == '\t' || !c.is_control()).collect();
            let bytes = plain.len();
            // Nobody listens after the verdict, and nobody needs to.
            self.lines.tell(plain, bytes);
        }
    }
}

impl fmt::Debug for HookOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookOutput")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_arrive_one_by_one_without_control_characters() {
        let (out, mut lines) = HookOutput::channel();

        out.line("-----> Building\n\tü\u{1b}[31m\r");
        out.clone().line("x".repeat(MAX_LINE_BYTES + 1));

        let lines = lines.next().await.unwrap().items;
        assert_eq!(lines[..2], ["-----> Building", "\tü[31m"]);
        assert_eq!(lines[2].len(), MAX_LINE_BYTES);
    }
}
