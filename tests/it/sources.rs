//! What is in a push: links, submodules, pointers, things left out, and things that git takes and mini does not.

use std::path::Path;

use crate::harness::{Docker, Mini, Repo};

#[test]
fn links_stay_links_and_submodules_are_left_empty_with_a_warning() {
    let mini = Mini::start();
    let repo = Repo::building("echo links");
    repo.link("passwd", "/etc/passwd");
    repo.link("up", "../../../../etc");
    repo.write(".gitmodules", "[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.com/lib.git\n");
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},lib", repo.head())]);
    repo.git(&["add", "passwd", "up", ".gitmodules"]);
    repo.git(&["commit", "-q", "-m", "links and a submodule"]);

    let said = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok().remote();

    let warning = "       warning: submodule `lib` is left empty: mini does not fetch submodules";
    assert_eq!(said.iter().filter(|line| line.contains("warning")).collect::<Vec<_>>(), [warning]);
    let container = &mini.docker().containers()[0];
    assert_eq!(Docker::exec(container, &["readlink", "/www/passwd"]), ["/etc/passwd"]);
    assert_eq!(Docker::exec(container, &["readlink", "/www/up"]), ["../../../../etc"]);
    assert_eq!(Docker::exec(container, &["ls", "-A", "/www/lib"]), Vec::<String>::new());
    mini.finish();
}

#[test]
fn what_dockerignore_names_is_not_in_the_image() {
    let mini = Mini::start();
    let repo = Repo::building("echo ignoring");
    for path in ["secret.env", "notes/a.md", "notes/keep.md", "src/deep/x.tmp", "src/deep/y.txt"] {
        repo.write(path, path);
    }
    repo.write(".dockerignore", "# comment\n*.env\nnotes/*\n!notes/keep.md\n**/*.tmp\n");
    repo.commit("ignored things");

    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    let mut files = Docker::exec(&mini.docker().containers()[0], &["find", "/www", "-type", "f"]);
    files.sort();
    assert_eq!(files, ["/www/.dockerignore", "/www/Dockerfile", "/www/index.html", "/www/notes/keep.md", "/www/src/deep/y.txt"]);
    assert_eq!(mini.get("hello", "/secret.env").status, 404);
    mini.finish();
}

#[test]
fn git_lfs_pointers_are_named() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let before = mini.state("hello");
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "4d".repeat(32));
    repo.write("assets/video.mp4", &pointer);
    repo.commit("a pointer");

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "");

    let head = repo.head();
    assert_eq!(
        refused.transcript(&[(&mini.ssh.to_string(), "SERVER"), (&head[..7], "COMMIT")]),
        "\
remote: -----> Receiving hello (main, COMMIT)
remote:  !     `assets/video.mp4` is only a pointer: its content is in Git LFS, which mini does not fetch
remote:  !     try: commit the file itself (git lfs migrate export), exclude it in .dockerignore, or download it in the build
remote:  !     nothing was changed: v1 keeps serving
To ssh://SERVER/hello
 ! [remote rejected] main -> main (pre-receive hook declined)
error: failed to push some refs to 'ssh://SERVER/hello'
"
    );
    assert_eq!(mini.state("hello"), before);
    mini.finish();
}

#[test]
fn a_tree_that_unfolds_to_ten_thousand_million_files_is_refused_at_once() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let (before, images) = (mini.state("hello"), mini.docker().images());
    let names: Vec<String> = (0..10).map(|digit| format!("f{digit}")).collect();
    let mut id = repo.blob(b"x");
    for level in 0..10 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_bytes(), id.as_str())).collect();
        id = repo.tree(&entries);
    }
    let bomb = repo.commit_tree(&id);

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &[&format!("+{bomb}:refs/heads/main")]);

    let said = refused.fails(1, "(pre-receive hook declined)").remote();
    assert!(said.iter().any(|line| line.contains("files and folders")), "{said:#?}");
    assert!(!said.iter().any(|line| line.contains("Building")), "{said:#?}");
    assert_eq!((mini.state("hello"), mini.docker().images()), (before, images));
    mini.finish();
}

#[test]
fn a_file_that_inflates_over_the_limit_is_refused_by_its_name() {
    let mini = Mini::start();
    let repo = Repo::hello();
    let zeros = std::fs::File::create(repo.path().join("zeros")).unwrap();
    zeros.set_len(300 << 20).unwrap();
    repo.git(&["config", "core.bigFileThreshold", "1m"]);
    repo.git(&["config", "core.compression", "1"]);
    repo.commit("zeros");

    let refused = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "(pre-receive hook declined)");

    let said = refused.remote();
    assert!(said.contains(&" !     `zeros` is 300 MiB; one file may have 256 MiB".to_owned()), "{said:#?}");
    assert_eq!(mini.state("hello"), "null null null\n");
    assert!(bytes_below(&mini.data()) < 16 << 20, "the pack was kept");
    assert!(mini.peak_memory_mib() < 256, "the server took {} MiB", mini.peak_memory_mib());
    mini.finish();
}

fn bytes_below(folder: &Path) -> u64 {
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        // It went away meanwhile.
        Err(_) => 0,
    };
    std::fs::read_dir(folder).unwrap().flatten().map(bytes).sum()
}

#[test]
fn a_cache_mount_is_shared_by_the_builds_of_one_app_and_not_with_another() {
    let mini = Mini::start();
    // A path of this test alone: the engine keeps caches by it.
    let run = |test: &str| format!("--mount=type=cache,target=/cache-{} {test} && echo planted > /cache-{}/x", mini.pid(), mini.pid());
    let planted = format!("[ -e /cache-{}/x ]", mini.pid());
    let (first, again, other) =
        (Repo::building(&run("true")), Repo::building(&run(&planted)), Repo::building(&run(&format!("! {planted}"))));

    mini.anna.push(first.path(), mini.ssh, "one", &["main"]).ok();
    mini.anna.push(other.path(), mini.ssh, "two", &["main"]).ok();
    mini.anna.push(again.path(), mini.ssh, "one", &["-f", "main"]).ok();

    mini.finish();
}
