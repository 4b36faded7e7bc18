//! Folders as people have them.

use std::process::Command;

use super::*;

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for path in files {
        write(folder.path(), path, "x");
    }
    folder
}

fn run_git(folder: &Path, words: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@test", "-c", "protocol.file.allow=always"]).args(words);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| std::str::from_utf8(&entry.path).unwrap()).collect()
}

#[test]
fn git_gives_what_it_tracks_and_what_it_would_track() {
    let folder = folder(&["a.txt", "gone.txt", "sub/b.txt", "ignored/c", "new file"]);
    write(folder.path(), ".gitignore", "ignored/\n");
    run_git(folder.path(), &["init", "-q"]);
    run_git(folder.path(), &["add", "a.txt", "gone.txt", "sub", ".gitignore"]);
    run_git(folder.path(), &["commit", "-qm", "first"]);
    std::fs::remove_file(folder.path().join("gone.txt")).unwrap();
    std::os::unix::fs::symlink("a.txt", folder.path().join("link")).unwrap();

    let listing = Listing::of(folder.path()).unwrap();

    assert_eq!(paths(&listing), [".gitignore", "a.txt", "link", "new file", "sub/b.txt"]);
    assert_eq!(listing.entries[2].what, What::Link);
    assert_eq!((listing.bytes, listing.commit), (12, None));
    assert_eq!(paths(&Listing::of(&folder.path().join("sub")).unwrap()), ["b.txt"]);
    assert_eq!(paths(&Listing::of(&folder.path().join("ignored")).unwrap()), ["c"], "a folder that git ignores is still a folder");
}

#[test]
fn a_clean_work_tree_is_its_commit_and_a_part_of_it_is_none() {
    let folder = folder(&["a", "sub/b"]);
    run_git(folder.path(), &["init", "-q"]);
    run_git(folder.path(), &["add", "."]);
    run_git(folder.path(), &["commit", "-qm", "first"]);

    assert!(Listing::of(folder.path()).unwrap().commit.is_some());
    assert_eq!(Listing::of(&folder.path().join("sub")).unwrap().commit, None);
    write(folder.path(), "a", "changed");
    assert_eq!(Listing::of(folder.path()).unwrap().commit, None);
}

#[test]
fn submodules_stay_empty_and_are_named() {
    let (inner, outer) = (folder(&["x"]), folder(&["a"]));
    for folder in [&inner, &outer] {
        run_git(folder.path(), &["init", "-q"]);
        run_git(folder.path(), &["add", "."]);
        run_git(folder.path(), &["commit", "-qm", "first"]);
    }
    run_git(outer.path(), &["submodule", "add", "-q", inner.path().to_str().unwrap(), "lib"]);

    let listing = Listing::of(outer.path()).unwrap();

    assert_eq!(paths(&listing), [".gitmodules", "a", "lib"]);
    assert_eq!(listing.entries[2].what, What::Submodule);
    assert_eq!(listing.warnings, ["submodules stay empty, as in a push: `lib`"]);
}

#[test]
fn without_git_its_rules_count_all_the_same() {
    let folder = folder(&["a", ".hidden", "b.log", "sub/c.log", "sub/keep.log", "target/x", ".git/config"]);
    write(folder.path(), ".gitignore", "*.log\ntarget/\n");
    write(folder.path(), "sub/.gitignore", "!keep.log\n");

    let listing = Listing::of(folder.path()).unwrap();

    assert_eq!(paths(&listing), [".gitignore", ".hidden", "a", "sub/.gitignore", "sub/keep.log"]);
    assert_eq!(listing.commit, None);
}

#[test]
fn dockerignore_counts_here_and_control_files_travel_all_the_same() {
    let folder = folder(&["Dockerfile", "Procfile", "app.js", "node_modules/x/y", "docs/a.md", "docs/keep.md"]);
    write(folder.path(), ".dockerignore", "node_modules\ndocs\n!docs/keep.md\nProcfile\nDockerfile\n.dockerignore\n");

    assert_eq!(paths(&Listing::of(folder.path()).unwrap()), [".dockerignore", "Dockerfile", "Procfile", "app.js", "docs/keep.md"]);
}

#[test]
fn what_no_image_can_hold_is_left_out_and_named_in_one_line() {
    let folder = folder(&["a"]);
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("b.sock")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("c")).status().unwrap().success());

    let listing = Listing::of(folder.path()).unwrap();

    assert_eq!(paths(&listing), ["a"]);
    assert_eq!(listing.warnings, ["left out, because no image can hold it: socket `b.sock`, fifo `c`"]);
}

#[test]
fn an_empty_folder_and_a_folder_of_rules_alone_are_told() {
    let empty = tempfile::tempdir().unwrap();
    let ignored = folder(&["x.log"]);
    write(ignored.path(), ".dockerignore", "*\n");
    std::fs::remove_file(ignored.path().join(".dockerignore")).unwrap();
    write(ignored.path(), ".gitignore", "*\n");

    for folder in [&empty, &ignored] {
        let err = Listing::of(folder.path()).unwrap_err();
        assert!(err.sentence().starts_with("there is nothing to deploy in "), "{err}");
    }
}

#[test]
fn a_file_over_the_budget_is_refused_by_name() {
    let folder = folder(&["a"]);
    let big = std::fs::File::create(folder.path().join("dump.sql")).unwrap();
    big.set_len(257 << 20).unwrap();

    let err = Listing::of(folder.path()).unwrap_err();

    assert!(err.sentence().starts_with("`dump.sql` is 257 MiB"), "{err}");
}

#[test]
fn many_files_over_the_budget_are_refused_together() {
    let folder = folder(&[]);
    for name in 0..5 {
        std::fs::File::create(folder.path().join(format!("{name}"))).unwrap().set_len(250 << 20).unwrap();
    }

    assert!(Listing::of(folder.path()).unwrap_err().sentence().contains("larger than 1 GiB"));
}

#[test]
fn a_malformed_dockerignore_is_told_with_its_line() {
    let folder = folder(&["a"]);
    write(folder.path(), ".dockerignore", "a[\n");

    assert!(Listing::of(folder.path()).unwrap_err().sentence().starts_with("line 1 of `.dockerignore`"));
}

#[test]
fn a_link_out_of_the_folder_is_refused_here_unless_it_stays_behind() {
    let folder = folder(&["Dockerfile", "venv/x"]);
    std::os::unix::fs::symlink("/usr/bin/python3", folder.path().join("venv/python3")).unwrap();

    let err = Listing::of(folder.path()).err().unwrap();
    assert!(err.sentence().contains("`venv/python3`") && err.sentence().contains("/usr/bin/python3"), "{err}");

    write(folder.path(), ".dockerignore", "venv\n");
    assert!(Listing::of(folder.path()).is_ok());
}
