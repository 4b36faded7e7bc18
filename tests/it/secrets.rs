//! A config value is known to the app and to those who ask for it by name; it stands nowhere else.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Mini, Repo, eventually};

const CANARY: &str = "canary-7f3a91c2e5";

#[test]
fn a_value_is_found_in_the_container_and_nowhere_else() {
    let mut mini = Mini::start_with(&["--ready-time", "5s"]);
    assert!(mini.stop().success());
    mini.env.push(("MINI_LOG".into(), "trace".into()));
    mini.boot();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["config:set", "blog", &format!("FIRST={CANARY}")]).ok();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, &format!("config:set blog SECOND={CANARY} 'THIRD=x {CANARY} y'")).ok();
    mini.anna.ssh_with(mini.ssh, "config:set blog FOURTH=-", CANARY).ok();
    mini.anna.ssh(mini.ssh, &format!("config:set blog PORT={CANARY}")).fails(2, "PORT is not a port number");
    let mut said = Vec::new();
    live_through_everything(&mini, &repo, &mut said);

    for text in &said {
        assert!(!text.contains(CANARY), "a command shows it: {text}");
    }
    assert!(mini.local(&["config:get", "blog", "FIRST"]).ok().stdout.contains(CANARY));
    assert!(mini.local(&["config", "blog", "--show"]).ok().stdout.contains(CANARY));
    assert_eq!(holders(&mini.data()), Vec::<PathBuf>::new(), "files hold it");
    // The connection over which it came is closed by now: what is logged at its end counts too.
    assert!(!mini.log().contains(CANARY), "the server's log holds it");
    for image in mini.docker().images() {
        assert!(!docker(&["history", "--no-trunc", &image]).contains(CANARY));
        assert!(!docker(&["image", "inspect", &image]).contains(CANARY));
    }
    let containers = mini.docker().containers();
    assert!(!containers.is_empty());
    for container in containers {
        assert!(docker(&["inspect", &container]).contains(CANARY));
        assert!(!docker(&["logs", &container]).contains(CANARY));
    }
    // What was in memory is on disk after the end.
    assert!(mini.stop().success());
    assert_eq!(holders(&mini.data()), Vec::<PathBuf>::new(), "files hold it");
    assert!(!mini.log().contains(CANARY));
    mini.boot();
    mini.finish();
}

/// A crash, a failed build, a failed start, a rollback, a rebuild, and every word that reads.
fn live_through_everything(mini: &Mini, repo: &Repo, said: &mut Vec<String>) {
    mini.get("blog", "/cgi-bin/die");
    eventually("the app to be back", || (mini.get("blog", "/").status == 200).then_some(()));
    let good = std::fs::read_to_string(repo.path().join("Dockerfile")).unwrap();
    for broken in ["FROM busybox\nRUN env; exit 3\n", "FROM busybox\nCMD echo no; exit 1\n"] {
        repo.write("Dockerfile", broken);
        repo.commit("broken");
        let failed = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]);
        assert_ne!(failed.code, 0);
        said.push(failed.stderr);
    }
    repo.write("Dockerfile", &good);
    repo.commit("good again");
    said.push(mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok().stderr);
    let words = [
        "rollback blog",
        "rebuild blog --no-cache",
        "apps",
        "apps:info blog",
        "ps blog",
        "releases blog",
        "logs blog -n 10000",
        "config blog",
        "keys",
        "whoami",
        "status",
    ];
    for line in words {
        let over_ssh = mini.anna.ssh(mini.ssh, line).ok();
        let on_server = mini.local(&format!("{line} --json").split(' ').collect::<Vec<_>>()).ok();
        said.extend([over_ssh.stdout, over_ssh.stderr, on_server.stdout, on_server.stderr]);
    }
    eventually("the old containers to be gone", || (mini.docker().containers().len() == 1).then_some(()));
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The files below `folder` with the canary in them.
fn holders(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holders(&entry.path()));
        } else if kind.is_file() {
            // A file may be gone by now; then it holds nothing.
            let bytes = std::fs::read(entry.path()).unwrap_or_default();
            if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
                found.push(entry.path());
            }
        }
    }
    found
}
