//! Claims about recorded sources, held against real git.

use std::os::unix::ffi::OsStrExt;

use super::super::testing::{Bench, shell};
use super::*;
use crate::source::{ContextWriter, Ignore};

fn writer(bench: &Bench) -> ContextWriter {
    ContextWriter::new(bench.dir.path(), Ignore::default()).unwrap()
}

fn source(bench: &Bench, files: &[(&str, &str)]) -> Context {
    let mut writer = writer(bench);
    for (path, content) in files {
        writer.add_file(path, false, content.len() as u64, content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

fn new(parent: Option<CommitId>) -> NewCommit {
    NewCommit { parent, author: "anna".into(), message: "deploy from a laptop".into() }
}

async fn record(bench: &Bench, source: &Context, new: NewCommit) -> Result<Recorded> {
    bench.git.record(&bench.app, source, new, &CancellationToken::new()).await
}

/// Every file of the repository with its content.
fn snapshot(bench: &Bench) -> String {
    bench.shell("find . -printf '%y %m %p\\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum")
}

#[tokio::test]
async fn a_stored_source_can_be_cloned_and_is_sound() {
    let bench = Bench::new();
    let mut writer = writer(&bench);
    writer.add_file("Procfile", false, 6, &b"web: x"[..]).unwrap();
    writer.add_file("bin/run", true, 2, &b"#!"[..]).unwrap();
    writer.add_file("large", false, 3 << 20, io::Read::take(io::repeat(7), 3 << 20)).unwrap();
    writer.add_symlink("bin/link", "./../Procfile").unwrap();
    writer.add_dir("empty").unwrap();
    let source = writer.finish().unwrap();

    let recorded = record(&bench, &source, new(None)).await.unwrap();
    let (commit, tree) = (recorded.commit().clone(), recorded.tree().clone());
    assert!(!bench.git.has_commit(&bench.app, &commit).unwrap(), "it is in quarantine");
    recorded.store().unwrap();
    bench.git.set_deployed(&bench.app, &commit).unwrap();

    let copy = bench.dir.path().join("copy");
    bench.shell(&format!("git clone -q . {}", copy.display()));
    assert_eq!(shell(&copy, "git rev-parse HEAD^{tree}"), tree.to_string());
    assert_eq!(shell(&copy, "git log -1 --format='%an <%ae> %cn %s'"), "anna <anna@mini> anna deploy from a laptop");
    assert_eq!(
        shell(&copy, "cat Procfile bin/run && wc -c < large && test -x bin/run && readlink bin/link"),
        "web: x#!3145728\n./../Procfile"
    );
    assert_eq!(bench.shell("git fsck --full --strict"), "");
    assert_eq!(bench.shell("ls objects | grep tmp_ || true; ls objects/pack | grep -v '^pack-' || true"), "");
}

#[tokio::test]
async fn a_record_that_is_dropped_leaves_the_repository_as_it_was() {
    let bench = Bench::new();
    let parent = bench.commit(&[("a", "1")]);
    bench.git.set_ref(&bench.app, "refs/heads/main", &parent).unwrap();
    let before = snapshot(&bench);

    let recorded = record(&bench, &source(&bench, &[("a", "2")]), new(Some(parent))).await.unwrap();
    assert_ne!(snapshot(&bench), before);
    drop(recorded);

    assert_eq!(snapshot(&bench), before);
}

#[tokio::test]
async fn the_same_files_are_the_same_tree_as_those_pushed() {
    let bench = Bench::new();
    let pushed = bench.commit(&[("a", "1"), ("b/c", "2")]);
    let tree_of = |quarantine, id| bench.git.tree_of(&bench.app, quarantine, id).unwrap();

    let same = record(&bench, &source(&bench, &[("b/c", "2"), ("a", "1")]), new(Some(pushed.clone()))).await.unwrap();
    let other = record(&bench, &source(&bench, &[("a", "1")]), new(Some(pushed.clone()))).await.unwrap();

    assert_eq!(tree_of(None, &pushed).as_ref(), Some(same.tree()));
    assert_ne!(tree_of(None, &pushed).as_ref(), Some(other.tree()));
    assert_eq!(tree_of(Some(other.quarantine()), other.commit()).as_ref(), Some(other.tree()));
    assert_eq!(tree_of(None, other.commit()), None);
    let commit = same.commit().clone();
    same.store().unwrap();
    assert_eq!(bench.shell(&format!("git rev-parse {commit}^")), pushed.as_str());
}

#[tokio::test]
async fn hostile_names_survive() {
    let bench = Bench::new();
    let names: [&[u8]; 9] =
        [b"a\nb", b"a\"b", b"\"quoted\"", b"-rf", b"back\\slash\\n", "ünï".as_bytes(), b"\xff\xfe", b" space ", b"M 100644 inline x"];
    let mut writer = writer(&bench);
    for name in names {
        writer.add_file(name, false, 1, &b"x"[..]).unwrap();
        writer.add_symlink([b"links/", name].concat(), name).unwrap();
    }

    let recorded = record(&bench, &writer.finish().unwrap(), new(None)).await.unwrap();
    let commit = recorded.commit().clone();
    recorded.store().unwrap();

    bench.git.set_deployed(&bench.app, &commit).unwrap();
    let copy = bench.dir.path().join("copy");
    bench.shell(&format!("git clone -q . {} && git fsck --full --strict", copy.display()));
    for name in names {
        let name = OsStr::from_bytes(name);
        assert_eq!(fs::read(copy.join(name)).unwrap(), b"x", "{name:?}");
        assert_eq!(fs::read_link(copy.join("links").join(name)).unwrap(), name);
    }
}

#[tokio::test]
async fn an_author_and_a_message_cannot_forge_anything() {
    let bench = Bench::new();
    let forged = "data 3\nfrom HEAD\nM 100644 inline x\0\n\n";
    let hostile = NewCommit { parent: None, author: "a <b@c> 1 +0\nparent \0x".into(), message: forged.into() };
    let nobody = NewCommit { parent: None, author: "<>\n".into(), message: String::new() };
    let source = source(&bench, &[("a", "1")]);

    for new in [hostile, nobody] {
        let recorded = record(&bench, &source, new).await.unwrap();
        let commit = recorded.commit().clone();
        recorded.store().unwrap();
        bench.git.set_deployed(&bench.app, &commit).unwrap();
        assert_eq!(bench.shell("git fsck --full --strict --no-dangling"), "");
    }
    let who = bench.shell("git log -1 --format='%an <%ae>' deployed");
    assert_eq!(who, "mini <mini@mini>");
}

#[tokio::test]
async fn a_parent_that_is_not_there_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let before = snapshot(&bench);
    let nowhere = "d".repeat(40).parse().unwrap();

    let err = record(&bench, &source(&bench, &[("a", "1")]), new(Some(nowhere))).await.err().unwrap();

    assert_eq!(err.sentence(), "the source could not be kept in the app's repository");
    assert_eq!(snapshot(&bench), before);
}

#[tokio::test]
async fn what_git_knows_already_can_be_recorded_again() {
    let bench = Bench::new();
    let source = source(&bench, &[("a", "1")]);

    // Within a second even the commit is the same.
    for _ in 0..3 {
        let recorded = record(&bench, &source, new(None)).await.unwrap();
        let commit = recorded.commit().clone();
        recorded.store().unwrap();
        assert!(bench.git.has_commit(&bench.app, &commit).unwrap());
    }
}

#[tokio::test]
async fn a_cancelled_record_leaves_nothing() {
    let bench = Bench::new();
    let before = snapshot(&bench);
    let cancel = CancellationToken::new();
    cancel.cancel();

    let result = bench.git.record(&bench.app, &source(&bench, &[("a", "1")]), new(None), &cancel).await;

    // git may have been faster.
    assert!(result.is_ok() || result.as_ref().is_err_and(|err| err.sentence() == "the upload was cancelled"));
    drop(result);
    assert_eq!(snapshot(&bench), before);
}

#[tokio::test]
async fn a_push_that_ends_meanwhile_does_not_sweep_a_record_away() {
    let bench = Bench::new();
    let recorded = record(&bench, &source(&bench, &[("a", "1")]), new(None)).await.unwrap();

    drop(bench.git.receiving(&bench.app));

    let commit = recorded.commit().clone();
    recorded.store().unwrap();
    assert!(bench.git.has_commit(&bench.app, &commit).unwrap());
}
