//! Builds that print without measure, and pushers who do not read: flat memory, a bounded file, and a verdict all the same.
//!
//! `MINI_SOAK=1` makes the floods ten times as large.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Mini, Repo, eventually, proof, rounds, unique};

/// What one step prints, in MB.
fn step_mb() -> usize {
    rounds(25, 250)
}

#[test]
fn a_build_that_prints_a_flood_costs_flat_memory_and_a_bounded_file() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    flood(&repo);
    let before = mini.peak_memory_mib();

    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    assert!(mini.peak_memory_mib() < before + 48, "{} MiB after {before} MiB", mini.peak_memory_mib());
    let said = pushed.remote();
    assert!(said.iter().any(|line| line.starts_with("=====> Released v2 in ")), "{:?}", said.last());
    let row = &builds(&mini, "hello")[0];
    let kept = mini.anna.ssh(mini.ssh, &format!("builds:output {}", row["id"])).ok().stdout;
    assert!(kept.len() < 11 << 20, "{} bytes", kept.len());
    assert!(kept.contains("=====> Released v2 in ") && kept.starts_with("-----> Receiving hello"), "its beginning and its end");
    assert!(kept.lines().all(|line| line.len() < 17 << 10), "a line is cut");
    assert!(!kept.chars().any(|c| c.is_control() && !"\n\t".contains(c)), "binary bytes are cleaned");
    let peak = mini.peak_memory_mib();
    proof(
        "flood",
        &[
            ("mb", &(6 * step_mb())),
            ("bytes_to_pusher", &pushed.stderr.len()),
            ("bytes_kept", &kept.len()),
            ("before_mib", &before),
            ("peak_mib", &peak),
        ],
    );
    let files: Vec<u64> = kept_files(&mini).collect();
    assert!(files.iter().all(|bytes| *bytes <= (10 << 20) + 21), "{files:?}");
    mini.finish();
}

#[test]
fn a_pusher_who_does_not_read_holds_up_no_build_and_hears_the_verdict() {
    let mini = Mini::start();
    let repo = Repo::hello();
    flood(&repo);
    let before = mini.peak_memory_mib();

    let mut command = mini.anna.push_command(repo.path(), mini.ssh, "hello", &["main"]);
    let mut push = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let state = || builds_if_any(&mini, "hello").first().map(|row| row["state"].as_str().unwrap().to_owned());
    eventually("the build to begin", || state().filter(|state| state == "building"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(4);
    while state().as_deref() == Some("building") {
        assert!(std::time::Instant::now() < deadline, "the build is held up");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    assert_ne!(state().as_deref(), Some("failed"), "{:?}", builds(&mini, "hello"));
    assert!(mini.peak_memory_mib() < before + 48, "{} MiB after {before} MiB", mini.peak_memory_mib());
    let mut said = String::new();
    push.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(push.wait().unwrap().success(), "{}", &said[said.len().saturating_sub(2000)..]);
    assert!(said.contains("=====> Released v1 in "));
    mini.finish();
}

/// Commits a build that prints long and short lines, one line without an end and bytes that are no text; new to any cache.
fn flood(repo: &Repo) {
    let (mb, mark) = (step_mb(), unique());
    let steps: Vec<String> = (0..4).map(|step| format!("RUN yes {step}.{mark} | head -c {mb}000000\n")).collect();
    let steps = steps.concat();
    let one_line = format!("RUN : {mark}; head -c {mb}000000 /dev/zero | tr '\\0' x\n");
    let binary = format!("RUN : {mark}; head -c {mb}000000 /dev/urandom\n");
    let rest = "COPY . /www/\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT -h /www\"]\n";
    repo.write("Dockerfile", &format!("FROM busybox\n{steps}{one_line}{binary}{rest}"));
    repo.commit("a flood");
}

fn kept_files(mini: &Mini) -> impl Iterator<Item = u64> {
    let apps = std::fs::read_dir(mini.data().join("builds")).unwrap().flatten();
    apps.flat_map(|app| std::fs::read_dir(app.path()).unwrap().flatten()).map(|file| file.metadata().unwrap().len())
}

fn builds(mini: &Mini, app: &str) -> Vec<Value> {
    serde_json::from_str(&mini.local(&["builds", app, "--json"]).ok().stdout).unwrap()
}

/// As [`builds`]; none before the app is there.
fn builds_if_any(mini: &Mini, app: &str) -> Vec<Value> {
    let said = mini.local(&["builds", app, "--json"]);
    if said.code == 3 { Vec::new() } else { serde_json::from_str(&said.ok().stdout).unwrap() }
}
