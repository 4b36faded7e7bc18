//! Pushes that are refused: each with its sentence, before anything is built, and nothing has changed.

use crate::harness::{Docker, Mini, Repo};

/// Refspecs of a live app's repo that are refused, and what is said.
const REFUSED: &[(&str, &[&str], &[&str])] = &[
    (
        "another branch",
        &["topic"],
        &[" !     this app is deployed from `main`, not from `topic`", " !     try: push it as main: git push mini topic:main"],
    ),
    (
        "a tag alone",
        &["light"],
        &[
            " !     `light` is a tag, and only a branch is deployed",
            " !     try: push its commit as a branch: git push mini 'light^{commit}:refs/heads/main'",
        ],
    ),
    (
        "an annotated tag as the branch",
        &["+refs/tags/heavy:refs/heads/main"],
        &[
            " !     `main` was pushed as an annotated tag, and a branch holds commits",
            " !     try: push the tag's commit: git push mini 'TAG^{commit}:refs/heads/main'",
        ],
    ),
    (
        "no branch",
        &[":main"],
        &[
            " !     `main` is what the app is deployed from and cannot be deleted",
            " !     try: to remove the app itself: mini apps:destroy",
        ],
    ),
    (
        "two branches",
        &["topic:main", "topic:master"],
        &[" !     main and master came in one push, and only one can be deployed", " !     try: push it alone: git push mini main"],
    ),
    (
        "a branch and a tag",
        &["topic:main", "light"],
        &[" !     one push deploys one branch", " !     try: push it alone: git push mini main"],
    ),
    (
        "a file as the branch",
        &["+main:index.html:refs/heads/main"],
        &[" !     `main` was pushed as a single file, and a branch holds commits", " !     try: git push mini main"],
    ),
    (
        "a folder as the branch",
        &["+main^{tree}:refs/heads/main"],
        &[" !     `main` was pushed as a folder, and a branch holds commits", " !     try: git push mini main"],
    ),
    (
        "what is live",
        &["topic:refs/heads/deployed"],
        &[" !     `deployed` shows what is live and cannot be pushed", " !     try: git push mini HEAD:main   (in a clone: origin)"],
    ),
    (
        "notes",
        &["topic:refs/notes/x"],
        &[" !     `refs/notes/x` is not a branch, and only a branch is deployed", " !     try: git push mini main"],
    ),
];

#[test]
fn a_push_that_is_not_one_commit_for_the_deploy_branch_is_refused_and_changes_nothing() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    repo.git(&["checkout", "-q", "-b", "topic"]);
    repo.next("a page that nobody may see");
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "-m", "annotated", "heavy"]);
    let (before, images) = (mini.state("hello"), mini.docker().images());

    for (what, refspecs, sentences) in REFUSED {
        let refspecs: Vec<String> = refspecs.iter().map(|refspec| by_id(&repo, refspec)).collect();
        let refspecs: Vec<&str> = refspecs.iter().map(String::as_str).collect();

        let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &refspecs).fails(1, "(pre-receive hook declined)");

        let expected = [*sentences, &[" !     nothing was changed: v1 keeps serving"]].concat();
        assert_eq!(refused.remote(), expected, "{what}");
        assert_eq!(mini.state("hello"), before, "{what}");
    }
    assert_eq!(mini.docker().images(), images);
    assert_eq!(mini.releases("hello").len(), 1);
    mini.finish();
}

/// git takes `PATH` and `^{tree}` on the left side of a refspec only as an object's id.
fn by_id(repo: &Repo, refspec: &str) -> String {
    match refspec.trim_start_matches('+').rsplit_once(":refs/") {
        Some((source, target)) if refspec.starts_with("+main") => format!("+{}:refs/{target}", repo.git(&["rev-parse", source])),
        _ => refspec.to_owned(),
    }
}

