//! Live processes that die: said, brought back, routed around; and nobody else notices.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{Docker, Mini, Repo, eventually, median_and_worst, proof, rounds};
use crate::processes::wait_for;
use crate::restarts::Watch;
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

/// Kills a process through the engine and returns how long, from its end, it was still among those that requests go to.
///
/// The server says that a process died as soon as it is not; the test reads that while it is written.
fn out_of_routing(mini: &Mini, container: &str) -> Duration {
    let mut log = File::open(mini.home().join("server.log")).unwrap();
    log.seek(SeekFrom::End(0)).unwrap();
    let (killed, mut said) = (container.to_owned(), String::new());
    let kill = std::thread::spawn(move || Docker::kill(&killed));

    let deadline = Instant::now() + Duration::from_secs(20);
    while !said.contains("a live process died") {
        assert!(Instant::now() < deadline, "nobody noticed the death of {container}");
        std::thread::sleep(Duration::from_millis(1));
        log.read_to_string(&mut said).unwrap();
    }
    let out = SystemTime::now();

    kill.join().unwrap();
    out.duration_since(Docker::ended_at(container)).unwrap_or_default()
}

#[test]
fn a_killed_process_of_several_is_out_of_routing_at_once() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();
    mini.local(&["ps:scale", "blog", "web=3"]).ok();
    let (load, watch) = (Load::start(mini.http, "blog.localhost"), Watch::start(mini.http));
    // More deaths of one process would be a crash loop.
    let (rounds, mut waits) = (rounds(3, 3 * 4), Vec::new());

    for round in 0..rounds {
        let containers = mini.docker().containers();
        waits.push(out_of_routing(&mini, &containers[round % containers.len()]));
        wait_for(&mini, &["web.1", "web.2", "web.3"]);
    }

    let ((served, cut), (watched, longest, unseen)) = (load.stop(), watch.stop());
    let ((median, worst), cut) = (median_and_worst(&waits), [cut, unseen].concat());
    proof(
        "deaths",
        &[
            ("rounds", &rounds),
            ("requests", &(served + watched)),
            ("cut", &cut.len()),
            ("median_out_ms", &median),
            ("worst_out_ms", &worst),
            ("longest_answer_ms", &longest.as_millis()),
        ],
    );
    // In quiet within 100 ms, and nobody but who was on it sees that it died.
    assert!(worst < 2000, "{waits:?}");
    assert!(cut.len() <= 9 * rounds, "more than one for each client that was on it, of {served}: {cut:?}");
    mini.finish();
}
