//! `git push` to a live URL.

use crate::harness::{Mini, Repo};

#[test]
fn a_push_goes_live_and_a_clone_gives_it_back() {
    let mini = Mini::start();
    let repo = Repo::from_folder("examples/hello");

    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    let said = pushed.remote();
    assert!(said.iter().any(|line| line.starts_with("=====> Released v1 in ")), "{said:?}");
    assert_eq!(said.last().unwrap(), &format!("       http://hello.localhost:{}", mini.http.port()));
    assert_eq!(mini.get("hello", "/").status, 200);

    let folder = tempfile::tempdir().unwrap();
    let mut clone = mini.anna.git(folder.path(), mini.ssh);
    clone.args(["clone", "-q"]).arg(format!("ssh://mini@{}/hello", mini.ssh)).arg("copy");
    assert!(clone.status().unwrap().success());
    assert!(folder.path().join("copy/index.html").is_file());
    mini.finish();
}
