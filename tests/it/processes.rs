//! Several processes of one app: a Procfile's types, scaled, restarted, stopped and started, with requests on them all the while.

use std::collections::BTreeSet;

use crate::harness::{Docker, Mini, Repo, eventually};
use crate::traffic::Load;

/// An app whose web processes say who they are, with a worker and a clock.
fn with_types() -> (Mini, Repo) {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    repo.write("Procfile", "# who runs\nweb: /start\nworker: while :; do echo $DYNO works; sleep 1; done\nclock: exec sleep 1000\n");
    repo.commit("types");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    (mini, repo)
}

/// Process, release and state of what `ps` shows, without what still drains.
fn shown(mini: &Mini) -> Vec<(String, String, String)> {
    let rows: serde_json::Value = serde_json::from_str(&mini.local(&["ps", "blog", "--json"]).ok().stdout).unwrap();
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(row, "process"), text(row, "release"), text(row, "state"))).collect()
}

/// Waits until these and no others are what `ps` shows of `blog`, all of them running.
pub fn wait_for(mini: &Mini, wanted: &[&str]) {
    eventually("the processes to be as wanted", || {
        let rows = shown(mini);
        let names: Vec<&str> = rows.iter().filter(|row| row.2 == "running").map(|row| row.0.as_str()).collect();
        (names == wanted && rows.len() == wanted.len()).then_some(())
    });
}

/// The processes that answer.
fn answering(mini: &Mini) -> BTreeSet<String> {
    let answers = (0..40).map(|_| mini.get("blog", "/cgi-bin/env").body);
    answers.filter_map(|body| Some(body.lines().find(|line| line.starts_with("DYNO="))?.to_owned())).collect()
}

#[test]
fn a_procfiles_types_wait_to_be_scaled_and_each_process_knows_who_it_is() {
    let (mini, _repo) = with_types();
    assert_eq!(shown(&mini).len(), 1);

    let said = mini.anna.ssh(mini.ssh, "ps:scale blog web=3 worker+1").ok();

    assert!(said.stderr.contains("Starting web.2, web.3, worker.1"), "{}", said.stderr);
    assert!(said.stdout.contains("Scaled `blog` to web=3 worker=1."), "{}", said.stdout);
    wait_for(&mini, &["web.1", "web.2", "web.3", "worker.1"]);
    assert_eq!(answering(&mini).len(), 3);
    eventually("the worker to work", || mini.local(&["logs", "blog", "-p", "worker"]).ok().stdout.contains("worker.1 works").then_some(()));
    let scale = mini.anna.ssh(mini.ssh, "ps:scale blog").ok().stdout;
    assert!(scale.contains("worker") && scale.contains("while :; do"), "{scale}");

    mini.anna.ssh(mini.ssh, "ps:scale blog web=1 worker-1").ok();
    wait_for(&mini, &["web.1"]);
    mini.anna.ssh(mini.ssh, "ps:scale blog nothing=1").fails(3, "v1 of `blog` has no process type `nothing`, only clock, web, worker");
    mini.anna.ssh(mini.ssh, "ps:scale blog web=20 worker=1").fails(2, "an app runs at most 20 processes");
    wait_for(&mini, &["web.1"]);
    mini.finish();
}

#[test]
fn no_request_fails_over_scales_restarts_and_limits() {
    let (mini, _repo) = with_types();
    mini.local(&["ps:scale", "blog", "worker=1"]).ok();
    let load = Load::start(mini.http, "blog.localhost");

    let mut told = String::new();
    for words in [
        "ps:scale blog web=3",
        "ps:restart blog",
        "ps:scale blog web=1",
        "ps:restart blog web.1",
        "limits:set blog memory=64m cpus=0.9",
        "ps:scale blog web=2",
        "ps:restart blog worker",
    ] {
        told += &mini.anna.ssh(mini.ssh, words).ok().stderr;
    }
    wait_for(&mini, &["web.1", "web.2", "worker.1"]);

    let (served, failed) = load.stop();
    assert_eq!(failed, Vec::<String>::new(), "of {served}");
    assert!(served > 100, "{served} requests prove nothing");
    // A change that only ends processes is too quick for a request to be served meanwhile.
    let told_of = told.matches(" requests served meanwhile, ").count();
    assert!(told_of >= 6 && told.matches(" requests served meanwhile, 0 failed").count() == told_of, "{told}");
    assert_eq!(mini.releases("blog").len(), 1, "none of this is a release");
    let memory: BTreeSet<String> = mini.docker().containers().iter().map(|id| Docker::inspect(id, "{{.HostConfig.Memory}}")).collect();
    assert_eq!(memory, [(64 << 20).to_string()].into());
    mini.finish();
}

