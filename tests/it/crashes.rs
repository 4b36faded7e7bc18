//! What ends in the middle: the server by SIGKILL or SIGTERM, containers by hand or by themselves.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Docker, Mini, Moments, Repo, asked, descendants_of, eventually, is_running, leftover_files, proven, signal, unique};
use crate::whole::{hello, is_whole, litter};

/// The deploys in their order: kind, stage and reason.
fn journal(mini: &Mini) -> Vec<String> {
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let mut query = db.prepare("SELECT kind || ' ' || stage || coalesce(': ' || reason, '') FROM deploys ORDER BY id").unwrap();
    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_server_killed_during_a_build_leaves_the_old_release_and_nothing_else() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep 92{}\n", std::process::id()));
    repo.commit("sleeps");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("-----> Building image");

    mini.kill_9();

    let said = push.finish();
    assert_ne!(said.code, 0, "{said:?}");
    mini.boot();
    is_whole(&mini, &first, "first");
    assert_eq!(journal(&mini), ["push done", "push failed: mini stopped before the switch"]);
    repo.git(&["reset", "-q", "--hard", "HEAD~"]);
    repo.write("index.html", "second");
    let second = repo.commit("second");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    is_whole(&mini, &second, "second");
    mini.finish();
}

#[test]
fn a_server_killed_while_it_probes_throws_the_new_release_away() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    repo.write("Dockerfile", "FROM busybox\nCMD [\"sleep\", \"1000\"]\n");
    repo.commit("never listens");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("-----> Starting web.1");
    eventually("the new container", || (mini.docker().containers().len() == 2).then_some(()));

    mini.kill_9();

    assert_ne!(push.finish().code, 0);
    mini.boot();
    is_whole(&mini, &first, "first");
    let releases = mini.local(&["releases", "blog"]).ok().stdout;
    assert!(releases.contains("mini stopped before the switch"), "{releases}");
    repo.git(&["reset", "-q", "--hard", "HEAD~"]);
    repo.write("index.html", "second");
    let second = repo.commit("second");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    is_whole(&mini, &second, "second");
    mini.finish();
}

/// Makes git stop between the switch and the moving of its ref, and then not move it.
fn hold_refs(mini: &Mini) {
    use std::os::unix::fs::PermissionsExt;
    let hook = mini.data().join("hooks/reference-transaction");
    std::fs::write(&hook, "#!/bin/sh\n[ \"$1\" = prepared ] && sleep 2 && exit 1\nexit 0\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_server_killed_right_after_the_switch_serves_the_new_release_and_its_ref_follows() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    let old = mini.docker().containers();
    repo.write("index.html", "second");
    let second = repo.commit("second");
    hold_refs(&mini);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("=====> Released v2");
    let main = mini.anna.refs(mini.ssh, "blog").into_iter().find(|(name, _)| name == "refs/heads/main").unwrap().1;
    assert_eq!(main, first, "git has not moved the ref yet");

    mini.kill_9();

    std::fs::remove_file(mini.data().join("hooks/reference-transaction")).unwrap();
    mini.boot();
    assert_eq!(mini.get("blog", "/").body, "second");
    push.finish();
    eventually("git's own end", || litter(&mini).is_empty().then_some(()));
    is_whole(&mini, &second, "second");
    assert!(!mini.docker().containers().contains(&old[0]), "the old release is retired");
    let folder = tempfile::tempdir().unwrap();
    let mut clone = mini.anna.git(folder.path(), mini.ssh);
    clone.args(["clone", "-q", &format!("ssh://mini@{}/blog", mini.ssh), "copy"]);
    assert!(clone.status().unwrap().success());
    assert_eq!(std::fs::read_to_string(folder.path().join("copy/index.html")).unwrap(), "second");
    let again = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert!(again.stderr.contains("Everything up-to-date"), "{}", again.stderr);
    mini.finish();
}

#[test]
fn a_live_release_that_the_engine_would_not_start_again_is_mended_at_the_start() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    let container = mini.docker().containers();
    mini.kill_9();
    // What a kill between the switch and the container's policy leaves.
    let updated = Command::new("docker").args(["update", "--restart=no", &container[0]]).output().unwrap();
    assert!(updated.status.success());

    mini.boot();

    is_whole(&mini, &first, "first");
    assert_eq!(mini.docker().containers(), container);
    mini.finish();
}

