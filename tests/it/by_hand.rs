//! Containers that somebody else stops, kills or removes, one by one or all at once as a reboot does: what is live runs.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo, eventually, proof};

/// Somebody has decided that it is to be so: `docker WORDS`.
fn docker(words: &[&str]) {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "docker {words:?}: {output:?}");
}

/// Returns how long it takes until an app answers.
fn back(mini: &Mini, app: &str) -> Duration {
    let begun = Instant::now();
    eventually(&format!("{app} to answer"), || (mini.get(app, "/").status == 200).then_some(()));
    begun.elapsed()
}

#[test]
fn after_a_reboot_every_app_is_back() {
    let mut mini = Mini::start();
    let (repo, apps) = (Repo::hello(), ["one", "two", "three"]);
    for app in apps {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let containers = mini.docker().containers();
    mini.stop();
    docker(&[&["kill"], &containers.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    docker(&["rm", &containers[1]]);

    let begun = Instant::now();
    mini.boot();
    for app in apps {
        back(&mini, app);
    }
    let worst = begun.elapsed();

    proof("reboot", &[("apps", &apps.len()), ("back_ms", &worst.as_millis())]);
    // In quiet within three seconds.
    assert!(worst < Duration::from_secs(15), "all were back after {worst:?}");
    let now = mini.docker().containers();
    assert!(now.len() == 3 && !now.contains(&containers[1]), "{now:?}");
    assert!(now.contains(&containers[0]) && now.contains(&containers[2]), "containers that were there are used again");
    mini.finish();
}

/// Does something to the only container and returns how long the app is away.
fn by_hand(mini: &Mini, words: &[&str]) -> Duration {
    let container = mini.docker().containers().remove(0);
    docker(&[words, &[&container]].concat());
    back(mini, "hello")
}

#[test]
fn a_container_that_is_removed_by_hand_is_back_within_ten_seconds() {
    let mini = Mini::start();
    mini.anna.push(Repo::hello().path(), mini.ssh, "hello", &["main"]).ok();

    let removed = by_hand(&mini, &["rm", "-f"]);

    proof("by_hand", &[("removed_ms", &removed.as_millis())]);
    assert!(removed < Duration::from_secs(10), "{removed:?}");
    eventually("one container", || (mini.docker().containers().len() == 1).then_some(()));
    mini.finish();
}

// The engine's own restart policy leaves alone what somebody has stopped.
#[test]
fn a_container_that_is_stopped_or_killed_by_hand_is_back_within_ten_seconds() {
    let mini = Mini::start();
    mini.anna.push(Repo::hello().path(), mini.ssh, "hello", &["main"]).ok();
    let container = mini.docker().containers();

    let stopped = by_hand(&mini, &["stop", "-t", "1"]);
    let killed = by_hand(&mini, &["kill"]);

    proof("by_hand", &[("stopped_ms", &stopped.as_millis()), ("killed_ms", &killed.as_millis())]);
    assert!(stopped < Duration::from_secs(10) && killed < Duration::from_secs(10), "{stopped:?} {killed:?}");
    assert_eq!(mini.docker().containers(), container, "what is there is used again");
    mini.finish();
}
