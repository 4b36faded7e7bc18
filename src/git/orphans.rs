//! Pushes whose server was killed: their git runs on for a moment, and would make and leave files behind the sweep of the next start.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Set for a push and all that git starts for it (`session.rs`), and for nothing else.
const MARK: &[u8] = b"MINI_HOOK_FD=";
/// A killed process is gone in milliseconds; one that hangs in the kernel is left to it.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// Kills every process of a push into a repository below `repos`. Only for who owns the data dir and has begun no push yet.
pub(super) fn end(repos: &Path) {
    let orphans: Vec<Pid> = running(repos).filter(|pid| kill(*pid, repos)).collect();
    if orphans.is_empty() {
        return;
    }
    tracing::info!(processes = orphans.len(), "ended what pushes of the last run had left running");
    let begun = Instant::now();
    while orphans.iter().any(|pid| is_of_a_push(*pid, repos)) && begun.elapsed() < GONE_WITHIN {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn running(repos: &Path) -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(|pid| is_of_a_push(*pid, repos))
}

/// Kills a process that is still the one that was looked at: its number may have been given to another meanwhile.
fn kill(pid: Pid, repos: &Path) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    is_of_a_push(pid, repos) && pidfd_send_signal(process, Signal::KILL).is_ok()
}

/// A process that has ended, or is not ours to see, has neither folder nor environment.
fn is_of_a_push(pid: Pid, repos: &Path) -> bool {
    let proc = format!("/proc/{}", pid.as_raw_nonzero());
    fs::read_link(format!("{proc}/cwd")).is_ok_and(|folder| folder.starts_with(repos))
        && fs::read(format!("{proc}/environ")).is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one.starts_with(MARK)))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleep_in(folder: &Path, marked: bool) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").current_dir(folder).env_remove("MINI_HOOK_FD");
        if marked {
            command.env("MINI_HOOK_FD", "3");
        }
        command.spawn().unwrap()
    }

    #[test]
    fn only_processes_of_a_push_into_these_repositories_are_ended() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let repo = ours.path().join("a.git");
        fs::create_dir(&repo).unwrap();
        let mut of_a_push = sleep_in(&repo, true);
        let mut others = [sleep_in(&repo, false), sleep_in(theirs.path(), true)];

        end(&ours.path().canonicalize().unwrap());

        let status = of_a_push.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        for other in &mut others {
            assert!(other.try_wait().unwrap().is_none());
            other.kill().unwrap();
            other.wait().unwrap();
        }
    }
}
