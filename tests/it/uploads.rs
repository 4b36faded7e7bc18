//! `tar -cz . | ssh mini deploy APP -`: what it says, what it refuses, and what git makes of it afterwards.

use std::io::Write;
use std::process::Stdio;

use crate::harness::{Mini, Person, Repo, Running, Said, eventually, is_running, unique};

pub fn names(refs: &[(String, String)]) -> Vec<&str> {
    refs.iter().map(|(name, _)| name.as_str()).collect()
}

/// The live release's kind and its commit.
pub fn live(mini: &Mini, app: &str) -> (String, String) {
    let row = mini.releases(app).into_iter().find(|row| row["state"] == "live").unwrap();
    (row["kind"].as_str().unwrap().to_owned(), row["commit"].as_str().unwrap_or_default().to_owned())
}

/// A commit whose build sleeps, and the text by which its process is found.
pub fn slow(repo: &Repo) -> String {
    let marker = unique();
    repo.write("Dockerfile", &format!("FROM busybox\nRUN sleep 9{marker}\n"));
    repo.commit("sleeps");
    format!("9{marker}")
}

/// Waits until no source is on its way in.
pub fn nothing_is_spooled(mini: &Mini) {
    eventually("the sources to be gone", || std::fs::read_dir(mini.data().join("tmp")).unwrap().next().is_none().then_some(()));
}

/// Without numbers that differ from run to run.
fn steady(said: &Said) -> Vec<String> {
    let keep = |line: &&str| line.starts_with("----->") || line.starts_with("=====>") || line.starts_with(" !");
    let steps = said.stderr.lines().filter(keep);
    steps
        .map(|line| {
            line.split([':', '(']).next().unwrap().trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || ".s".contains(c)).to_owned()
        })
        .collect()
}

#[test]
fn an_archive_that_is_piped_in_is_live_and_says_where() {
    let mini = Mini::start();
    let repo = Repo::hello();

    let said = mini.anna.upload(&repo, mini.ssh, "hello -").ok();

    assert_eq!(said.stdout, format!("http://hello.localhost:{}\n", mini.http.port()));
    assert_eq!(
        steady(&said),
        [
            "-----> Receiving the source",
            "-----> Created app `hello`",
            "-----> Dockerfile app",
            "-----> Building image",
            "-----> Image 1.9 MB in ",
            "-----> Starting web",
            "-----> Switched to v",
            "=====> Released v1 in ",
        ]
    );
    assert_eq!(mini.get("hello", "/").status, 200);
    let row = &mini.releases("hello")[0];
    assert_eq!(
        (row["kind"].as_str(), row["description"].as_str(), row["by"].as_str()),
        (Some("upload"), Some("upload"), Some("anna@test"))
    );
    mini.finish();
}

#[test]
fn json_a_message_and_a_plain_tar_do_the_same() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let command = mini.anna.words_command(mini.ssh, "deploy hello --json -m 'from the shop'");

    let said = Said::by(command, &repo.tar(&["-c", "--exclude=./.git", "."])).ok();

    let released: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((released["app"].as_str(), released["version"].as_str()), (Some("hello"), Some("v1")));
    assert_eq!(released["container"].as_str().unwrap(), mini.docker().containers()[0]);
    assert_eq!(mini.releases("hello")[0]["description"], "from the shop");
    mini.finish();
}

