//! Deploys by their numbers: what they said, where they are, and the end of one that somebody cancels.

use serde_json::Value;

use crate::harness::{Mini, Person, Repo, Running, eventually, is_running, unique};

#[test]
fn what_a_deploy_said_is_kept_word_for_word_and_of_a_failed_one_too() {
    let mini = Mini::start();
    let repo = Repo::building("echo building");
    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.write("Dockerfile", "FROM busybox\nRUN echo one && echo two && exit 3\n");
    repo.commit("fails");
    let lost = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "`RUN echo one && echo two && exit 3` failed");
    mini.anna.ssh(mini.ssh, "config:set hello SECRET=opensesame").ok();

    let rows = builds(&mini, "hello");
    let seen: Vec<_> = rows.iter().map(|row| (row["state"].as_str().unwrap(), row["stage"].as_str().unwrap(), &row["release"])).collect();
    assert!(matches!(seen[0], ("done", "live" | "draining" | "done", version) if version == "v2"), "{rows:#?}");
    assert_eq!(seen[1], ("failed", "building", &Value::Null));
    assert!(rows[1]["reason"].as_str().unwrap().contains("failed with exit code 3"), "{rows:#?}");
    assert_eq!(seen[2].0, "done");
    assert_eq!(rows[2]["commit"], mini.releases("hello")[1]["commit"]);
    let first = mini.anna.ssh(mini.ssh, &format!("builds:output {}", rows[2]["id"])).ok();
    assert_eq!(trimmed(&first.stdout), pushed.remote());
    assert_eq!(trimmed(&mini.local(&["releases:output", "hello", "v1"]).ok().stdout), pushed.remote());
    let failed = mini.anna.ssh(mini.ssh, &format!("builds:output {}", rows[1]["id"])).ok();
    assert_eq!(trimmed(&failed.stdout), lost.remote());
    let reason = rows[1]["reason"].as_str().unwrap();
    let followed = mini.anna.ssh(mini.ssh, &format!("builds:output {} -f", rows[1]["id"])).fails(1, &format!("mini: {reason}"));
    assert_eq!(followed.stdout, failed.stdout);
    let changed = mini.local(&["releases:output", "hello", "v2"]).ok();
    assert!(changed.stdout.contains("=====> Released v2 in "), "{changed:?}");

    let info = mini.anna.ssh(mini.ssh, "releases:info hello v2").ok().stdout;
    assert!(info.contains("SECRET") && !info.contains("opensesame"), "{info}");
    let info: Value = serde_json::from_str(&mini.local(&["releases:info", "hello", "v1", "--json"]).ok().stdout).unwrap();
    assert_eq!((&info["commit"], &info["build"], &info["config"]), (&rows[2]["commit"], &rows[2]["id"], &serde_json::json!([])));
    assert!(info["live_at"].is_string() && info["image"].as_str().unwrap().starts_with("sha256:"), "{info}");
    mini.local(&["releases:info", "hello", "v9"]).fails(3, "v9");
    mini.finish();
}

#[test]
fn a_build_is_followed_and_cancelled_by_its_number() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    let marker = slow_commit(&repo);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));
    let row = &builds(&mini, "hello")[0];
    assert_eq!((row["state"].as_str().unwrap(), row["kind"].as_str().unwrap()), ("building", "push"));
    let id = row["id"].to_string();
    let follower = Running::of(mini.anna.words_command(mini.ssh, &format!("builds:output {id} -f")));

    let cancelled = mini.anna.ssh(mini.ssh, &format!("builds:cancel {id}")).ok();

    assert_eq!(cancelled.stdout, format!("Cancelled deploy {id}.\n"));
    let lost = push.finish().fails(1, "(pre-receive hook declined)").remote();
    assert_eq!(lost[lost.len() - 2..], [" !     cancelled by anna@test", " !     nothing was changed: v1 keeps serving"]);
    follower.finish().fails(1, "mini: cancelled by anna@test");
    eventually("the cancelled build to end", || (!is_running(&marker)).then_some(()));
    assert_eq!(builds(&mini, "hello")[0]["reason"], "cancelled by anna@test");
    assert_eq!(mini.state("hello"), before);
    mini.anna.ssh(mini.ssh, &format!("builds:cancel {id}")).fails(5, &format!("deploy {id} has ended"));
    mini.finish();
}

#[test]
fn who_follows_a_build_that_goes_live_hears_all_of_it() {
    let mini = Mini::start();
    let repo = Repo::building(&format!("echo a{0} && sleep 3 && echo b{0}", unique()));
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    let id = builds(&mini, "hello")[0]["id"].to_string();

    let followed = mini.local(&["builds:output", &id, "--follow"]).ok();

    assert_eq!(followed.stderr, format!("=====> Deploy {id} made v1\n"));
    assert_eq!(trimmed(&followed.stdout), push.finish().ok().remote());
    mini.anna.ssh(mini.ssh, &format!("builds:cancel {id}")).fails(5, &format!("deploy {id} has "));
    mini.finish();
}