#[test]
fn a_restart_serves_before_it_retires_what_the_last_run_left_draining() {
    let mut mini = Mini::start_with(&["--stop-grace", "7s"]);
    let repo = Repo::from_folder("tests/apps/ignores-term");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    repo.write("index.html", "newer");
    let second = repo.commit("second");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("=====> Released v2");
    mini.kill_9();
    push.finish();

    let begun = Instant::now();
    mini.boot();

    assert_eq!(mini.get("blog", "/").body, "newer");
    assert!(begun.elapsed() < Duration::from_secs(5), "the start took {:?}", begun.elapsed());
    is_whole(&mini, &second, "newer");
    mini.finish();
}

#[test]
fn kills_at_any_moment_of_a_push_leave_one_whole_release() {
    let mut mini = Mini::start();
    let repo = hello("0");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let mut commits = vec![repo.head()];
    let (kills, mut slowest) = (asked("MINI_SOAK_KILLS", 8), Duration::ZERO);
    // The length of a push; asked for more, the time after it, too.
    let span = Duration::from_millis(if kills > 8 { 3000 } else { 1500 });
    let moments = Moments::within(span, 20_260_801);

    for (round, moment) in (1..=kills).zip(moments) {
        repo.write("index.html", &round.to_string());
        commits.push(repo.commit(&format!("{round}")));
        let push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
        std::thread::sleep(moment);

        mini.kill_9();

        let said = push.finish();
        let was_taken = said.code == 0;
        let begun = Instant::now();
        mini.boot();
        slowest = slowest.max(begun.elapsed());
        let body: usize = mini.get("blog", "/").body.parse().unwrap();
        println!("round {round}: taken {was_taken}, serves {body}");
        assert!(!was_taken || body == round, "acknowledged and lost in round {round}: {said:?}");
        is_whole(&mini, &commits[body], &body.to_string());
    }

    repo.write("index.html", "last");
    let last = repo.commit("last");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    is_whole(&mini, &last, "last");
    proven(kills, Some(slowest));
    mini.finish();
}

#[test]
fn a_git_that_outlives_its_server_is_ended_by_the_next_one() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep 95{}\n", std::process::id()));
    repo.commit("sleeps");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("-----> Building image");
    // Slower than the next start, as on a loaded machine.
    let git = descendants_of(mini.pid());
    for pid in &git {
        signal(*pid, "STOP");
    }

    mini.kill_9();
    mini.boot();

    let is_over = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |line| line.is_empty());
    assert!(git.len() >= 2 && git.iter().all(is_over), "a git of the last run still runs");
    is_whole(&mini, &first, "first");
    assert_ne!(push.finish().code, 0);
    mini.finish();
}

