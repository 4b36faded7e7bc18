//! Claims about spooling, held against repositories that are honest, odd and hostile.

use std::collections::BTreeMap;
use std::io::Read;

use git2::Oid;

use super::super::testing::Bench;
use super::*;
use crate::model::limits::{KIB, MIB};
use crate::source::{Packer, respool};

fn spool_with(bench: &Bench, commit: &CommitId, budget: Budget) -> Result<Context> {
    bench.git.spool_within(&bench.app, None, commit, bench.dir.path(), budget, &CancellationToken::new())
}

fn spool(bench: &Bench, commit: &CommitId) -> Result<Context> {
    spool_with(bench, commit, Budget::default())
}

/// Path → mode and content or link target.
fn unpacked(context: &Context) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(std::fs::File::open(context.path()).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            text = format!("-> {}", target.display());
        }
        (entry.path().unwrap().display().to_string(), format!("{:o} {text}", entry.header().mode().unwrap()))
    });
    entries.collect()
}

fn leftovers(bench: &Bench) -> usize {
    let is_context = |name: std::ffi::OsString| name.to_string_lossy().starts_with("context-");
    std::fs::read_dir(bench.dir.path()).unwrap().filter(|entry| is_context(entry.as_ref().unwrap().file_name())).count()
}

#[test]
fn a_tree_becomes_a_context_filtered_by_its_own_dockerignore() {
    let bench = Bench::new();
    let files = [(".dockerignore", "docs\n*.log"), ("Procfile", "web: x"), ("a.log", "1"), ("docs/x", "2"), ("src/main.rs", "3")];
    let commit = bench.commit(&files);

    let context = spool(&bench, &commit).unwrap();

    assert_eq!(context.manifest().paths().collect::<Vec<_>>(), [".dockerignore", "Procfile", "src/main.rs"]);
    assert_eq!(context.manifest().root_text("Procfile").as_deref(), Some("web: x"));
    assert_eq!(unpacked(&context)["src/main.rs"], "644 3");
}

#[test]
fn the_same_tree_is_the_same_tar_whatever_the_commit() {
    let bench = Bench::new();
    let tree = bench.tree(&[("100755", "run", bench.blob("#!/bin/sh")), ("100664", "z", bench.blob("old mode"))]);
    let other = bench.shell(&format!("git commit-tree -m other {tree}")).parse().unwrap();

    let (one, two) = (spool(&bench, &bench.commit_tree(tree)).unwrap(), spool(&bench, &other).unwrap());

    assert_eq!(std::fs::read(one.path()).unwrap(), std::fs::read(two.path()).unwrap());
    assert_eq!(unpacked(&one), BTreeMap::from([("run".into(), "755 #!/bin/sh".into()), ("z".into(), "644 old mode".into())]));
}

#[test]
fn links_stay_links_and_submodules_become_empty_folders_with_a_warning() {
    let bench = Bench::new();
    let nowhere = Oid::from_str(&"d".repeat(40)).unwrap();
    let entries =
        [("120000", "passwd", bench.blob("/etc/passwd")), ("120000", "up", bench.blob("../../data")), ("160000", "vendor", nowhere)];
    let commit = bench.commit_tree(bench.tree(&entries));

    let context = spool(&bench, &commit).unwrap();

    let wanted = [("passwd", "777 -> /etc/passwd"), ("up", "777 -> ../../data"), ("vendor/", "755 ")];
    assert_eq!(unpacked(&context), wanted.map(|(path, what)| (path.to_owned(), what.to_owned())).into());
    assert_eq!(context.manifest().warnings(), ["submodule `vendor` is left empty: mini does not fetch submodules"]);
}

#[test]
fn names_that_differ_in_case_only_are_two_files() {
    let bench = Bench::new();

    let context = spool(&bench, &bench.commit(&[("README", "1"), ("readme", "2")])).unwrap();

    assert_eq!(context.manifest().count(), 2);
}

#[test]
fn a_git_bomb_is_refused_at_once() {
    let bench = Bench::new();
    let mut inner = bench.blob("boom");
    for level in 0..11 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let names: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
        inner = bench.tree(&names.iter().map(|name| (mode, name.as_str(), inner)).collect::<Vec<_>>());
    }
    let start = std::time::Instant::now();

    let err = spool(&bench, &bench.commit_tree(inner)).unwrap_err();

    assert_eq!(err.sentence(), "the source has more than 100000 files and folders");
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(leftovers(&bench), 0);
}

#[test]
fn folders_without_end_are_refused() {
    let bench = Bench::new();
    let mut inner = bench.tree(&[("100644", "f", bench.blob("x"))]);
    for _ in 0..200 {
        inner = bench.tree(&[("40000", "d", inner)]);
    }

    let err = spool(&bench, &bench.commit_tree(inner)).unwrap_err();

    assert_eq!(err.sentence(), "the source has folders more than 64 deep");
}

#[test]
fn zeros_that_pack_to_nothing_are_refused_by_name_or_by_sum() {
    let bench = Bench::new();
    let zeros = "\0".repeat(2 * usize::try_from(MIB).unwrap());
    let commit = bench.commit(&[("data/zeros", &zeros), ("data/again", &zeros)]);

    let file = spool_with(&bench, &commit, Budget { blob: MIB, ..Budget::default() }).unwrap_err();
    let sum = spool_with(&bench, &commit, Budget { bytes: 3 * MIB, ..Budget::default() }).unwrap_err();

    assert_eq!(file.sentence(), "`data/again` is 2 MiB; one file may have 1 MiB");
    assert_eq!(sum.sentence(), "the source is larger than 3 MiB");
    assert_eq!(leftovers(&bench), 0);
}

