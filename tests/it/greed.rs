//! Apps that take all they can get: memory, processes, words in the log. Each pays for itself.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Docker, Mini, Repo, eventually, proof, rounds, signal};
use crate::traffic::ask;

fn app(start: &str) -> Repo {
    let repo = Repo::empty();
    repo.write("Dockerfile", "FROM busybox\nCOPY start index.html /www/\nCMD [\"sh\", \"/www/start\"]\n");
    repo.write("start", &format!("{start}\nexec httpd -f -p $PORT -h /www\n"));
    repo.write("index.html", "hello\n");
    repo.commit("first");
    repo
}

#[test]
fn a_process_that_runs_out_of_memory_is_named_started_again_and_hurts_no_other() {
    let mini = Mini::start();
    // The first process eats, or the app would survive it: tail keeps what has no line end.
    let eats = "httpd -p $PORT -h /www\nwhile [ ! -e /eat ]; do sleep 0.1; done\nrm /eat\nexec tail /dev/zero\n";
    mini.anna.push(app(eats).path(), mini.ssh, "greedy", &["main"]).ok();
    mini.local(&["limits:set", "greedy", "memory=32m"]).ok();
    let container = eventually("the process without a limit to be gone", || {
        let containers = mini.docker().containers();
        (containers.len() == 1).then(|| containers[0].clone())
    });
    mini.anna.push(Repo::hello().path(), mini.ssh, "other", &["main"]).ok();
    let other = |docker: &Docker| docker.containers().into_iter().find(|id| *id != container).unwrap();
    let started = Docker::inspect(&other(&mini.docker()), "{{.State.StartedAt}}");

    Docker::exec(&container, &["touch", "/eat"]);

    eventually("its death in the log, with the cause", || {
        mini.local(&["logs", "greedy"]).ok().stdout.contains("web.1 of v1 crashed (out of memory, limit 32 MiB)").then_some(())
    });
    eventually("its answers", || (mini.get("greedy", "/").status == 200).then_some(()));
    assert_eq!(Docker::inspect(&other(&mini.docker()), "{{.State.StartedAt}} {{.RestartCount}}"), format!("{started} 0"));
    assert_eq!(mini.get("other", "/").status, 200);
    mini.finish();
}

#[test]
fn a_fork_bomb_stays_within_its_app() {
    let mini = Mini::start();
    let repo = app("(while [ ! -e /go ]; do sleep 0.1; done; while :; do sleep 1000 & done) 2>/tmp/complaints &");
    mini.anna.push(repo.path(), mini.ssh, "bomb", &["main"]).ok();
    let container = mini.docker().containers().remove(0);
    mini.anna.push(Repo::hello().path(), mini.ssh, "other", &["main"]).ok();

    Docker::exec(&container, &["touch", "/go"]);

    eventually("the limit to be met", || {
        // Nothing can be started in there any more, so it is asked from outside.
        let pid: u32 = Docker::inspect(&container, "{{.State.Pid}}").parse().unwrap();
        let complaints = std::fs::read_to_string(format!("/proc/{pid}/root/tmp/complaints")).unwrap_or_default();
        complaints.contains("can't fork").then_some(())
    });
    let processes = Command::new("docker").args(["top", &container, "-o", "pid"]).output().unwrap().stdout;
    let processes = String::from_utf8(processes).unwrap().lines().count();
    assert!(processes <= 514, "{processes} processes");
    assert_eq!(mini.get("other", "/").status, 200);
    mini.anna.ssh(mini.ssh, "whoami").ok();
    mini.local(&["ps", "bomb"]).ok();
    proof("fork_bomb", &[("processes", &processes)]);
    mini.finish();
}

#[test]
fn a_flood_of_words_costs_the_server_no_memory_and_delays_nobody() {
    let megabytes = rounds(120, 1000);
    let mini = Mini::start();
    let flood = format!(
        "yes 'a line like many others, of sixty bytes, and not the last one' | head -c {megabytes}000000; echo 'the flood is over'"
    );
    mini.anna.push(app(&format!("(while [ ! -e /go ]; do sleep 0.1; done; {flood}) &")).path(), mini.ssh, "flood", &["main"]).ok();
    let container = mini.docker().containers().remove(0);
    let before = mini.peak_memory_mib();
    // One reads along, one reads nothing of what it asked for.
    let follow = |stdout: Stdio| {
        let mut command = mini.anna.words_command(mini.ssh, "logs flood -f -n 1");
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut readers = [follow(Stdio::null()), follow(Stdio::piped())];
    signal(readers[1].id(), "STOP");

    Docker::exec(&container, &["touch", "/go"]);
    let mut worst = Duration::ZERO;
    let mut is_over = || {
        let begun = Instant::now();
        ask(None, mini.http, "flood.localhost", false).unwrap();
        worst = worst.max(begun.elapsed());
        let mut last = Command::new("docker");
        let last = last.args(["logs", "--tail", "1", &container]).output().unwrap();
        String::from_utf8_lossy(&last.stdout).contains("the flood is over").then_some(())
    };
    let deadline = Instant::now() + Duration::from_mins(3);
    while is_over().is_none() {
        assert!(Instant::now() < deadline, "the flood does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    let last = mini.local(&["logs", "flood", "-n", "1000"]).ok().stdout;
    let after = mini.peak_memory_mib();

    proof(
        "log_flood",
        &[("megabytes", &megabytes), ("memory_before_mib", &before), ("memory_peak_mib", &after), ("worst_answer_ms", &worst.as_millis())],
    );
    assert!(last.lines().count() >= 999 && last.contains("the flood is over"), "{} lines", last.lines().count());
    assert!(after < before + 64, "{before} MiB before the flood, {after} MiB at its peak");
    assert!(worst < Duration::from_secs(5), "{worst:?}");
    for reader in &mut readers {
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
    mini.finish();
}