#[test]
fn what_is_no_source_is_refused_in_words_and_leaves_nothing() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.upload(&repo, mini.ssh, "hello").ok();
    let before = (mini.releases("hello"), mini.anna.refs(mini.ssh, "hello"));
    let whole = repo.archive();
    let dotted = repo.tar(&["-cz", "--transform=s,^./index.html,../index.html,", "-P", "./Dockerfile", "./index.html"]);
    repo.write("big", "").metadata().unwrap();
    std::fs::File::options().write(true).open(repo.path().join("big")).unwrap().set_len(257 << 20).unwrap();
    let big = repo.archive();

    for (app, archive, sentence) in [
        ("hello", &whole[..whole.len() / 2], "cut"),
        ("hello", b"this is no archive", "archive"),
        ("hello", b"", "nothing"),
        ("hello", &dotted, "`../index.html`"),
        ("hello", &big, "`big` is 257 MiB; one file may have 256 MiB"),
        ("newcomer", &whole[..whole.len() / 2], "cut"),
    ] {
        let said = Said::by(mini.anna.words_command(mini.ssh, &format!("deploy {app} -")), archive).fails(1, sentence);

        assert!(said.stdout.is_empty(), "{said:?}");
        assert_eq!(said.stderr.contains("nothing was changed: v1 keeps serving"), app == "hello", "{said:?}");
        nothing_is_spooled(&mini);
    }

    assert_eq!((mini.releases("hello"), mini.anna.refs(mini.ssh, "hello")), before);
    assert_eq!(mini.apps(), ["hello"]);
    mini.anna.ssh(mini.ssh, "deploy hello ./src").fails(2, "the server does not read files: pipe it");
    mini.finish();
}

#[test]
fn a_failed_upload_keeps_what_serves_and_a_first_one_keeps_the_name() {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/crash-at-start");

    let first = mini.anna.upload(&repo, mini.ssh, "hello").fails(1, "exited with code");
    assert!(first.stderr.contains("`hello` has no release yet: the next deploy may be its first"), "{first:?}");
    assert_eq!(mini.anna.refs(mini.ssh, "hello"), []);
    let good = Repo::hello();
    mini.anna.upload(&good, mini.ssh, "hello").ok();
    let second = mini.anna.upload(&repo, mini.ssh, "hello").fails(1, "exited with code");

    assert!(second.stderr.contains("nothing was changed: v2 keeps serving"), "{second:?}");
    assert_eq!(mini.get("hello", "/").status, 200);
    mini.finish();
}

#[test]
fn who_may_not_push_may_not_upload_either() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.upload(&repo, mini.ssh, "hello").ok();
    mini.anna.ssh(mini.ssh, "apps:create other").ok();
    let (viewer, scoped) = (Person::new(mini.home(), "vera"), Person::new(mini.home(), "sam"));
    mini.anna.ssh_with(mini.ssh, "keys:add vera - --role view", &viewer.public_key()).ok();
    mini.anna.ssh_with(mini.ssh, "keys:add sam - --app other", &scoped.public_key()).ok();

    viewer.upload(&repo, mini.ssh, "hello").fails(4, "this needs a key with the role `deploy`");
    for app in ["hello", "nosuch"] {
        scoped.upload(&repo, mini.ssh, app).fails(3, &format!("app `{app}` does not exist"));
        scoped.ssh(mini.ssh, &format!("deploy {app} --image busybox")).fails(3, &format!("app `{app}` does not exist"));
    }
    scoped.ssh(mini.ssh, "registry").fails(4, "this needs an admin");

    scoped.upload(&repo, mini.ssh, "other").ok();
    assert_eq!((mini.releases("hello").len(), mini.releases("other").len()), (1, 1));
    mini.finish();
}

#[test]
fn a_server_that_creates_no_apps_on_push_creates_none_on_upload() {
    let mini = Mini::start_with(&["--create-on-push", "false"]);

    mini.anna.upload(&Repo::hello(), mini.ssh, "hello").fails(3, "app `hello` does not exist, and deploying does not create apps here");

    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.finish();
}

