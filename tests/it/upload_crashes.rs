//! Uploads that end in the middle: the one who sends leaves, or the server is killed.

use std::time::Duration;

use crate::harness::{Mini, Moments, Repo, eventually, is_running, leftover_files};
use crate::uploads::{live, names, nothing_is_spooled, slow};

#[test]
fn who_leaves_during_the_build_leaves_nothing() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let marker = slow(&repo);
    let mut upload = mini.anna.begin_upload(&repo, mini.ssh, "hello");
    upload.wait_for("-----> Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));

    upload.kill_9();

    eventually("the build to end", || (!is_running(&marker)).then_some(()));
    nothing_is_spooled(&mini);
    eventually("the log to say why", || mini.log().contains("cancelled: you left before the switch").then_some(()));
    assert_eq!(mini.anna.refs(mini.ssh, "hello"), []);
    mini.finish();
}

#[test]
fn a_server_killed_in_an_upload_starts_again_with_the_old_release() {
    let mut mini = Mini::start_with(&["--ready-time", "30s"]);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    let building = Repo::hello();
    let marker = slow(&building);
    let probing = Repo::from_folder("tests/apps/never-healthy");

    for (repo, text) in [(&building, "-----> Building image"), (&probing, "-----> Starting web.1")] {
        let mut upload = mini.anna.begin_upload(repo, mini.ssh, "hello");
        upload.wait_for(text);
        mini.kill_9();
        drop(upload);
        mini.boot();

        assert_eq!(mini.state("hello"), before);
        assert_eq!(mini.get("hello", "/").status, 200);
        eventually("one container", || (mini.docker().containers().len() == 1).then_some(()));
        assert_eq!(leftover_files(&mini.data()).iter().filter(|path| path.starts_with(mini.data().join("tmp"))).count(), 0);
    }

    eventually("the build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}

#[test]
fn a_server_killed_right_after_an_uploads_switch_starts_again_with_the_upload() {
    let mut mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.write("index.html", "uploaded");
    let mut upload = mini.anna.begin_upload(&repo, mini.ssh, "hello");
    upload.wait_for("-----> Starting web.1");

    // As soon as the row says live: the refs may or may not have followed.
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let is_live = || {
        db.query_row("SELECT state FROM releases WHERE version = 2", [], |row| row.get::<_, String>(0)).is_ok_and(|state| state == "live")
    };
    while !is_live() {
        std::hint::spin_loop();
    }
    mini.kill_9();
    drop(upload);
    mini.boot();

    assert_eq!(mini.get("hello", "/").body, "uploaded");
    let seen = mini.anna.refs(mini.ssh, "hello");
    assert_eq!(names(&seen), ["HEAD", "refs/heads/deployed"]);
    assert_eq!(live(&mini, "hello"), ("upload".to_owned(), seen[1].1.clone()));
    repo.next("pushed");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "pushed");
    mini.finish();
}

#[test]
fn kills_at_any_moment_of_an_upload_leave_one_whole_release() {
    let mut mini = Mini::start();
    let repo = Repo::hello();
    repo.write("index.html", "0");
    mini.anna.upload(&repo, mini.ssh, "hello").ok();
    // The length of an upload.
    let moments = Moments::within(Duration::from_secs(2), 20_260_802);

    for (round, moment) in (1..=6).zip(moments) {
        repo.write("index.html", &round.to_string());
        let upload = mini.anna.begin_upload(&repo, mini.ssh, "hello");
        std::thread::sleep(moment);

        mini.kill_9();

        let was_told = upload.finish().code == 0;
        mini.boot();
        let body: usize = mini.get("hello", "/").body.parse().unwrap();
        println!("round {round}: told {was_told}, serves {body}");
        assert!(!was_told || body == round, "acknowledged and lost in round {round}");
        let seen = mini.anna.refs(mini.ssh, "hello");
        assert_eq!(names(&seen), ["HEAD", "refs/heads/deployed"]);
        assert_eq!(live(&mini, "hello").1, seen[1].1);
        eventually("one container", || (mini.docker().containers().len() == 1).then_some(()));
        assert_eq!(std::fs::read_dir(mini.data().join("tmp")).unwrap().count(), 0, "sources are left");
    }
    mini.anna.clone(mini.home(), mini.ssh, "hello").ok();
    assert_eq!(std::fs::read_to_string(mini.home().join("copy/index.html")).unwrap(), mini.get("hello", "/").body);
    mini.finish();
}
