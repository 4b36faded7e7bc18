//! A disk that fills up, of the data dir or of the engine: what runs is served, what needs room is refused in a sentence, and space that comes back is enough.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

#[cfg(feature = "failpoints")]
use crate::harness::eventually;
use crate::harness::{Mini, Repo, Said, own_engine, unique};
#[cfg(feature = "failpoints")]
use crate::whole::{hello, is_whole};

/// A small disk of its own, and the file that fills it.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(dir.path());
        Said::by(mount, b"").ok();
        SmallDisk { dir }
    }

    fn free_bytes(&self) -> u64 {
        let mut df = Command::new("df");
        df.args(["-B1", "--output=avail"]).arg(self.dir.path());
        Said::by(df, b"").ok().stdout.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Fills the disk until at most `left` bytes are free.
    fn fill(&self, left: u64) {
        let mut file = File::options().create(true).append(true).open(self.dir.path().join("filler")).unwrap();
        let block = [1; 4096];
        while self.free_bytes() > left {
            let blocks = (self.free_bytes() - left).div_ceil(4096);
            if (0..blocks).any(|_| file.write_all(&block).is_err()) {
                return;
            }
        }
    }

    fn clear(&self) {
        fs::remove_file(self.dir.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).output();
    }
}

/// A server whose data dir is on the disk.
fn on(disk: &SmallDisk, flags: &[&str]) -> Mini {
    let mut mini = Mini::unstarted(flags);
    std::os::unix::fs::symlink(disk.dir.path(), mini.data()).unwrap();
    mini.boot();
    mini
}

fn assert_whole(mini: &Mini) {
    let database = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let verdict: String = database.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[test]
fn below_the_floor_builds_are_refused_before_they_start_and_the_rest_goes_on() {
    let disk = SmallDisk::mount("64m");
    let mini = on(&disk, &["--disk-floor", "16MiB"]);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let before = mini.state("blog");
    repo.next(&unique());

    disk.fill(8 << 20);
    let refused = "there is not enough disk space: ";
    let push = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]);
    assert!(push.code != 0 && push.stderr.contains(refused) && push.stderr.contains("16 MiB needed"), "{push:?}");
    assert!(push.stderr.contains("make room on the server: ssh mini prune"), "{push:?}");
    mini.anna.upload(&repo, mini.ssh, "blog -").fails(1, refused);
    mini.anna.ssh(mini.ssh, "rebuild blog").fails(1, refused);
    mini.anna.ssh(mini.ssh, "deploy blog --image localhost:1/not-here").fails(1, refused);
    assert_eq!(mini.state("blog"), before, "nothing was changed");
    mini.get("blog", "/").has_status(200);
    let doctor = mini.anna.ssh(mini.ssh, "doctor").fails(1, "checks found something wrong");
    assert!(doctor.stdout.contains(&format!("✗ disk        {refused}")), "{doctor:?}");
    assert!(mini.local(&["status"]).ok().stdout.contains("disk space is low: "));
    // What needs no room is not refused.
    mini.anna.ssh(mini.ssh, "config:set blog A=1").ok();
    mini.anna.ssh(mini.ssh, "rollback blog v1").ok();

    disk.clear();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert_whole(&mini);
    mini.finish();
}

#[test]
fn a_full_disk_stops_no_app_loses_nothing_and_is_over_when_space_comes_back() {
    let disk = SmallDisk::mount("64m");
    // Without a floor every write meets the full disk itself.
    let mut mini = on(&disk, &["--disk-floor", "0"]);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, "config:set blog A=1").ok();
    let before = mini.state("blog");
    repo.write("large.bin", &"x".repeat(1 << 20));
    repo.next(&unique());
    let large = "y".repeat(60 << 10);

    disk.fill(0);
    let ends: [fn(&mut Mini); 2] = [Mini::kill_9, |mini| assert!(mini.stop().success())];
    for end in ends {
        let push = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]);
        assert!(push.code != 0 && push.stderr.to_lowercase().contains("no space left"), "{push:?}");
        let set = mini.anna.ssh(mini.ssh, &format!("config:set blog A={large}"));
        assert!(set.code == 1 && set.stderr.contains("there is no space left on the server's disk"), "{set:?}");
        let upload = mini.anna.upload(&repo, mini.ssh, "blog -");
        assert!(upload.code == 1 && upload.stderr.contains("the server's disk is full"), "{upload:?}");
        mini.get("blog", "/").has_status(200);
        assert_eq!(mini.state("blog"), before, "nothing was changed");
        // Also for a server that starts on the full disk.
        end(&mut mini);
        // What the server has set free is taken by others.
        disk.fill(0);
        mini.boot();
    }
    mini.get("blog", "/").has_status(200);

    disk.clear();
    assert_eq!(mini.anna.ssh(mini.ssh, "config:get blog A").ok().stdout.trim(), "1");
    mini.anna.ssh(mini.ssh, "config:set blog A=2").ok();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert_eq!(mini.anna.ssh(mini.ssh, "config:get blog A").ok().stdout.trim(), "2");
    assert_whole(&mini);
    mini.finish();
}

