//! Makes an uploaded source a commit of the app's repository, in quarantine until it is known to be good.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::repos::Receiving;
use super::{Git, TreeId, fast_import, program, quarantine};
use crate::error::{Error, Result};
use crate::model::limits::MIB;
use crate::model::{AppId, CommitId};
use crate::source::Context;

/// The largest source takes git half a minute.
const RECORD_DEADLINE: Duration = Duration::from_mins(10);

/// git's complaint; more of it is no help.
const MAX_STDERR_BYTES: u64 = 8 << 10;

const SETTINGS: &[&str] = &[
    // Larger files go through git in pieces: its memory stays flat.
    "core.bigFileThreshold=1m",
    // Always a pack: one file to make durable, not thousands.
    "fastimport.unpackLimit=0",
];

/// git compresses some 40 MiB a second. What is larger than this is media and archives, which have been compressed before: a deploy of
/// them need not wait for the little that is to be gained.
const MAX_COMPRESSED_BYTES: u64 = 64 * MIB;

/// A commit to be made.
#[derive(Clone, Debug)]
pub struct NewCommit {
    pub parent: Option<CommitId>,
    /// The name of a key or token; what git could misread is taken out.
    pub author: String,
    pub message: String,
}

/// A commit that is not yet part of its repository. Dropping it leaves nothing of it.
pub struct Recorded {
    commit: CommitId,
    tree: TreeId,
    repo: PathBuf,
    // Declared before the guard: swept are only quarantines that nobody has.
    folder: TempDir,
    _receiving: Receiving,
}

// === impl Git ===

impl Git {
    /// Writes a source into a quarantine of the app's repository, which must be there, as a commit of now.
    ///
    /// Empty folders vanish: git has none. A source whose files git knows already costs a few hundred bytes. Memory is flat.
    /// Ends early when `cancel` is cancelled or this is dropped.
    pub async fn record(&self, app: &AppId, source: &Context, new: NewCommit, cancel: &CancellationToken) -> Result<Recorded> {
        let repo = self.existing(app)?;
        self.ready().await?;
        let receiving = self.receiving(app);
        let folder = quarantine::make(&repo).and_then(|folder| scratch(folder.path()).map(|()| folder)).map_err(not_recorded)?;
        let (theirs, ours) = io::pipe().map_err(not_recorded)?;
        let mut command = self.fast_import(&repo, folder.path(), source.bytes());
        let git = command.stdin(theirs).spawn().map_err(not_recorded)?;
        // It holds git's end of the pipe: without git there must be none.
        drop(command);
        let entries = source.entries()?;
        let writing = tokio::task::spawn_blocking(move || fast_import::write(ours, &new, entries));
        let said = finish(git, cancel).await;
        let written = writing.await.map_err(|err| not_recorded(io::Error::other(err)))?;
        // git that hung up knows better why than the one who was cut.
        let commit: CommitId = said.and_then(|said| written.map(|()| said))?.trim().parse()?;
        let tree = self.tree_of(app, Some(folder.path()), &commit)?.ok_or_else(|| not_recorded(io::ErrorKind::NotFound.into()))?;
        Ok(Recorded { commit, tree, repo, folder, _receiving: receiving })
    }

    fn fast_import(&self, repo: &Path, folder: &Path, bytes: u64) -> Command {
        let mut command = Command::new("git");
        for setting in program::settings(repo, &self.inner.hooks).iter().map(OsStr::new).chain(SETTINGS.iter().map(OsStr::new)) {
            command.arg("-c").arg(setting);
        }
        command.arg("-c").arg(format!("pack.compression={}", u8::from(bytes <= MAX_COMPRESSED_BYTES)));
        // Deltas are sought between files that come in a row: here those are strangers.
        command.args(["fast-import", "--quiet", "--done", "--depth=0"]).current_dir(folder);
        command.env_clear().envs(program::environment(&self.inner.search_path, &self.inner.hooks));
        command.env("GIT_DIR", folder.join(SCRATCH)).env("GIT_OBJECT_DIRECTORY", folder);
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", repo.join("objects"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

// === impl Recorded ===

impl Recorded {
    #[must_use]
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    /// Returns the commit's tree; another commit with the same one has the same files.
    #[must_use]
    pub fn tree(&self) -> &TreeId {
        &self.tree
    }

    /// Returns where the objects are, for those who read them before they are stored.
    #[must_use]
    pub fn quarantine(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the commit part of the repository; it is on disk when this returns. No ref points to it yet. Blocks.
    pub fn store(self) -> Result<()> {
        quarantine::store(self.folder.path(), &self.repo).map_err(not_recorded)
    }
}

const SCRATCH: &str = "scratch";

/// Makes a repository of nothing: git moves a branch when it imports, and that must not be one of the app's.
fn scratch(quarantine: &Path) -> io::Result<()> {
    let folder = quarantine.join(SCRATCH);
    for inner in ["refs", "objects"] {
        fs::create_dir_all(folder.join(inner))?;
    }
    fs::write(folder.join("HEAD"), "ref: refs/heads/none\n")
}

/// Waits for git and returns what it said; it has exited when this returns.
async fn finish(mut git: tokio::process::Child, cancel: &CancellationToken) -> Result<String> {
    let (stdout, stderr) = (git.stdout.take(), git.stderr.take());
    let ending = async { tokio::join!(text_of(stdout), text_of(stderr), git.wait()) };
    let ended = tokio::select! {
        ended = tokio::time::timeout(RECORD_DEADLINE, ending) => {
            ended.map_err(|_| Error::failed("git did not take the source in time").hint("is the server's disk busy?"))
        }
        () = cancel.cancelled() => Err(Error::failed("the upload was cancelled").hint("deploy again")),
    };
    match ended {
        Ok((said, _, Ok(status))) if status.success() => Ok(said),
        Ok((_, complaint, _)) => Err(not_recorded(io::Error::other(complaint))),
        Err(err) => {
            // It may have ended by itself meanwhile.
            _ = git.kill().await;
            Err(err)
        }
    }
}

async fn text_of(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What came until then is as good as it gets; the rest is read, so that git can end.
        _ = (&mut stream).take(MAX_STDERR_BYTES).read_to_end(&mut bytes).await;
        _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn not_recorded(cause: io::Error) -> Error {
    Error::failed("the source could not be kept in the app's repository").hint("is the server's disk full?").because(cause)
}

#[cfg(test)]
mod tests;
