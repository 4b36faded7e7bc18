//! `git push` to a live URL, and what a clone gives back.

use crate::harness::{Mini, Repo};

#[test]
fn a_push_goes_live_and_a_clone_gives_it_back() {
    let mini = Mini::start();
    let repo = Repo::hello();

    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    let said = pushed.remote();
    assert!(said.iter().any(|line| line.starts_with("=====> Released v1 in ")), "{said:?}");
    assert_eq!(said.last().unwrap(), &format!("       http://hello.localhost:{}", mini.http.port()));
    assert_eq!(mini.get("hello", "/").status, 200);
    assert_eq!(cloned_head(&mini, "hello"), repo.head());
    mini.finish();
}

#[test]
fn the_same_commit_again_is_up_to_date_and_a_rebuild_releases_it_again() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");

    for words in [&["main"][..], &["-f", "main"]] {
        let again = mini.anna.push(repo.path(), mini.ssh, "hello", words).ok();
        assert_eq!(again.stderr, "Everything up-to-date\n");
    }
    assert_eq!(mini.state("hello"), before);
    let rebuilt = mini.anna.ssh(mini.ssh, "rebuild hello").ok();

    assert_eq!(rebuilt.stdout, format!("http://hello.localhost:{}\n", mini.http.port()));
    assert!(rebuilt.stderr.contains("=====> Released v2 in ") && !rebuilt.stderr.contains("http://"), "said once: {rebuilt:?}");
    assert_eq!(mini.state("hello"), before.replacen("v1", "v2", 1));
    mini.finish();
}

#[test]
fn a_force_push_goes_live_and_without_force_the_client_refuses() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.git(&["commit", "-q", "--amend", "-m", "another first"]);

    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "[rejected]");
    assert_eq!(mini.releases("hello").len(), 1);
    mini.anna.push(repo.path(), mini.ssh, "hello", &["-f", "main"]).ok();

    assert!(mini.state("hello").starts_with(&format!("\"v2\" \"{}\"", repo.head())), "{}", mini.state("hello"));
    mini.finish();
}

#[test]
fn shallow_clones_can_push_twice_and_a_full_one_on_top() {
    let mini = Mini::start();
    let full = Repo::hello();
    full.next("second");
    full.next("third");
    let shallow = Repo::shallow_clone_of(&full);

    mini.anna.push(shallow.path(), mini.ssh, "hello", &["main"]).ok();
    let second = shallow.next("by the shallow one");
    mini.anna.push(shallow.path(), mini.ssh, "hello", &["main"]).ok();
    shallow.git(&["push", "-q", "origin", "main:theirs"]);
    full.git(&["reset", "-q", "--hard", "theirs"]);
    let third = full.next("by the full one");
    mini.anna.push(full.path(), mini.ssh, "hello", &["main"]).ok();

    assert_eq!(full.git(&["rev-parse", "HEAD~1"]), second);
    assert_eq!(mini.get("hello", "/").body, "by the full one");
    assert_eq!(cloned_head(&mini, "hello"), third);
    mini.finish();
}

#[test]
fn the_first_of_main_and_master_is_deployed_until_somebody_sets_the_other() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main:master"]).ok();
    let before = mini.state("hello");
    repo.next("second");

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "(pre-receive hook declined)");

    let said = refused.remote();
    assert_eq!(said[0], " !     this app is deployed from `master`, not from `main`");
    assert_eq!(said[1], " !     try: push it as master: git push mini main:master");
    assert_eq!(mini.state("hello"), before);

    let set = mini.anna.ssh(mini.ssh, "apps:set hello deploy-branch=main").ok();
    assert_eq!(set.stdout, "`hello` now deploys from main.\n");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "second");
    repo.next("third");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main:master"]).fails(1, "this app is deployed from `main`, not from `master`");
    mini.finish();
}

#[test]
fn a_clone_gives_what_is_live_also_after_a_rollback_and_the_rolled_back_commit_can_be_pushed() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let first = repo.next("first page");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let second = repo.next("second page");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(cloned_head(&mini, "hello"), second);

    mini.anna.ssh(mini.ssh, "rollback hello").ok();
    assert_eq!(mini.get("hello", "/").body, "first page");
    assert_eq!(cloned_head(&mini, "hello"), first);
    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    assert!(pushed.stderr.contains("Released v4 in "), "{}", pushed.stderr);
    assert_eq!(mini.get("hello", "/").body, "second page");
    assert_eq!(cloned_head(&mini, "hello"), second);
    mini.finish();
}

#[test]
fn push_options_are_obeyed_and_unknown_ones_named() {
    let mini = Mini::start();
    let repo = Repo::building("echo building");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.git(&["commit", "-q", "--allow-empty", "-m", "same files"]);

    let pushed =
        mini.anna.push(repo.path(), mini.ssh, "hello", &["-o", "nocache", "-o", "message=fix = it", "-o", "no-cache", "main"]).ok();

    let said = pushed.remote();
    let warning = "       warning: option `no-cache` is unknown and ignored; mini knows nocache, detach and message=…";
    assert!(said.iter().any(|line| line == warning), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("[2/3] echo building")), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("-----> Image ") && line.ends_with("(1 of 3 steps cached)")), "{said:#?}");
    assert_eq!(mini.releases("hello")[0]["description"], "fix = it");
    mini.finish();
}

/// The commit that somebody gets who clones now.
fn cloned_head(mini: &Mini, app: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    mini.anna.clone(folder.path(), mini.ssh, app).ok();
    assert!(folder.path().join("copy/index.html").is_file());
    let head = mini.anna.git(&folder.path().join("copy"), mini.ssh).args(["rev-parse", "HEAD"]).output().unwrap();
    String::from_utf8(head.stdout).unwrap().trim().to_owned()
}