#[test]
fn a_deploy_of_a_foreign_app_looks_like_none_and_to_look_is_not_to_cancel() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    mini.local(&["apps:create", "other"]).ok();
    let viewer = Person::new(mini.home(), "viewer");
    let scoped = Person::new(mini.home(), "scoped");
    mini.local_with(&["keys:add", "viewer", "--role", "view"], &viewer.public_key()).ok();
    mini.local_with(&["keys:add", "scoped", "--app", "other"], &scoped.public_key()).ok();
    let id = builds(&mini, "hello")[0]["id"].to_string();

    for word in ["builds:output", "builds:cancel"] {
        let foreign = scoped.ssh(mini.ssh, &format!("{word} {id}")).fails(3, "there is no deploy");
        let missing = scoped.ssh(mini.ssh, &format!("{word} 999")).fails(3, "there is no deploy");
        assert_eq!(foreign.stderr.replace(&id, "999"), missing.stderr);
    }
    viewer.ssh(mini.ssh, &format!("builds:output {id}")).ok();
    viewer.ssh(mini.ssh, &format!("builds:cancel {id}")).fails(4, "needs a key with the role `deploy`");
    mini.local(&["apps:destroy", "hello", "--confirm", "hello"]).ok();
    mini.anna.ssh(mini.ssh, &format!("builds:output {id}")).fails(3, "there is no deploy");
    mini.finish();
}

#[test]
fn what_was_said_before_a_crash_is_kept() {
    let mut mini = Mini::start();
    let repo = Repo::hello();
    let marker = slow_commit(&repo);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    let id = builds(&mini, "hello")[0]["id"].to_string();
    let output = |mini: &Mini| mini.local(&["builds:output", &id]).ok().stdout;
    eventually("the output to be written", || output(&mini).contains("-----> Building image").then_some(()));
    let said = output(&mini);

    mini.kill_9();
    push.finish();
    mini.boot();

    assert_eq!(output(&mini), said);
    mini.local(&["builds:output", &id, "-f"]).fails(1, "mini: mini stopped before the switch");
    assert_eq!(builds(&mini, "hello")[0]["state"], "failed");
    eventually("the build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}

#[test]
fn builds_wait_for_a_builder_and_know_their_place() {
    let mini = Mini::start();
    let repos: Vec<Repo> = (0..3).map(|_| Repo::hello()).collect();
    let marker = slow_commit(&repos[0]);
    let mut first = mini.anna.begin_push(repos[0].path(), mini.ssh, "first", &["main"]);
    first.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));
    let mut second = mini.anna.begin_push(repos[1].path(), mini.ssh, "second", &["main"]);
    second.wait_for("-----> Waiting for a builder: 1 build before this one");
    let mut third = mini.anna.begin_push(repos[2].path(), mini.ssh, "third", &["main"]);
    third.wait_for("-----> Waiting for a builder: 2 builds before this one");
    assert_eq!(builds(&mini, "third")[0]["state"], "waiting");

    mini.anna.ssh(mini.ssh, &format!("builds:cancel {}", builds(&mini, "second")[0]["id"])).ok();
    third.wait_for("-----> Waiting for a builder: 1 build before this one");
    second.finish().fails(1, "cancelled by anna@test");
    mini.anna.ssh(mini.ssh, &format!("builds:cancel {}", builds(&mini, "first")[0]["id"])).ok();

    third.finish().ok();
    first.finish().fails(1, "cancelled by anna@test");
    assert_eq!(mini.get("third", "/").status, 200);
    eventually("the cancelled build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}

#[test]
fn a_change_of_config_is_live_while_a_push_to_the_same_app_still_builds() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let marker = slow_commit(&repo);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));

    mini.anna.ssh(mini.ssh, "config:set hello A=1").ok();
    mini.anna.ssh(mini.ssh, "rollback hello v1").ok();

    assert!(is_running(&marker), "the build went on beside");
    let rows = builds(&mini, "hello");
    let states: Vec<_> = rows.iter().map(|row| (row["kind"].as_str().unwrap(), row["state"].as_str().unwrap())).collect();
    assert_eq!(states[..3], [("rollback", "done"), ("config", "done"), ("push", "building")]);
    mini.anna.ssh(mini.ssh, &format!("builds:cancel {}", rows[2]["id"])).ok();
    push.finish().fails(1, "nothing was changed: v3 keeps serving");
    eventually("the cancelled build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}

/// The rows of `builds APP`, newest first.
fn builds(mini: &Mini, app: &str) -> Vec<Value> {
    serde_json::from_str(&mini.local(&["builds", app, "--json"]).ok().stdout).unwrap()
}

fn trimmed(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// Commits a build that sleeps for minutes, and returns what its process can be known by.
fn slow_commit(repo: &Repo) -> String {
    let marker = format!("600.{}", unique());
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep {marker}\n"));
    repo.commit("a slow build");
    marker
}
