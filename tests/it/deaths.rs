//! Live processes that die: said, brought back, routed around; and nobody else notices.

use crate::harness::{Docker, Mini, Repo, eventually};
use crate::traffic::Load;

fn ps(mini: &Mini, app: &str) -> String {
    mini.local(&["ps", app]).ok().stdout
}

#[test]
fn an_app_that_dies_again_and_again_is_shown_as_that_and_started_less_and_less_often() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("tests/apps/dies-when-told").path(), mini.ssh, "blog", &["main"]).ok();
    let container = mini.docker().containers().remove(0);
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "other", &["main"]).ok();
    let load = Load::start(mini.http, "other.localhost");

    mini.get("blog", "/cgi-bin/die");

    let state = eventually("a crash loop", || Some(ps(&mini, "blog")).filter(|ps| ps.contains("crash loop (exit code 1)")));
    println!("{state}");
    let logs = mini.local(&["logs", "blog"]).ok().stdout;
    assert!(logs.contains("web.1 of v1 crashed (exit code 1); it is started again"), "{logs}");
    assert!(logs.contains("web.1 of v1 crashed again (exit code 1): it is in a crash loop"), "{logs}");
    let restarts: u32 = Docker::inspect(&container, "{{.RestartCount}}").trim().parse().unwrap();
    assert!((4..12).contains(&restarts), "{restarts} restarts: each waits for longer than the one before");
    let (served, failed) = load.stop();
    assert!(served > 0 && failed.is_empty(), "{} of {served} requests to another app failed: {:?}", failed.len(), failed.first());
    mini.finish();
}
