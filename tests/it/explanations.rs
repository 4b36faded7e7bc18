//! Why a release does not start, said in one sentence with one command; and a port of the app's own choice, which is no failure.

use crate::failures::{Live, command_to_try, says};
use crate::harness::{Mini, Repo, Said, eventually};
use crate::traffic::Load;

/// The addresses at which `ps` shows an app's processes.
fn ports(mini: &Mini) -> Vec<String> {
    let rows: serde_json::Value = serde_json::from_str(&mini.local(&["ps", "blog", "--json"]).ok().stdout).unwrap();
    let port = |row: &serde_json::Value| row["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    rows.as_array().unwrap().iter().filter(|row| row["state"] == "running").map(port).collect()
}

/// Pushes each, and asserts why it does not start and what is to be done.
#[track_caller]
fn each_fails(live: &Live, cases: &[(&str, &str, &str)]) {
    for (dockerfile, sentence, command) in cases {
        live.dockerfile(dockerfile);
        let pushed: Said = live.push_fails(sentence);
        let said = command_to_try(&pushed);
        assert!(said.contains(command), "{dockerfile}: {said}");
    }
}

#[test]
fn an_app_that_listens_elsewhere_is_used_there_scaled_there_and_found_there_again() {
    let mut mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/wrong-port");

    let pushed = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    let note = "       listens on port 3000, not on $PORT (5000): port 3000 is used";
    assert!(pushed.remote().iter().any(|line| line == note), "{}", pushed.stderr);
    assert_eq!(mini.get("blog", "/").status, 404, "busybox's httpd has no page there");
    mini.local(&["ps:scale", "blog", "web=2"]).ok();
    assert_eq!(ports(&mini), ["3000", "3000"]);
    mini.local(&["ps:restart", "blog"]).ok();
    assert!(mini.stop().success());
    mini.boot();
    eventually("both to run", || (ports(&mini) == ["3000", "3000"]).then_some(()));
    assert_eq!(mini.get("blog", "/").status, 404);
    mini.docker().containers().iter().for_each(|id| drop(std::process::Command::new("docker").args(["kill", id]).output().unwrap()));
    eventually("an answer after both were killed", || (mini.get("blog", "/").status == 404).then_some(()));
    mini.finish();
}

#[test]
fn an_exposed_port_is_taken_before_others_and_two_equal_ones_are_not_guessed_between() {
    let live = Live::start(&["--ready-time", "6s"]);
    let both = "CMD [\"sh\", \"-c\", \"httpd -p 3000; exec httpd -f -p 4000\"]";

    live.dockerfile(&format!("FROM busybox\n{both}\n"));
    let sentence = "web.1 listens on port 3000 and on port 4000, not on $PORT (5000): which one is meant is not known";
    let pushed = live.push_fails(sentence);
    assert_eq!(command_to_try(&pushed), "ssh mini config:set blog PORT=3000");
    live.dockerfile(&format!("FROM busybox\nEXPOSE 4000 4001\n{both}\n"));
    let pushed = live.push().ok();

    assert!(pushed.stderr.contains("listens on port 4000, not on $PORT (5000): port 4000 is used"), "{}", pushed.stderr);
    live.mini.finish();
}

#[test]
fn what_cannot_be_started_is_named() {
    let live = Live::start(&[]);

    each_fails(
        &live,
        &[
            ("FROM busybox\nCMD [\"nope\"]\n", "exited with code 127 after", "mend CMD"),
            ("FROM busybox\nCMD [\"/etc/passwd\"]\n", ": `/etc/passwd` is not executable", "chmod +x /etc/passwd"),
            ("FROM busybox\nCMD []\n", "the image has no command to start", "CMD"),
            ("FROM busybox\nUSER nosuch\nCMD [\"true\"]\n", "the image has no user `nosuch`", "adduser"),
            ("FROM busybox\nCMD [\"true\"]\n", ": a web process must stay and listen", "foreground"),
            ("FROM busybox\nCMD [\"sh\", \"-c\", \"sleep 2; kill -SEGV $$\"]\n", ": it crashed: segmentation fault", "docker build"),
        ],
    );
    live.mini.finish();
}

#[test]
fn what_a_program_says_before_it_ends_is_understood() {
    let live = Live::start(&[]);

    each_fails(
        &live,
        &[
            (
                "FROM python:3-slim\nCMD [\"python3\", \"-c\", \"import flask\"]\n",
                ": the Python module `flask` is not installed",
                "requirements.txt",
            ),
            (
                "FROM python:3-slim\nCMD [\"python3\", \"-c\", \"import os; os.environ['SECRET_KEY']\"]\n",
                ": the config variable SECRET_KEY is not set",
                "ssh mini config:set blog SECRET_KEY=…",
            ),
            ("FROM busybox\nCMD [\"cat\", \"/app/x.toml\"]\n", ": the file `/app/x.toml` is not there", "COPY"),
            (
                "FROM node:18-slim\nCMD [\"node\", \"-e\", \"require('express')\"]\n",
                ": the module `express` is not installed",
                "npm install express",
            ),
        ],
    );
    live.mini.finish();
}

#[test]
fn an_app_without_enough_memory_is_told_its_limit() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["limits:set", "blog", "memory=24m"]).ok();
    let repo = Repo::of(&[("Dockerfile", "FROM busybox\nCMD [\"tail\", \"/dev/zero\"]\n")]);

    let pushed = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).fails(1, ": it ran out of memory, its limit is 24 MiB");

    assert_eq!(command_to_try(&pushed), "ssh mini limits:set blog memory=48m");
    mini.finish();
}