#[test]
fn a_tree_object_larger_than_any_tree_is_not_read() {
    let bench = Bench::new();
    let blob = bench.blob("x");
    let names: Vec<String> = (0..1000).map(|number| format!("{number:0>250}")).collect();
    let tree = bench.tree(&names.iter().map(|name| ("100644", name.as_str(), blob)).collect::<Vec<_>>());

    let err = spool_with(&bench, &bench.commit_tree(tree), Budget { entries: 9, ..Budget::default() }).unwrap_err();

    assert_eq!(err.sentence(), "the source has more than 9 files and folders");
}

#[test]
fn hostile_names_are_refused_and_nothing_is_left() {
    let bench = Bench::new();
    let blob = bench.blob("x");
    let inside = bench.tree(&[("100644", "x", blob)]);
    let long = "n".repeat(4096);

    for name in ["..", ".", ".git", ".GIT", "", "/etc/passwd", &long] {
        for (mode, oid) in [("100644", blob), ("40000", inside), ("120000", blob)] {
            let commit = bench.commit_tree(bench.tree(&[(mode, name, oid)]));

            assert!(spool(&bench, &commit).is_err(), "{mode} {name:?} was taken");
        }
    }
    let twice = bench.tree(&[("100644", "a", blob), ("100644", "a", blob)]);
    let file_and_folder = bench.tree(&[("120000", "a", blob), ("40000", "a", inside)]);
    assert!(spool(&bench, &bench.commit_tree(twice)).is_err() && spool(&bench, &bench.commit_tree(file_and_folder)).is_err());
    assert_eq!(leftovers(&bench), 0);
}

#[test]
fn lfs_pointers_are_refused_by_name_unless_left_out() {
    let bench = Bench::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

    let err = spool(&bench, &bench.commit(&[("a.bin", pointer), ("b.bin", pointer), ("c", "x")])).unwrap_err();
    let left_out = spool(&bench, &bench.commit(&[("a.bin", pointer), (".dockerignore", "*.bin")]));

    assert!(err.sentence().starts_with("`a.bin` is only a pointer"), "{err}");
    assert_eq!(err.detail_lines(), ["so is `b.bin`"]);
    assert!(left_out.is_ok());
}

#[test]
fn a_dockerignore_that_is_a_link_too_long_or_malformed_does_no_harm() {
    let bench = Bench::new();
    let link = bench.tree(&[("120000", ".dockerignore", bench.blob("/etc/passwd")), ("100644", "a", bench.blob("x"))]);
    let long = "x\n".repeat(usize::try_from(64 * KIB).unwrap());

    assert!(spool(&bench, &bench.commit_tree(link)).unwrap().manifest().has("a"));
    assert!(spool(&bench, &bench.commit(&[(".dockerignore", &long)])).is_err());
    assert!(spool(&bench, &bench.commit(&[(".dockerignore", "[")])).unwrap_err().sentence().contains("line 1"));
}

#[tokio::test]
async fn a_cancelled_spool_ends_and_leaves_nothing() {
    let bench = Bench::new();
    let commit = bench.commit(&[("a", "x")]);
    let cancel = CancellationToken::new();
    assert!(bench.git.spool(&bench.app, None, &commit, bench.dir.path(), &cancel).await.is_ok());
    cancel.cancel();

    let err = bench.git.spool(&bench.app, None, &commit, bench.dir.path(), &cancel).await.unwrap_err();

    assert_eq!(err.sentence(), "the push was cancelled");
    assert_eq!(leftovers(&bench), 0);
}

#[test]
fn an_upload_of_a_commits_files_is_the_same_context_as_the_commit() {
    let bench = Bench::new();
    let long = format!("deep/{}/x", "n".repeat(150));
    let files =
        [(".dockerignore", "docs\n!docs/keep"), ("Procfile", "web: x"), ("docs/keep", "1"), ("docs/x", "2"), (&*long, "3"), ("z", "")];
    let entries = [("100755", "run", bench.blob("#!")), ("120000", "to", bench.blob("./run"))];
    for commit in [bench.commit(&files), bench.commit_tree(bench.tree(&entries))] {
        let tree = bench.dir.path().join(commit.as_str());
        bench
            .shell(&format!("git clone -q -n . {0} && cd {0} && git fetch -q origin {commit} && git checkout -q {commit}", tree.display()));
        let listed = bench.shell(&format!("git ls-tree -r -t --name-only {commit}"));
        let mut packer = Packer::new(Vec::new());
        for path in listed.lines() {
            let file = tree.join(path);
            match std::fs::read_link(&file) {
                Ok(target) => packer.add_symlink(path, target.as_os_str().as_encoded_bytes()).unwrap(),
                Err(_) if file.is_dir() => packer.add_dir(path).unwrap(),
                Err(_) => _ = packer.add_file(path, &file).unwrap(),
            }
        }
        let archive = packer.finish().unwrap();

        let upload = respool(archive.as_slice(), bench.dir.path(), Budget::default(), &|| false).unwrap();
        let (uploaded, pushed) = (upload.into_context(&|| false).unwrap(), spool(&bench, &commit).unwrap());

        assert_eq!(unpacked(&uploaded), unpacked(&pushed));
        assert_eq!(std::fs::read(uploaded.path()).unwrap(), std::fs::read(pushed.path()).unwrap());
        assert_eq!(uploaded.manifest(), pushed.manifest());
    }
}
