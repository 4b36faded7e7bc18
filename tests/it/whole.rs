//! What is left after a crash: one release, whole, and nothing of what was going on.

use crate::harness::{Docker, Mini, Repo, children_of, eventually};

/// An app whose page is `text`.
pub fn hello(text: &str) -> Repo {
    Repo::of(&[
        ("Dockerfile", "FROM busybox\nCOPY index.html /www/\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT -h /www\"]\n"),
        ("index.html", text),
    ])
}

/// Asserts that `commit` is live and nothing else is left of whatever was going on.
#[track_caller]
pub fn is_whole(mini: &Mini, commit: &str, body: &str) {
    assert_eq!(mini.get("blog", "/").body, body);
    for (name, at) in mini.anna.refs(mini.ssh, "blog") {
        assert_eq!(at, commit, "{name} is not what is live");
    }
    eventually("one container", || (mini.docker().containers().len() == 1).then_some(()));
    // The start serves first; what the engine is to hold is brought about behind it.
    eventually("every deploy and every release to have an end", || (unfinished(mini) == 0).then_some(()));
    assert_eq!(of_state(mini, &["live"]), 1);
    let container = mini.docker().containers().remove(0);
    let running = "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}";
    eventually("the container to be kept up", || (Docker::inspect(&container, running) == "true unless-stopped").then_some(()));
    let images = mini.docker().images();
    let live_once = of_state(mini, &["live", "retired"]);
    eventually("no image but those of releases that were live", || (mini.docker().images().len() <= live_once).then_some(()));
    assert!(!images.is_empty());
    let tmp = std::fs::read_dir(mini.data().join("tmp")).unwrap().count();
    assert_eq!(tmp, 0, "spooled sources are left");
    assert_eq!(litter(mini), Vec::<std::path::PathBuf>::new(), "git's leftovers");
    assert_eq!(mini.docker().networks().len(), 1);
    eventually("no process that serves nobody", || children_of(mini.pid()).is_empty().then_some(()));
}

/// Counts the releases that are in one of these states; the word `releases` lists only the last ones.
fn of_state(mini: &Mini, states: &[&str]) -> usize {
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let count = |state: &&str| {
        db.query_row("SELECT count(*) FROM releases WHERE state = ?1", [*state], |row| row.get::<_, u32>(0)).unwrap() as usize
    };
    states.iter().map(count).sum()
}

/// Counts the deploys without an end and the releases that are neither live nor over.
fn unfinished(mini: &Mini) -> i64 {
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let query = "SELECT (SELECT count(*) FROM deploys WHERE finished_at IS NULL)
                 + (SELECT count(*) FROM releases WHERE state IN ('starting', 'draining'))";
    db.query_row(query, [], |row| row.get(0)).unwrap()
}

/// Quarantines and lock files in the repositories.
pub fn litter(mini: &Mini) -> Vec<std::path::PathBuf> {
    let mut folders = vec![mini.data().join("repos")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        // A git that is on its end removes files meanwhile.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("tmp_") || std::path::Path::new(&name).extension().is_some_and(|extension| extension == "lock") {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    found
}