#[test]
fn a_push_starts_every_web_process_and_then_swaps_the_workers() {
    let (mini, repo) = with_types();
    mini.local(&["ps:scale", "blog", "web=2", "worker=2"]).ok();
    let load = Load::start(mini.http, "blog.localhost");

    repo.write("www/index.html", "two");
    repo.commit("two");
    let said = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok().remote().join("\n");

    assert!(said.contains("Starting web.1, web.2 beside v1") && said.contains("web.2: GET / answered 200"), "{said}");
    assert_eq!(mini.get("blog", "/").body, "two");
    wait_for(&mini, &["web.1", "web.2", "worker.1", "worker.2"]);
    assert!(shown(&mini).iter().all(|row| row.1 == "v2"));
    let (_, failed) = load.stop();
    assert_eq!(failed, Vec::<String>::new());

    let rolled = mini.anna.ssh(mini.ssh, "rollback blog v1").ok().stderr;
    assert!(rolled.contains("Starting web.1, web.2 beside v2"), "{rolled}");
    wait_for(&mini, &["web.1", "web.2", "worker.1", "worker.2"]);
    mini.finish();
}

#[test]
fn a_stopped_app_says_so_and_starts_as_it_was() {
    let (mini, repo) = with_types();
    mini.local(&["ps:scale", "blog", "web=2", "worker=1"]).ok();

    let stopped = mini.anna.ssh(mini.ssh, "ps:stop blog").ok();

    assert!(stopped.stdout.contains("Stopped `blog`."), "{stopped:?}");
    assert!(mini.docker().containers().is_empty());
    let page = mini.get("blog", "/");
    assert!(page.status == 503 && page.body.contains("it was stopped"), "{page:?}");
    assert!(mini.local(&["apps"]).ok().stdout.contains("stopped"));
    mini.anna.ssh(mini.ssh, "ps:restart blog").fails(5, "`blog` is stopped");
    let kept = mini.anna.ssh(mini.ssh, "config:set blog WHILE=stopped").ok().stderr;
    assert!(kept.contains("it is stopped, and `ps:start` has it"), "{kept}");
    assert!(mini.docker().containers().is_empty());

    let started = mini.anna.ssh(mini.ssh, "ps:start blog").ok().stdout;
    assert!(started.contains("v2, with the config that was saved"), "{started}");
    wait_for(&mini, &["web.1", "web.2", "worker.1"]);
    assert!(mini.get("blog", "/cgi-bin/env").body.contains("WHILE=stopped"));

    mini.local(&["ps:stop", "blog"]).ok();
    mini.local(&["ps:start", "blog"]).ok();
    wait_for(&mini, &["web.1", "web.2", "worker.1"]);
    mini.local(&["ps:stop", "blog"]).ok();
    repo.next("a push starts it again");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    wait_for(&mini, &["web.1", "web.2", "worker.1"]);
    mini.finish();
}

#[test]
fn a_stopped_app_stays_stopped_over_a_restart_and_a_scaled_one_scaled() {
    let (mut mini, _repo) = with_types();
    mini.local(&["ps:scale", "blog", "web=2"]).ok();
    mini.kill_9();
    mini.boot();
    wait_for(&mini, &["web.1", "web.2"]);
    assert_eq!(answering(&mini).len(), 2);

    mini.local(&["ps:stop", "blog"]).ok();
    mini.kill_9();
    mini.boot();

    assert_eq!(mini.get("blog", "/").status, 503);
    assert!(mini.docker().containers().is_empty());
    mini.local(&["ps:start", "blog"]).ok();
    wait_for(&mini, &["web.1", "web.2"]);
    mini.finish();
}

