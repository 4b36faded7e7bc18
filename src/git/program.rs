//! The `git` of this machine, its closed environment, and the proof that our hooks can run.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::model::limits::MAX_PACK_BYTES;

/// The first git that can be told to read no one's configuration (`GIT_CONFIG_GLOBAL`).
const OLDEST: (u32, u32) = (2, 32);

/// Where programs are when the server was started without a `PATH`.
const PLAIN_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What `git` there is. Without a ready one the server runs and pushes are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitProgram {
    Ready {
        version: String,
    },
    TooOld {
        version: String,
    },
    Missing,
    /// git silently skips a hook that it cannot execute, and would take any push.
    HooksCannotRun,
    /// The disk has no room for our hooks, or only those of an older mini are there.
    HooksNotWritten,
}

// === impl GitProgram ===

impl GitProgram {
    /// Asks `git` for its version and tries a hook. Blocks for some milliseconds.
    pub(super) fn detect(search_path: &OsStr, hooks: &Path) -> GitProgram {
        let Some(version) = version(search_path, hooks) else { return GitProgram::Missing };
        if !is_recent(&version) {
            GitProgram::TooOld { version }
        } else if hook_runs(&hooks.join("pre-receive")) {
            GitProgram::Ready { version }
        } else {
            GitProgram::HooksCannotRun
        }
    }

    /// Refuses to go on without a ready git, in a sentence.
    pub fn check(&self) -> Result<()> {
        let (oldest, newer) = OLDEST;
        match self {
            GitProgram::Ready { .. } => Ok(()),
            GitProgram::TooOld { version } => {
                Err(Error::unavailable(format!("the server has git {version}, and pushes need {oldest}.{newer}"))
                    .hint("update git on the server"))
            }
            GitProgram::Missing => {
                Err(Error::unavailable("the server has no git, so it cannot take pushes").hint("install git on the server"))
            }
            GitProgram::HooksCannotRun => Err(Error::unavailable("the server cannot run its git hooks, so it cannot take pushes")
                .hint("is its data dir mounted noexec, or /bin/sh missing?")),
            GitProgram::HooksNotWritten => {
                Err(Error::unavailable("the server's disk has no room for its git hooks, so it cannot take pushes")
                    .hint("make room on the server: ssh mini prune"))
            }
        }
    }
}

fn version(search_path: &OsStr, home: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("--version").env_clear().envs(environment(search_path, home)).stdin(Stdio::null());
    let output = git.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.strip_prefix("git version ")?.split_whitespace().next().map(str::to_owned)
}

fn is_recent(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|found: (u32, u32)| found >= OLDEST)
}

/// Runs a hook without the server behind it: it refuses, which is enough to know that it can.
fn hook_runs(hook: &Path) -> bool {
    let run = || Command::new(hook).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match run() {
        // Another thread forked while the file was being written: that child is about to exec and let go of it.
        Err(err) if err.kind() == io::ErrorKind::ExecutableFileBusy => run().is_ok(),
        result => result.is_ok(),
    }
}

/// The whole environment of a git: no variable of the server, no configuration of the machine.
pub(super) fn environment(search_path: &OsStr, home: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("PATH", search_path.to_owned()),
        ("HOME", home.into()),
        ("LANG", "C.UTF-8".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
    ]
}

/// The settings that every git gets (git-config(1)); they win over the repository's own file.
pub(super) fn settings(repo: &Path, hooks: &Path) -> Vec<OsString> {
    let path = |key: &str, path: &Path| [OsStr::new(key), path.as_os_str()].join(OsStr::new("="));
    let mut settings = vec![path("core.hooksPath", hooks), path("safe.directory", repo)];
    settings.extend(
        [
            "receive.fsckObjects=true",
            &format!("receive.maxInputSize={MAX_PACK_BYTES}"),
            "receive.shallowUpdate=true",
            "receive.advertisePushOptions=true",
            // A detached gc would hold the hook's socket open.
            "receive.autogc=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "transfer.hideRefs=refs/mini",
            "protocol.allow=never",
            // An accepted push is on disk, loose objects too; older gits do not know these and skip them.
            "core.fsync=committed",
            "core.fsyncMethod=batch",
        ]
        .map(OsString::from),
    );
    settings
}

pub(super) fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| PLAIN_PATH.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_not_text() {
        for version in ["2.32.0", "2.47.3", "2.100", "3.0.1", "2.39.5.windows"] {
            assert!(is_recent(version), "{version} was refused");
        }
        for version in ["2.31.9", "2.4.0", "1.99.0", "2", "", "two.fifty"] {
            assert!(!is_recent(version), "{version} was taken");
        }
    }

    #[test]
    fn a_machine_without_git_refuses_pushes_in_a_sentence() {
        let nowhere = tempfile::tempdir().unwrap();

        let program = GitProgram::detect(nowhere.path().as_os_str(), nowhere.path());

        assert_eq!(program, GitProgram::Missing);
        assert_eq!(program.check().unwrap_err().sentence(), "the server has no git, so it cannot take pushes");
    }
}
