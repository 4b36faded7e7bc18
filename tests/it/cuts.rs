//! A push whose client is gone in the middle of its pack: nothing of it stays.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Mini, Repo, Running, children_of, eventually};

const PACK_BYTES: usize = 50_000_000;

/// The files below a folder with their lengths.
fn files(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    // A git that is on its end removes files meanwhile.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => found.extend(files(&entry.path())),
            Ok(meta) => drop(found.insert(entry.path(), meta.len())),
            Err(_) => {}
        }
    }
    found
}

/// An ssh that sends so many bytes of its input; then it and all that runs with it are killed.
fn ssh_for(mini: &Mini, bytes: usize) -> PathBuf {
    let path = mini.home().join(format!("ssh-{bytes}"));
    let ssh = mini.anna.ssh_command(mini.ssh).join(" ");
    // Its group is the push's own: `Running` makes one.
    fs::write(&path, format!("#!/bin/sh\n{{ head -c {bytes}; kill -KILL 0; }} | {ssh} \"$@\"\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn a_client_that_is_killed_in_the_middle_of_a_pack_leaves_nothing() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (state, before) = (mini.state("hello"), files(&mini.data().join("repos")));
    repo.git(&["config", "core.compression", "0"]);
    let noise = fs::File::create(repo.path().join("noise")).unwrap();
    assert!(Command::new("head").args(["-c", &PACK_BYTES.to_string(), "/dev/urandom"]).stdout(noise).status().unwrap().success());
    repo.commit("50 MB");

    for percent in [10, 50, 99] {
        let mut command: Command = mini.anna.push_command(repo.path(), mini.ssh, "hello", &["main"]);
        command.env("GIT_SSH_COMMAND", ssh_for(&mini, PACK_BYTES / 100 * percent));
        let said = Running::of(command).finish();

        assert_eq!(said.code, -1, "it was killed at {percent} %: {said:?}");
        eventually("git to end", || children_of(mini.pid()).is_empty().then_some(()));
        eventually("the disk to be as before", || (files(&mini.data().join("repos")) == before).then_some(()));
        assert_eq!(fs::read_dir(mini.data().join("tmp")).unwrap().count(), 0);
        assert_eq!(mini.state("hello"), state);
    }

    repo.git(&["reset", "-q", "--hard", "HEAD~"]);
    repo.next("after the cuts");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "after the cuts");
    mini.finish();
}
