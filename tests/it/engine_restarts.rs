//! A Docker Engine that goes away under the server and comes back: apps follow it, and the server stays.

use std::time::{Duration, Instant};

use crate::harness::{Mini, OwnEngine, Repo, eventually, own_engine, proof, rounds};

const APPS: [&str; 2] = ["one", "two"];

/// Asserts that the server answers its people, and refuses a push in a sentence, while the engine is away.
fn is_alive_and_says_why(mini: &Mini, repo: &Repo) {
    let pid = mini.pid();
    mini.anna.ssh(mini.ssh, "whoami").ok();
    let status = mini.local(&["status"]).ok().stdout;
    assert!(status.contains("! no Docker Engine answers at "), "{status}");
    repo.next("during the outage");
    let begun = Instant::now();
    mini.anna.push(repo.path(), mini.ssh, "one", &["main"]).fails(1, "no Docker Engine answers at ");
    assert!(begun.elapsed() < Duration::from_secs(20), "the refusal took {:?}", begun.elapsed());
    repo.git(&["reset", "-q", "--hard", "HEAD~"]);
    assert_eq!(mini.pid(), pid);
}

/// Starts the engine and returns how long after its first answer all apps answer.
fn come_back(mini: &Mini, engine: &mut OwnEngine) -> Duration {
    engine.start();
    let begun = Instant::now();
    for app in APPS {
        eventually(&format!("{app} to be back"), || (mini.get(app, "/").status == 200).then_some(()));
    }
    begun.elapsed()
}

#[test]
fn apps_are_back_after_the_engine_was_stopped_or_killed() {
    let test = "engine_restarts::apps_are_back_after_the_engine_was_stopped_or_killed";
    let Some(mut engine) = own_engine(test) else { return };
    let mini = Mini::start();
    let repo = Repo::hello();
    for app in APPS {
        mini.anna.push(repo.path(), mini.ssh, app, &["main"]).ok();
    }
    let (rounds, mut worst) = (rounds(1, 10), Duration::ZERO);

    for round in 0..rounds {
        engine.stop();
        is_alive_and_says_why(&mini, &repo);
        worst = worst.max(come_back(&mini, &mut engine));

        engine.kill_9();
        is_alive_and_says_why(&mini, &repo);
        worst = worst.max(come_back(&mini, &mut engine));

        // An engine that is back is used again.
        let page = format!("round {round}");
        repo.next(&page);
        mini.anna.push(repo.path(), mini.ssh, "two", &["main"]).ok();
        assert_eq!(mini.get("two", "/").body, page);
    }

    proof("engine_restarts", &[("rounds", &rounds), ("worst_back_ms", &worst.as_millis())]);
    // In quiet within two seconds.
    assert!(worst < Duration::from_secs(15), "an app came back after {worst:?}");
    eventually("the old release of two to be gone", || (mini.docker().containers().len() == 2).then_some(()));
    mini.finish();
    engine.stop();
}
