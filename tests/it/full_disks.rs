//! No space left where the server keeps its state, and where the engine keeps images: what runs goes on, and all goes on with space.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Mini, Repo, own_engine};

/// Makes a small disk; only within a machine of the test's own.
fn small_disk(at: &Path, size: &str) {
    fs::create_dir_all(at).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(at).status();
    assert!(mounted.unwrap().success());
}

/// Takes what is left of a disk, to the last byte.
fn fill(file: &Path) {
    let mut zeros = fs::File::open("/dev/zero").unwrap();
    let full = std::io::copy(&mut zeros, &mut fs::File::create(file).unwrap()).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(28), "{full}");
}

#[test]
fn a_full_data_dir_refuses_changes_in_a_sentence_and_loses_nothing() {
    let Some(_engine) = own_engine("full_disks::a_full_data_dir_refuses_changes_in_a_sentence_and_loses_nothing") else { return };
    let mut mini = Mini::unstarted(&[]);
    small_disk(&mini.data(), "64m");
    mini.boot();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (body, state) = (mini.get("hello", "/").body, mini.state("hello"));

    let full = mini.data().join("full");
    fill(&full);
    repo.next("too much");
    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]);
    let made = mini.local(&["apps:create", "more"]);
    let uploaded = mini.anna.upload(&repo, mini.ssh, "hello");

    for said in [&pushed, &made, &uploaded] {
        assert_ne!(said.code, 0, "{said:?}");
        assert!(["o space left", "disk is full"].iter().any(|words| said.stderr.contains(words)), "{said:?}");
    }
    assert_eq!((mini.get("hello", "/").body, mini.state("hello")), (body, state));
    mini.anna.ssh(mini.ssh, "whoami").ok();
    mini.local(&["status"]).ok();

    fs::remove_file(&full).unwrap();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    mini.local(&["apps:create", "more"]).ok();
    assert_eq!(mini.get("hello", "/").body, "too much");
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    drop(db);
    mini.finish();
}

#[test]
fn a_full_disk_of_the_engine_fails_the_build_and_nothing_else() {
    let Some(mut engine) = own_engine("full_disks::a_full_disk_of_the_engine_fails_the_build_and_nothing_else") else { return };
    engine.stop();
    small_disk(&engine.data(), "100m");
    engine.start();
    engine.load_busybox();
    let mini = Mini::start();
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