#[test]
fn a_killed_process_of_two_costs_no_request_and_comes_back() {
    let (mini, _repo) = with_types();
    mini.local(&["ps:scale", "blog", "web=2"]).ok();
    let load = Load::start(mini.http, "blog.localhost");

    for deaths in 1..=2 {
        Docker::kill(&mini.docker().containers().remove(0));
        let told = || mini.local(&["logs", "blog", "-s", "release"]).ok().stdout.matches(" crashed (exit code 137)").count();
        eventually("its death to be told", || (told() == deaths).then_some(()));
        wait_for(&mini, &["web.1", "web.2"]);
    }

    let (served, failed) = load.stop();
    assert!(failed.len() <= 8, "more than one for each client that was on it, of {served}: {failed:?}");
    mini.finish();
}

#[test]
fn an_app_without_a_web_process_is_judged_by_its_workers() {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    repo.write("Procfile", "worker: exec sleep 1000\n");
    repo.commit("a worker alone");
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["ps:scale", "blog", "worker=1"]).ok();

    let said = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok().remote().join("\n");

    assert!(said.contains("worker.1 ran for 10.0s"), "{said}");
    wait_for(&mini, &["worker.1"]);
    let page = mini.get("blog", "/");
    assert!(page.status == 503 && page.body.contains("it runs no web process"), "{page:?}");

    repo.write("Procfile", "worker: sleep 1; exit 3\n");
    repo.commit("a worker that dies");
    let refused = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).remote().join("\n");
    assert!(refused.contains("worker.1 exited with code 3"), "{refused}");
    wait_for(&mini, &["worker.1"]);
    assert_eq!(shown(&mini)[0].1, "v1", "the old worker is back");
    mini.finish();
}

#[test]
fn a_release_command_runs_before_the_switch_and_its_failure_rejects_the_push() {
    let (mini, repo) = with_types();
    repo.write("Procfile", "web: /start\nrelease: echo migrating for $DYNO of $MINI_RELEASE\n");
    repo.commit("migrate");

    let said = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok().remote().join("\n");
    assert!(said.contains("Running the release command") && said.contains("migrating for release.1 of v2"), "{said}");
    wait_for(&mini, &["web.1"]);

    repo.write("Procfile", "web: /start\nrelease: echo no; exit 4\n");
    repo.commit("do not migrate");
    let refused = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).fails(1, "").remote().join("\n");
    assert!(refused.contains("the release command exited with code 4") && refused.contains("v2 keeps serving"), "{refused}");
    wait_for(&mini, &["web.1"]);
    assert_eq!(shown(&mini)[0].1, "v2");

    repo.write("Procfile", "web npm start\n");
    repo.commit("no procfile");
    let refused = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).fails(1, "").remote().join("\n");
    assert!(refused.contains("the `Procfile` has an error on line 1"), "{refused}");
    mini.finish();
}

#[test]
fn config_saved_without_a_restart_waits_for_the_next_one() {
    let (mini, _repo) = with_types();

    let saved = mini.anna.ssh(mini.ssh, "config:set blog --no-restart LATER=1").ok().stderr;

    assert!(saved.contains("the next push, config change or `ps:restart` of all has it"), "{saved}");
    assert!(!mini.get("blog", "/cgi-bin/env").body.contains("LATER=1"));
    assert_eq!(mini.releases("blog").len(), 1);
    mini.anna.ssh(mini.ssh, "ps:restart blog").ok();
    assert!(mini.get("blog", "/cgi-bin/env").body.contains("LATER=1"));
    assert_eq!(mini.releases("blog").len(), 2);
    mini.finish();
}
