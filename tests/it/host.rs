//! The host's own words: `doctor` finds what is wrong and what mends it, `prune` makes room and takes nothing that is needed.

use std::fs::{File, Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::{Docker, Mini, Repo, Running, Said, eventually, unique};

/// A server with a firewall whose SSH an app could reach without one.
fn guarded(flags: &[&str]) -> Mini {
    let mut mini = Mini::unstarted(&[&["--ssh", "0.0.0.0:0"], flags].concat());
    mini.guard();
    mini.boot();
    mini
}

/// What `doctor --json` found: the name and verdict of each check.
fn verdicts(said: &Said) -> Vec<(String, String)> {
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let checks = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    checks.map(|check| (text(&check, "name"), text(&check, "verdict"))).collect()
}

fn has(found: &[(String, String)], name: &str, verdict: &str) -> bool {
    found.iter().any(|check| (check.0.as_str(), check.1.as_str()) == (name, verdict))
}

#[test]
fn a_server_in_order_is_told_so_and_an_app_is_tried_to_be_kept_off_it() {
    let mini = guarded(&[]);

    let said = mini.anna.ssh(mini.ssh, "doctor").ok();
    let found = verdicts(&mini.local(&["doctor", "--json"]).ok());

    for name in ["engine", "git", "ssh", "http", "disk", "data dir", "master key", "database", "clock", "names", "reach", "firewall"] {
        assert!(said.stdout.contains(&format!("✓ {name:<10}  ")) && has(&found, name, "good"), "{name}: {said:?}");
    }
    assert!(said.stdout.contains("✓ isolation   an app reaches the proxy (port "), "{said:?}");
    assert!(said.stdout.contains("✓ isolation   an app reaches neither mini's ssh (port "), "{said:?}");
    assert!(!said.stdout.contains('✗') && said.stderr.is_empty(), "{said:?}");
    assert_eq!(mini.docker().leftovers(), Vec::<String>::new(), "the trial leaves something behind");
    mini.finish();
}

#[test]
fn what_is_wrong_is_named_with_what_mends_it_and_exits_1() {
    let mini = guarded(&["--domain", "mini-doctor.invalid"]);
    let key = mini.data().join("master.key");
    set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let mut remove = Command::new(env!("CARGO_BIN_EXE_mini"));
    remove.args(["firewall", "remove", "--bridges", &mini.bridges(), "--data"]).arg(mini.data());
    Said::by(remove, b"").ok();

    let said = mini.anna.ssh(mini.ssh, "doctor");
    let json = mini.local(&["doctor", "--json"]);

    assert_eq!((said.code, json.code), (1, 1), "{said:?}");
    let shown = key.display();
    for line in [
        &format!("✗ master key  {shown} is open to other users of the server\n    on the server: chmod go= {shown}\n"),
        "✗ firewall    the firewall rules that keep apps off this machine's ports are missing\n    as root: mini firewall apply",
        "✗ isolation   an app reaches mini's own ssh (port ",
        "! names       doctor.mini-doctor.invalid is not known to the name server of this machine\n    where your domain is kept: *.mini-d",
    ] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
    assert!(said.stderr.contains("checks found something wrong") && said.stderr.contains("ssh mini doctor"), "{said:?}");
    let found = verdicts(&json);
    assert!(has(&found, "firewall", "bad") && has(&found, "engine", "good") && has(&found, "names", "doubtful"), "{found:?}");
    mini.finish();
}

#[test]
fn what_a_killed_trial_left_is_swept() {
    let mut mini = Mini::start();
    let docker = mini.docker();
    let doctor = Running::of(mini.anna.words_command(mini.ssh, "doctor"));
    eventually("the trial's container", || (!docker.containers().is_empty()).then_some(()));

    mini.kill_9();
    assert!(!docker.networks().is_empty(), "it has a network of its own");
    mini.boot();

    eventually("nothing is left of the trial", || docker.leftovers().is_empty().then_some(()));
    doctor.kill_9();
    mini.finish();
}

#[test]
fn prune_keeps_what_can_be_gone_back_to_and_takes_what_is_forgotten() {
    let mini = Mini::start_with(&["--keep-images", "2"]);
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    for _ in 0..2 {
        repo.next(&unique());
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    }
    eventually("retention", || (mini.docker().images().len() == 2).then_some(()));
    let kept = mini.docker().images();
    // Somebody builds upon an app's image, and so gets its labels.
    let theirs = format!("mini-test-{}:1", unique());
    let mut build = Command::new("docker");
    build.args(["build", "-q", "--label", &format!("of={theirs}"), "-t", &theirs, "-"]);
    let made = Said::by(build, format!("FROM {}\n", kept[0]).as_bytes());
    let stale = mini.data().join("tmp/stale.tar");
    std::fs::write(&stale, "forgotten").unwrap();
    File::options().write(true).open(&stale).unwrap().set_modified(SystemTime::now() - Duration::from_hours(48)).unwrap();

    let said = mini.anna.ssh(mini.ssh, "prune").ok();
    let rows: Vec<Value> = serde_json::from_str(&mini.local(&["prune", "--json"]).ok().stdout).unwrap();

    let there = Docker::inspect(&theirs, "{{.Id}}");
    Docker::untag(&theirs);
    assert!(made.code == 0 && there.starts_with("sha256:"), "{made:?}");
    assert!(said.stdout.starts_with("WHAT "), "{said:?}");
    assert!(said.stdout.contains("build cache (all that build on this engine share it)"), "{said:?}");
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["removed"] == 0 || row["removed"].is_null()), "the first one left nothing to do: {rows:?}");
    assert!(!stale.exists());
    eventually("the images that are kept", || (mini.docker().images().len() == 2).then_some(()));
    mini.anna.ssh(mini.ssh, "rollback blog v2").ok();
    mini.anna.ssh(mini.ssh, "rollback blog v1").fails(3, "the image of v1 is no longer kept");
    repo.next(&unique());
    mini.anna.push(repo.path(), mini.ssh, "blog", &["+main"]).ok();
    mini.finish();
}

/// Bytes that are free where the engine keeps its images.
fn free_for_images() -> u64 {
    let mut info = Command::new("docker");
    info.args(["info", "-f", "{{.DockerRootDir}}"]);
    let root = Said::by(info, b"").ok().stdout;
    let mut df = Command::new("df");
    df.args(["-B1", "--output=avail", root.trim()]);
    Said::by(df, b"").ok().stdout.lines().last().unwrap().trim().parse().unwrap()
}

#[test]
fn while_the_disk_is_low_only_what_is_live_and_the_one_before_are_kept() {
    // Between the floor and twice the floor: others fill this disk, too.
    let floor = format!("{}KiB", free_for_images() / 1024 * 2 / 3);
    let mini = Mini::start_with(&["--disk-floor", &floor]);
    let repo = Repo::hello();

    for _ in 0..4 {
        repo.next(&unique());
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    }

    eventually("two images", || (mini.docker().images().len() == 2).then_some(()));
    let doctor = mini.anna.ssh(mini.ssh, "doctor").ok();
    assert!(doctor.stdout.contains("free where the engine keeps images; builds are refused below"), "{doctor:?}");
    assert!(doctor.stdout.contains("\n    make room: ssh mini prune\n"), "{doctor:?}");
    mini.anna.ssh(mini.ssh, "rollback blog v3").ok();
    mini.anna.ssh(mini.ssh, "rollback blog v2").fails(3, "the image of v2 is no longer kept");
    mini.finish();
}