#[test]
fn after_an_upload_a_clone_gives_it_and_the_next_push_just_works() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(names(&mini.anna.refs(mini.ssh, "hello")), ["HEAD", "refs/heads/deployed", "refs/heads/main"]);
    repo.write("index.html", "uploaded");

    mini.anna.upload(&repo, mini.ssh, "hello -m shop").ok();

    let seen = mini.anna.refs(mini.ssh, "hello");
    assert_eq!(names(&seen), ["HEAD", "refs/heads/deployed"], "the branch is gone");
    assert_eq!(live(&mini, "hello"), ("upload".to_owned(), seen[1].1.clone()));
    mini.anna.clone(mini.home(), mini.ssh, "hello").ok();
    let copy = mini.home().join("copy");
    assert_eq!(std::fs::read_to_string(copy.join("index.html")).unwrap(), "uploaded");
    let mut log = mini.anna.git(&copy, mini.ssh);
    log.args(["log", "--format=%an %s"]);
    let log = Said::by(log, b"").ok().stdout;
    assert!(log.starts_with("anna@test shop\n") && log.lines().count() == 2, "{log}");

    let same = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert!(same.stderr.contains("* [new branch]      main -> main"), "{}", same.stderr);
    assert_eq!(live(&mini, "hello"), ("push".to_owned(), repo.head()));
    repo.next("pushed");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "pushed");
    mini.finish();
}

#[test]
fn a_rollback_puts_the_branch_where_its_release_was() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let first = repo.head();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.write("index.html", "uploaded");
    mini.anna.upload(&repo, mini.ssh, "hello").ok();
    let recorded = live(&mini, "hello").1;

    mini.anna.ssh(mini.ssh, "rollback hello v1").ok();
    let seen = mini.anna.refs(mini.ssh, "hello");
    assert_eq!(names(&seen), ["HEAD", "refs/heads/deployed", "refs/heads/main"]);
    assert!(seen.iter().all(|(_, commit)| *commit == first), "{seen:?}");
    mini.anna.ssh(mini.ssh, "rollback hello v2").ok();
    let seen = mini.anna.refs(mini.ssh, "hello");
    assert_eq!(names(&seen), ["HEAD", "refs/heads/deployed"], "an upload's rollback is an upload still");
    assert_eq!(seen[1].1, recorded);
    mini.anna.ssh(mini.ssh, "config:set hello A=1").ok();
    assert_eq!(mini.anna.refs(mini.ssh, "hello"), seen, "so is a config change of it");
    assert_eq!(mini.get("hello", "/").body, "uploaded");

    repo.next("pushed");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "pushed");
    mini.finish();
}

#[test]
fn an_upload_is_rebuilt_from_its_recorded_commit_and_unrelated_history_is_pushed_over_it() {
    let mini = Mini::start();
    let repo = Repo::hello();
    repo.write(".dockerignore", "left-out\n");
    repo.write("left-out", "x");
    mini.anna.upload(&repo, mini.ssh, "hello").ok();
    let recorded = live(&mini, "hello").1;

    mini.anna.ssh(mini.ssh, "rebuild hello").ok();

    assert_eq!(live(&mini, "hello"), ("rebuild".to_owned(), recorded));
    assert_eq!(names(&mini.anna.refs(mini.ssh, "hello")), ["HEAD", "refs/heads/deployed"]);
    mini.anna.clone(mini.home(), mini.ssh, "hello").ok();
    assert!(mini.home().join("copy/left-out").is_file(), "the commit is all that came");
    let other = Repo::hello();
    other.next("another history");
    mini.anna.push(other.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "another history");
    assert_eq!(names(&mini.anna.refs(mini.ssh, "hello")), ["HEAD", "refs/heads/deployed", "refs/heads/main"]);
    mini.finish();
}