#[test]
fn hooks_that_a_newer_server_cannot_write_refuse_pushes_and_not_its_start() {
    let disk = SmallDisk::mount("64m");
    let mut mini = on(&disk, &["--disk-floor", "0"]);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let before = mini.state("blog");
    repo.next(&unique());
    mini.stop();
    // As an older one left it.
    fs::write(mini.data().join("hooks/update"), "#!/bin/sh\n").unwrap();
    disk.fill(0);

    mini.boot();

    let refused = "the server's disk has no room for its git hooks, so it cannot take pushes";
    assert!(mini.said.contains(&format!("warning: {refused}: pushes are refused")), "{:?}", mini.said);
    mini.get("blog", "/").has_status(200);
    let push = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]);
    assert!(push.code != 0 && push.stderr.starts_with(&format!("mini: {refused}\n")), "{push:?}");

    disk.clear();
    assert_eq!(mini.state("blog"), before, "nothing was changed");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.finish();
}

#[cfg(feature = "failpoints")]
#[test]
fn a_server_starts_on_a_full_disk_whatever_the_last_one_had_under_way() {
    let disk = SmallDisk::mount("64m");
    let mut mini = on(&disk, &["--disk-floor", "0"]);
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let mut live = (repo.head(), "first");
    for (at, text, goes_live) in [("probing::answered", "lost", false), ("draining::before", "second", true)] {
        mini.stop();
        mini.boot_armed(&format!("{at}=kill"));
        let commit = repo.next(text);
        assert_ne!(mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).code, 0);
        mini.dies();
        if goes_live {
            live = (commit, text);
        }

        disk.fill(0);
        mini.boot();
        assert_eq!(mini.get("blog", "/").body, live.1, "after {at}");
        eventually("what did not go live or was replaced to be gone", || (mini.docker().containers().len() == 1).then_some(()));

        disk.clear();
        // Its old container goes, so that everything is compared again.
        mini.anna.ssh(mini.ssh, &format!("config:set blog A={text}")).ok();
        is_whole(&mini, &live.0, live.1);
    }
    assert_whole(&mini);
    mini.finish();
}

#[cfg(feature = "failpoints")]
#[test]
fn what_a_full_disk_kept_from_being_written_down_is_written_when_there_is_room() {
    let disk = SmallDisk::mount("64m");
    let mut mini = on(&disk, &["--disk-floor", "0"]);
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.stop();
    // Long enough for the disk to be full when the old release is retired.
    mini.boot_armed("draining::before=1*sleep(5000)");
    let second = repo.next("second");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    disk.fill(0);
    eventually("the end of the deploy to find no room", || mini.log().contains("a row could not be written").then_some(()));
    assert_eq!(mini.get("blog", "/").body, "second");

    disk.clear();
    mini.anna.ssh(mini.ssh, "config:set blog A=1").ok();
    is_whole(&mini, &second, "second");
    mini.finish();
}

#[test]
fn a_full_disk_of_the_engine_fails_the_build_and_nothing_else() {
    let Some(mut engine) = own_engine("disk_full::a_full_disk_of_the_engine_fails_the_build_and_nothing_else") else { return };
    engine.stop();
    fs::create_dir_all(engine.data()).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=100m,mode=700", "tmpfs"]).arg(engine.data());
    Said::by(mount, b"").ok();
    engine.start();
    engine.load_busybox();
    let mini = Mini::start_with(&["--disk-floor", "0"]);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (body, state) = (mini.get("hello", "/").body, mini.state("hello"));

    let dockerfile = fs::read_to_string(repo.path().join("Dockerfile")).unwrap();
    repo.write("Dockerfile", &dockerfile.replace("COPY", "RUN dd if=/dev/zero of=/large bs=1M count=200\nCOPY"));
    repo.commit("larger than the disk");
    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "pre-receive hook declined");

    assert!(pushed.stderr.contains("No space left on device"), "{}", pushed.stderr);
    assert!(pushed.stderr.contains("nothing was changed: v1 keeps serving"), "{}", pushed.stderr);
    assert_eq!((mini.get("hello", "/").body, mini.state("hello")), (body, state));
    repo.write("Dockerfile", &dockerfile);
    repo.next("as small as ever");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "as small as ever");
    mini.finish();
}
