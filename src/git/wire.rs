//! What a hook tells the server in its first frame, and how the server checks it: refs and options are a stranger's data.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::quarantine;
use super::{PushRequest, RefUpdate};
use crate::command::frame::Frame;
use crate::error::{Error, Result};
use crate::model::CommitId;
use crate::model::limits::{MAX_PUSH_OPTION_BYTES, MAX_PUSH_OPTIONS, MAX_PUSH_REFS};

/// Kinds of frames on a hook's socket: the hook says hello, the server sends output and in the end the exit code.
pub(super) const HELLO: u8 = b'H';
pub(super) const OUTPUT: u8 = b'O';
pub(super) const EXIT: u8 = b'X';

/// A hook's first and only frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hello {
    PreReceive {
        updates: Vec<WireUpdate>,
        /// The folder's name below `objects`, not its path: the server knows where its repositories are.
        quarantine: Option<String>,
        options: Vec<String>,
    },
    Update(WireUpdate),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireUpdate {
    pub(super) name: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// A hello that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    PreReceive(PushRequest),
    Update(RefUpdate),
}

// === impl Hello ===

impl Hello {
    pub(super) fn frame(&self) -> Result<Frame> {
        let json = serde_json::to_vec(self).map_err(|err| Error::failed("the hook could not speak").because(err))?;
        Ok(Frame::new(HELLO, json))
    }

    /// Reads and checks a frame; `repo` is where the push goes.
    pub(super) fn read(frame: &Frame, repo: &Path) -> Result<Call> {
        if frame.kind != HELLO {
            return Err(Error::failed("the hook did not say what it wants"));
        }
        let hello: Hello =
            serde_json::from_slice(&frame.payload).map_err(|err| Error::failed("the hook could not be understood").because(err))?;
        match hello {
            Hello::Update(update) => update.check().map(Call::Update),
            Hello::PreReceive { updates, quarantine, options } => {
                check_counts(&updates, &options)?;
                let updates = updates.into_iter().map(WireUpdate::check).collect::<Result<_>>()?;
                let quarantine = quarantine.map(|name| quarantine::path(repo, &name)).transpose()?;
                Ok(Call::PreReceive(PushRequest { updates, quarantine, options }))
            }
        }
    }
}

// === impl WireUpdate ===

impl WireUpdate {
    fn check(self) -> Result<RefUpdate> {
        Ok(RefUpdate { old: object_id(&self.old)?, new: object_id(&self.new)?, name: self.name })
    }
}

/// git writes "no object" as zeros.
fn object_id(text: &str) -> Result<Option<CommitId>> {
    if text.len() == 40 && text.bytes().all(|byte| byte == b'0') { Ok(None) } else { text.parse().map(Some) }
}

fn check_counts(updates: &[WireUpdate], options: &[String]) -> Result<()> {
    if updates.len() > MAX_PUSH_REFS {
        return Err(Error::usage(format!("a push may bring {MAX_PUSH_REFS} refs, this one has more")).hint("git push mini main"));
    }
    if options.len() > MAX_PUSH_OPTIONS || options.iter().any(|option| option.len() > MAX_PUSH_OPTION_BYTES) {
        return Err(Error::usage(format!("a push may have {MAX_PUSH_OPTIONS} options of {MAX_PUSH_OPTION_BYTES} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(name: &str) -> WireUpdate {
        WireUpdate { name: name.to_owned(), old: "0".repeat(40), new: "a".repeat(40) }
    }

    fn pre_receive(updates: Vec<WireUpdate>, quarantine: Option<&str>, options: Vec<String>) -> Result<Call> {
        let hello = Hello::PreReceive { updates, quarantine: quarantine.map(str::to_owned), options };
        Hello::read(&hello.frame().unwrap(), Path::new("/r.git"))
    }

    #[test]
    fn a_hello_becomes_a_push_request() {
        let Call::PreReceive(push) = pre_receive(vec![update("refs/heads/main")], Some("tmp_objdir-incoming-a1"), Vec::new()).unwrap()
        else {
            panic!("another call came out")
        };

        assert_eq!(push.updates, [RefUpdate { name: "refs/heads/main".into(), old: None, new: "a".repeat(40).parse().ok() }]);
        assert_eq!(push.quarantine.as_deref(), Some(Path::new("/r.git/objects/tmp_objdir-incoming-a1")));
    }

    #[test]
    fn what_is_over_a_limit_or_malformed_is_refused() {
        let many = vec![update("refs/heads/x"); MAX_PUSH_REFS + 1];
        let bad_id = WireUpdate { new: "HEAD".into(), ..update("refs/heads/main") };

        assert!(pre_receive(many, None, Vec::new()).is_err());
        assert!(pre_receive(vec![bad_id], None, Vec::new()).is_err());
        assert!(pre_receive(Vec::new(), None, vec!["x".into(); MAX_PUSH_OPTIONS + 1]).is_err());
        assert!(pre_receive(Vec::new(), None, vec!["x".repeat(MAX_PUSH_OPTION_BYTES + 1)]).is_err());
        assert!(pre_receive(Vec::new(), Some("../../other.git/objects"), Vec::new()).is_err());
        assert!(Hello::read(&Frame::new(OUTPUT, *b"{}"), Path::new("/r")).is_err());
        assert!(Hello::read(&Frame::new(HELLO, *b"nonsense"), Path::new("/r")).is_err());
    }
}