#[test]
fn an_app_that_is_still_busy_at_the_deadline_may_only_be_slow() {
    let live = Live::start(&["--ready-time", "3s"]);
    live.dockerfile("FROM busybox\nCMD [\"sh\", \"-c\", \"while :; do echo loading; sleep 0.5; done\"]\n");

    let pushed = live.push_fails("still printed: it may only be slow");

    assert!(command_to_try(&pushed).starts_with("ssh mini apps:set blog health-timeout="), "{}", pushed.stderr);
    live.mini.finish();
}

#[test]
fn an_app_that_flaps_never_goes_live() {
    let live = Live::start(&["--ready-time", "3s"]);
    live.take("flapping");

    let pushed = live.push_fails(" !     try: ssh mini logs blog");

    assert!(pushed.stderr.contains(" to GET /"), "{}", pushed.stderr);
    live.mini.finish();
}

#[test]
fn a_program_that_a_build_lacks_is_named() {
    let live = Live::start(&[]);
    live.dockerfile("FROM busybox\nRUN npm ci\n");

    let pushed = live.push_fails("failed with exit code 127: there is no program `npm` in its image");

    says(
        &pushed,
        r"
-----> Receiving blog (main, COMMIT)
-----> Dockerfile app
-----> Building image
       [1/N] FROM busybox  N.Ns
       /bin/sh: npm: not found
 !     `RUN npm ci` failed with exit code 127: there is no program `npm` in its image
 !     try: begin FROM an image that has npm, or install it in an earlier RUN
 !     nothing was changed: v1 keeps serving
",
    );
    live.mini.finish();
}

#[test]
fn a_slow_app_goes_live_when_it_answers_and_costs_no_request() {
    let live = Live::start(&["--ready-time", "40s"]);
    live.take("slow");
    let load = Load::start(live.mini.http, "blog.localhost");

    live.push().ok();

    let (served, failed) = load.stop();
    assert!(served > 0 && failed.is_empty(), "{} of {served} requests failed: {:?}", failed.len(), failed.first());
    assert!(!live.mini.get("blog", "/").body.contains("Hello from mini"), "the new one serves");
    live.mini.finish();
}

#[test]
fn a_slow_app_that_is_not_waited_for_is_told_that_it_listened_on_nothing() {
    let live = Live::start(&["--ready-time", "1s"]);
    live.take("slow");

    live.push_fails("web.1 listened on no port within 1");

    live.mini.finish();
}

#[test]
fn a_plan_is_shown_without_being_carried_out() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["explain", "blog"]).fails(3, "`blog` has no commit to build");
    let dockerfile = "# syntax=docker/dockerfile:1\nFROM busybox\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT\"]\n";
    let procfile = "web: httpd -f -p $PORT\nworker: sleep 1000\nrelease: true\n";
    let repo = Repo::of(&[("Dockerfile", dockerfile), ("Procfile", procfile)]);
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let images = mini.docker().images();

    let shown = mini.anna.ssh(mini.ssh, "explain blog").ok().stdout;
    let plan: serde_json::Value = serde_json::from_str(&mini.local(&["explain", "blog", "--json"]).ok().stdout).unwrap();

    assert!(shown.contains("Dockerfile app") && shown.contains("web × 1: exec httpd -f -p $PORT"), "{shown}");
    assert!(shown.contains("worker × 0: exec sleep 1000") && shown.contains("#\nFROM busybox\n"), "the engine's own frontend: {shown}");
    assert_eq!((plan["port"].as_u64(), plan["release"].as_str()), (Some(5000), Some("v1")));
    assert_eq!(plan["release_command"], "exec true");
    assert_eq!(mini.docker().images(), images, "nothing was built");
    mini.finish();
}
