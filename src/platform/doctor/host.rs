//! What the server stands on: engine, git, disks, its data, the clock.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::super::Platform;
use super::{bad, doubtful, good, wrong};
use crate::backup::MASTER_KEY;
use crate::command::Check;
use crate::deploy::Disk;
use crate::git::GitProgram;
use crate::model::size::{at_least, in_words};

/// systemd's own sign that the clock was set by the network (systemd-timesyncd.service(8)).
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// Clocks that are kept by the network are slewed by less.
const CLOCK_STEP: Duration = Duration::from_secs(5);

impl Platform {
    pub(super) async fn check_engine(&self) -> Check {
        match self.rooms().engine.facts().await {
            Ok(facts) => good("engine", format!("Docker {}, {}", facts.version, facts.storage_driver)),
            Err(err) => wrong("engine", &err),
        }
    }

    pub(super) fn check_git(&self) -> Check {
        match self.rooms().git.look_again() {
            GitProgram::Ready { version } => good("git", version),
            unready => match unready.check() {
                Ok(()) => good("git", "ready"),
                Err(err) => wrong("git", &err),
            },
        }
    }

    pub(super) async fn check_disks(&self) -> Vec<Check> {
        self.deployer.disks().await.iter().map(check_disk).collect()
    }

    pub(super) fn check_data_dir(&self) -> Check {
        check_private("data dir", &self.rooms().settings.data)
    }

    pub(super) fn check_key(&self) -> Check {
        check_private("master key", &self.rooms().settings.data.join(MASTER_KEY))
    }

    pub(super) async fn check_database(&self) -> Check {
        match self.rooms().store.look_through().await {
            Ok(schema) => good("database", format!("whole, schema {schema}")),
            Err(err) => wrong("database", &err),
        }
    }

    /// Compares how far the wall clock and the machine's own count have come since the start: nobody is asked for the time.
    pub(super) fn check_clock(&self) -> Check {
        let (wall, own) = (self.started_at.age(), self.begun.elapsed());
        let step = wall.abs_diff(own);
        if step > CLOCK_STEP {
            let seen = format!("it was set by {} s while mini ran, or the machine slept", step.as_secs());
            return doubtful("clock", seen);
        }
        let kept = if Path::new(SYNCHRONISED).exists() { ", kept by systemd-timesyncd" } else { "" };
        good("clock", format!("steady since mini started{kept}"))
    }
}

fn check_disk(disk: &Disk) -> Check {
    let place = disk.holds.in_words();
    let Some(free) = disk.free_bytes else {
        let seen = format!("{} is not on this machine: how full it is where {place} cannot be seen", disk.path.display());
        return doubtful("disk", seen);
    };
    match disk.check() {
        Err(err) => wrong("disk", &err),
        Ok(()) if disk.is_low() => {
            let floor = in_words(disk.floor_bytes);
            let mut check = doubtful("disk", format!("{} free where {place}; builds are refused below {floor}", at_least(free)));
            check.mend = Some("make room: ssh mini prune".to_owned());
            check
        }
        Ok(()) => good("disk", format!("{} free where {place}", at_least(free))),
    }
}

/// Checks that a file or folder is there, is ours and nobody else's.
fn check_private(name: &str, path: &Path) -> Check {
    let shown = path.display();
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(err) => return bad(name, format!("{shown} cannot be read: {err}"), "put it back from a backup: mini restore"),
    };
    let own = std::fs::metadata("/proc/self").map_or(found.uid(), |own| own.uid());
    if found.uid() != own {
        return bad(name, format!("{shown} belongs to another user"), format!("on the server, as root: chown -R {own} {shown}"));
    }
    if found.mode() & 0o077 != 0 {
        return bad(name, format!("{shown} is open to other users of the server"), format!("on the server: chmod go= {shown}"));
    }
    good(name, format!("{shown} is there and private"))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::command::Verdict;
    use crate::deploy::Holds;
    use crate::model::limits::GIB;

    #[test]
    fn a_file_that_is_open_or_gone_is_bad_and_says_what_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("master.key");

        assert!(check_private("master key", &key).mend.unwrap().contains("backup"));
        std::fs::write(&key, "x").unwrap();
        set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let open = check_private("master key", &key);
        assert_eq!((open.verdict, open.mend.unwrap()), (Verdict::Bad, format!("on the server: chmod go= {}", key.display())));
        set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(check_private("master key", &key).verdict, Verdict::Good);
    }

    #[test]
    fn a_disk_is_good_low_too_full_or_unknown() {
        let of = |free_bytes| check_disk(&Disk { holds: Holds::Images, path: "/far".into(), free_bytes, floor_bytes: GIB });

        assert_eq!(of(Some(64 * GIB)), good("disk", "64 GiB free where the engine keeps images"));
        let low = of(Some(GIB));
        assert_eq!((low.verdict, low.mend.as_deref()), (Verdict::Doubtful, Some("make room: ssh mini prune")));
        assert_eq!(of(Some(1)).verdict, Verdict::Bad);
        let unknown = of(None);
        assert!(unknown.verdict == Verdict::Doubtful && unknown.seen.starts_with("/far is not on this machine"), "{unknown:?}");
    }
}