#[test]
fn hidden_refs_are_refused_by_git_and_not_shown() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    assert!(!before.contains("refs/mini"), "{before}");
    repo.next("second");

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main:refs/mini/releases/v1"]);

    refused.fails(1, "(deny updating a hidden ref)");
    assert_eq!(mini.state("hello"), before);
    mini.finish();
}

#[test]
fn a_first_push_that_is_refused_leaves_no_app_and_no_repository() {
    let mini = Mini::start();
    let repo = Repo::hello();
    repo.git(&["tag", "light"]);

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main:topic"]).fails(1, "");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["light"]).fails(1, "only a branch is deployed");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main", "main:master"]).fails(1, "only one can be deployed");

    assert_eq!(
        refused.transcript(&[(&mini.ssh.to_string(), "SERVER")]),
        "\
remote:  !     `topic` is not deployed, only main or master is
remote:  !     try: push it as main: git push mini topic:main
To ssh://SERVER/hello
 ! [remote rejected] main -> topic (pre-receive hook declined)
error: failed to push some refs to 'ssh://SERVER/hello'
"
    );
    assert_eq!(mini.apps(), Vec::<String>::new());
    assert_eq!(crate::harness::leftover_files(&mini.data()), Vec::<std::path::PathBuf>::new());
    mini.finish();
}

#[test]
fn a_push_without_a_dockerfile_says_what_to_add_and_then_works() {
    let mini = Mini::start();
    let repo = Repo::of(&[("index.html", "hello\n")]);

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "");

    let head = repo.head();
    assert_eq!(
        refused.transcript(&[(&mini.ssh.to_string(), "SERVER"), (&head[..7], "COMMIT")]),
        "\
remote: -----> Receiving hello (main, COMMIT)
remote: -----> Created app `hello`
remote:  !     there is no `Dockerfile` in the root of your source
remote:  !     try: add a `Dockerfile` to the root of your source, for example:
remote:  !       FROM busybox
remote:  !       COPY . /www
remote:  !       CMD httpd -f -p $PORT -h /www
remote:  !     `hello` has no release yet: the next push may be its first
To ssh://SERVER/hello
 ! [remote rejected] main -> main (pre-receive hook declined)
error: failed to push some refs to 'ssh://SERVER/hello'
"
    );
    let state = mini.state("hello");
    assert_eq!(state, "null null null\n");
    repo.write("Dockerfile", "FROM busybox\nCOPY . /www/\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT -h /www\"]\n");
    repo.commit("with a Dockerfile");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    assert_eq!(mini.get("hello", "/").body, "hello\n");
    mini.finish();
}

#[test]
fn an_empty_push_and_a_sha256_repo_end_at_the_client_and_leave_nothing() {
    let mini = Mini::start();
    let empty = Repo::empty();
    let other = Repo::sha256();

    mini.anna.push(empty.path(), mini.ssh, "hello", &["main"]).fails(1, "src refspec main does not match any");
    mini.anna.push(empty.path(), mini.ssh, "hello", &[":"]).fails(1, "No refs in common and none specified; doing nothing");
    mini.anna.push(other.path(), mini.ssh, "hello", &["main"]).fails(128, "does not support this repository's hash algorithm");

    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.finish();
}

#[test]
fn a_failed_build_leaves_the_ref_so_that_the_same_commit_can_be_pushed_again() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (before, containers) = (mini.state("hello"), mini.docker().containers());
    repo.write("Dockerfile", "FROM busybox\nRUN exit 3\n");
    repo.commit("broken");

    for _ in 0..2 {
        let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "(pre-receive hook declined)");

        assert_eq!(refused.remote().last().unwrap(), " !     nothing was changed: v1 keeps serving");
        assert_eq!(mini.state("hello"), before);
    }
    assert_eq!(mini.docker().containers(), containers);
    assert_eq!(Docker::inspect(&containers[0], "{{.State.Running}}"), "true");
    assert_eq!(mini.get("hello", "/").status, 200);
    mini.finish();
}