#[test]
fn a_stop_during_a_build_tells_the_pusher_to_push_again_and_keeps_apps_running() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    let container = mini.docker().containers();
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep 93{}\n", std::process::id()));
    repo.commit("sleeps");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("-----> Building image");

    let begun = Instant::now();
    let status = mini.stop();

    assert!(status.success() && begun.elapsed() < Duration::from_secs(20), "{status} after {:?}", begun.elapsed());
    let said = push.finish().fails(1, "mini is restarting: push again");
    assert!(said.stderr.contains("pre-receive hook declined"), "{said:?}");
    assert_eq!(mini.docker().containers(), container);
    assert_eq!(Docker::inspect(&container[0], "{{.State.Running}}"), "true");
    mini.boot();
    is_whole(&mini, &first, "first");
    assert_eq!(mini.docker().containers(), container, "the container went on through the restart");
    mini.finish();
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    // A request that is under way would be given seconds.
    let mut client = TcpStream::connect(mini.http).unwrap();
    let patience = format!("9{}", unique());
    client.write_all(format!("GET /cgi-bin/slow?{patience} HTTP/1.1\r\nHost: blog.localhost\r\n\r\n").as_bytes()).unwrap();
    eventually("the app to have the request", || is_running(&patience).then_some(()));

    let pid = mini.pid();
    signal(pid, "TERM");
    eventually("the stop to begin", || mini.log().contains("stopping").then_some(()));
    let begun = Instant::now();
    let status = mini.stop();

    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(status.success() && mini.log().contains("stopped at once"), "{status}");
    drop(client);
    mini.boot();
    assert_eq!(mini.get("blog", "/").status, 200);
    mini.finish();
}

#[test]
fn a_container_that_is_removed_or_stopped_by_hand_comes_back() {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let first = repo.head();
    let docker = |words: &[&str]| assert!(Command::new("docker").args(words).output().unwrap().status.success(), "docker {words:?}");
    let old = mini.docker().containers();

    docker(&["rm", "-f", &old[0]]);

    eventually("another container that answers", || {
        let now = mini.docker().containers();
        (now.len() == 1 && now != old && mini.get("blog", "/").status == 200).then_some(())
    });
    is_whole(&mini, &first, "first");

    let old = mini.docker().containers();
    mini.stop();
    docker(&["stop", "-t", "0", &old[0]]);
    mini.boot();
    eventually("the stopped container to answer", || (mini.get("blog", "/").status == 200).then_some(()));
    assert_eq!(mini.docker().containers(), old);

    mini.stop();
    docker(&["rm", "-f", &old[0]]);
    mini.boot();
    eventually("a container in place of the removed one", || (mini.get("blog", "/").status == 200).then_some(()));
    is_whole(&mini, &first, "first");
    mini.finish();
}

#[test]
fn a_process_that_dies_is_started_again_and_its_death_is_told() {
    let mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let container = mini.docker().containers();
    let pid: u32 = Docker::inspect(&container[0], "{{.State.Pid}}").parse().unwrap();

    signal(pid, "KILL");

    eventually("the death in the log", || {
        mini.local(&["logs", "blog"]).ok().stdout.contains("web.1 of v1 crashed (exit code 137)").then_some(())
    });
    eventually("the restart", || (Docker::inspect(&container[0], "{{.State.Running}} {{.RestartCount}}") == "true 1").then_some(()));
    let rows: serde_json::Value = serde_json::from_str(&mini.local(&["ps", "blog", "--json"]).ok().stdout).unwrap();
    assert_eq!(rows[0]["restarts"], 1, "{rows}");
    eventually("its answers", || (mini.get("blog", "/").body == "first").then_some(()));
    assert_eq!(mini.docker().containers(), container);
    mini.finish();
}

#[test]
fn a_kill_during_the_very_first_push_leaves_an_app_that_can_be_pushed_or_destroyed() {
    let mut mini = Mini::start();
    let repo = hello("first");
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep 94{}\n", std::process::id()));
    repo.commit("sleeps");
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "blog", &["main"]);
    push.wait_for("-----> Building image");

    mini.kill_9();

    assert_ne!(push.finish().code, 0);
    mini.boot();
    assert_eq!(mini.docker().containers(), Vec::<String>::new());
    assert_eq!(mini.get("blog", "/").status, 503);
    repo.git(&["reset", "-q", "--hard", "HEAD~"]);
    let first = repo.head();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    is_whole(&mini, &first, "first");
    let data = mini.data();
    mini.local(&["apps:destroy", "blog", "--confirm", "blog"]).ok();
    assert_eq!(leftover_files(&data), Vec::<std::path::PathBuf>::new());
    mini.finish();
}