#[test]
fn an_upload_of_a_commit_that_was_pushed_is_that_commit() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let first = repo.head();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let second = repo.next("second");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.git(&["checkout", "-q", &first]);

    mini.anna.upload(&repo, mini.ssh, &format!("hello - --commit {first}")).ok();
    let seen = mini.anna.refs(mini.ssh, "hello");
    assert_eq!(names(&seen), ["HEAD", "refs/heads/deployed", "refs/heads/main"]);
    assert!(seen.iter().all(|(_, commit)| *commit == first), "{seen:?}");
    assert_eq!(live(&mini, "hello"), ("upload".to_owned(), first.clone()));

    for unlike in [&second, &"d".repeat(40)] {
        mini.anna.upload(&repo, mini.ssh, &format!("hello - --commit {unlike}")).ok();
        let (_, commit) = live(&mini, "hello");
        assert!(commit != *unlike && commit != first, "a commit with other files is not believed");
        assert_eq!(names(&mini.anna.refs(mini.ssh, "hello")), ["HEAD", "refs/heads/deployed"]);
    }
    mini.finish();
}

#[test]
fn a_push_supersedes_an_upload_and_an_upload_a_push() {
    let mini = Mini::start();
    let (repo, slow_repo) = (Repo::hello(), Repo::hello());
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let marker = slow(&slow_repo);
    let mut upload = mini.anna.begin_upload(&slow_repo, mini.ssh, "hello");
    upload.wait_for("-----> Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));

    let quick = repo.next("pushed");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    let lost = upload.finish().fails(5, &format!("superseded by {} (pushed by anna@test)", &quick[..7]));
    assert!(lost.stderr.contains("nothing was changed: v"), "{lost:?}");
    eventually("the superseded build to end", || (!is_running(&marker)).then_some(()));
    assert_eq!(mini.get("hello", "/").body, "pushed");

    let head = repo.head();
    let marker = slow(&repo);
    let mut push = mini.anna.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");
    eventually("the build's own step to run", || is_running(&marker).then_some(()));
    repo.git(&["reset", "-q", "--hard", &head]);
    repo.write("index.html", "uploaded");
    mini.anna.upload(&repo, mini.ssh, "hello").ok();

    let lost = push.finish().fails(1, "(pre-receive hook declined)").remote();
    assert!(lost.contains(&" !     superseded by an upload (anna@test)".to_owned()), "{lost:#?}");
    assert_eq!(mini.get("hello", "/").body, "uploaded");
    mini.finish();
}

#[test]
fn a_slow_upload_holds_up_nobody_and_a_killed_one_leaves_nothing() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let archive = repo.archive();
    let mut upload = Running::with_input(mini.anna.words_command(mini.ssh, "deploy hello -"), Stdio::piped());
    let mut input = upload.input();
    input.write_all(&archive[..archive.len() / 2]).unwrap();
    upload.wait_for("-----> Receiving the source");
    eventually("the source to be spooled", || std::fs::read_dir(mini.data().join("tmp")).unwrap().next().is_some().then_some(()));

    repo.next("pushed meanwhile");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    upload.kill_9();

    nothing_is_spooled(&mini);
    assert_eq!(mini.get("hello", "/").body, "pushed meanwhile");
    assert_eq!(mini.releases("hello").len(), 2);
    mini.finish();
}

#[test]
fn a_fifth_upload_waits_for_one_of_four_to_be_in() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let archive = repo.archive();
    let half = |app: &str| {
        let mut upload = Running::with_input(mini.anna.words_command(mini.ssh, &format!("deploy {app} -")), Stdio::piped());
        let mut input = upload.input();
        input.write_all(&archive[..archive.len() / 2]).unwrap();
        upload.wait_for("-----> Receiving the source");
        (upload, input)
    };
    let mut first: Vec<_> = ["one", "two", "three", "four"].map(half).into();
    let mut fifth = mini.anna.begin_upload(&repo, mini.ssh, "five");
    fifth.wait_for("-----> Waiting for another upload to be taken in");

    // An input that ends too early frees its place.
    let (cut, input) = first.pop().unwrap();
    drop(input);
    cut.finish().fails(1, "cut");

    fifth.finish().ok();
    for (upload, _input) in first {
        upload.kill_9();
    }
    nothing_is_spooled(&mini);
    assert_eq!(mini.apps(), ["five"]);
    mini.finish();
}
