//! A clock that jumps by a year and back while the server runs: nothing that is under way ends by it.

use std::path::Path;

use serde_json::json;

use crate::harness::{Mini, Repo, eventually};
use crate::traffic::{Load, echo, open_websocket};

/// Debian keeps it below the machine's own name.
fn library() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let found = folders.into_iter().find(|path| path.exists()).expect("libfaketime is installed by deploy/ensure-packages faketime");
    found.display().to_string()
}

fn set(clock: &Path, offset: &str) {
    let beside = clock.with_extension("new");
    std::fs::write(&beside, format!("{offset}\n")).unwrap();
    std::fs::rename(beside, clock).unwrap();
}

/// The year in which the server wrote the last line of its log.
fn year(mini: &Mini) -> u32 {
    mini.get("nobody", "/");
    mini.log().lines().last().unwrap().split('-').next().unwrap().parse().unwrap_or_default()
}

#[test]
fn a_clock_that_jumps_ends_keys_on_their_day_and_nothing_else() {
    let mut mini = Mini::start();
    mini.stop();
    let clock = mini.home().join("clock");
    set(&clock, "+0");
    let preload = [("LD_PRELOAD", library()), ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string())];
    mini.env.extend(preload.map(|(name, value)| (name.to_owned(), value)));
    // A real clock that is set leaves the monotonic one alone.
    mini.env.extend(["FAKETIME_NO_CACHE", "DONT_FAKE_MONOTONIC"].map(|name| (name.to_owned(), "1".to_owned())));
    mini.boot();
    let (now, repo) = (year(&mini), Repo::from_folder("tests/apps/cgi"));
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.push(Repo::from_folder("tests/apps/websocket-echo").path(), mini.ssh, "echo", &["main"]).ok();
    let (short, endless) = (mini.token("short --expires 30d"), mini.token("endless"));
    let load = Load::start(mini.http, "blog.localhost");
    let mut websocket = open_websocket(mini.http);
    let mut logs = mini.follow(&endless, "logs", &json!({"app": "blog", "follow": true}));
    logs.wait_for("200 OK");

    for (offset, jumped, is_valid) in [("+366d", now + 1, false), ("-366d", now - 1, true), ("+0", now, true)] {
        set(&clock, offset);
        eventually("the server's year", || (year(&mini) == jumped).then_some(()));

        assert_eq!(mini.call(&short, "whoami", &json!({})).status, if is_valid { 200 } else { 401 }, "{offset}");
        assert_eq!(mini.call(&endless, "whoami", &json!({})).status, 200, "{offset}");
        assert_eq!(echo(&mut websocket, b"still there"), b"still there", "{offset}");
        mini.anna.ssh(mini.ssh, "whoami").ok();
        repo.write("www/index.html", offset);
        repo.commit(offset);
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
        assert_eq!(mini.get("blog", "/").body, offset);
        mini.local(&["logs", "blog", "-n", "5"]).ok();
    }

    let (served, failed) = load.stop();
    assert_eq!(failed, Vec::<String>::new(), "of {served}");
    println!("proof: clock_jumps jumps=3 requests={served} failed=0");
    logs.wait_for("v4 is live");
    mini.finish();
}
