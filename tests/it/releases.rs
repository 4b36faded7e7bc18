//! Releases without a push, and which images are kept for them.

use crate::harness::{Mini, Repo, eventually};

#[test]
fn a_rollback_brings_image_and_config_back() {
    let mini = Mini::start();
    let repo = Repo::from_folder("examples/greeting");
    let anna = |words: &str| mini.anna.ssh(mini.ssh, words);
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    anna("config:set blog GREETING=old").ok();
    let start = std::fs::read_to_string(repo.path().join("start")).unwrap();
    repo.write("start", &start.replace("GREETING is", "GREETING means"));
    let second = repo.commit("other words");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    anna("config:set blog GREETING=new").ok();
    assert!(mini.get("blog", "/").body.contains("GREETING means new"));

    anna("rollback blog v2").ok();
    assert!(mini.get("blog", "/").body.contains("GREETING is old"));
    assert_eq!(anna("config:get blog GREETING").ok().stdout, "old\n");
    assert_eq!(mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok().remote().last().unwrap().trim(), mini_url(&mini));
    assert!(mini.get("blog", "/").body.contains("GREETING means old"), "the rolled-back commit was pushed again");
    anna("rollback blog").ok();
    assert!(mini.get("blog", "/").body.contains("GREETING is old"), "back to the one before");

    let rows: serde_json::Value = serde_json::from_str(&anna("releases blog --json").ok().stdout).unwrap();
    let described: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["description"].as_str().unwrap()).collect();
    let short = rows[1]["commit"].as_str().unwrap();
    assert_eq!(short, second);
    assert_eq!(described, ["rollback to v5", "other words", "rollback to v2", "set GREETING", "other words", "set GREETING", "first"]);
    mini.finish();
}

fn mini_url(mini: &Mini) -> String {
    format!("http://blog.localhost:{}", mini.http.port())
}

#[test]
fn a_rebuild_makes_the_commit_again_and_can_leave_the_cache() {
    let mini = Mini::start();
    let repo =
        Repo::of(&[("Dockerfile", "FROM busybox\nRUN mkdir /www; date +%s%N >/www/index.html\nCMD exec httpd -f -p $PORT -h /www\n")]);
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let built = mini.get("blog", "/").body;

    let cached = mini.anna.ssh(mini.ssh, "rebuild blog").ok();
    assert_eq!(mini.get("blog", "/").body, built);
    let anew = mini.local(&["rebuild", "blog", "--no-cache"]).ok();
    assert_ne!(mini.get("blog", "/").body, built);

    assert!(cached.stderr.contains("-----> Rebuilding blog (") && cached.stderr.contains("=====> Released v2 in "), "{cached:?}");
    assert!(anew.stderr.contains("=====> Released v3 in ") && anew.stdout.starts_with("http://blog.localhost"), "{anew:?}");
    mini.finish();
}

#[test]
fn only_the_last_images_are_kept_and_a_dropped_one_is_said_so() {
    let mini = Mini::start_with(&["--keep-images", "2"]);
    let repo = Repo::from_folder("examples/hello");
    for number in 1..=7 {
        repo.write("index.html", &format!("page {number}"));
        repo.commit(&format!("page {number}"));
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    }

    eventually("old images to be gone", || (mini.docker().images().len() == 2).then_some(()));
    eventually("old containers to be gone", || (mini.docker().containers().len() == 1).then_some(()));

    mini.anna.ssh(mini.ssh, "rollback blog v1").fails(3, "the image of v1 is no longer kept");
    mini.anna.ssh(mini.ssh, "rollback blog").ok();
    assert_eq!(mini.get("blog", "/").body, "page 6");
    assert_eq!(mini.anna.ssh(mini.ssh, "releases blog -n 3").ok().stdout.lines().count(), 4);
    eventually("the rest to settle", || (mini.docker().containers().len() == 1).then_some(()));
    assert!((2..=3).contains(&mini.docker().images().len()));
    mini.finish();
}

#[test]
fn a_change_that_breaks_the_app_leaves_the_old_release_and_config() {
    let mini = Mini::start_with(&["--ready-time", "5s"]);
    let app = "FROM busybox\nCMD test -z \"$BROKEN\" && exec httpd -f -p $PORT\n";
    mini.anna.push(Repo::of(&[("Dockerfile", app)]).path(), mini.ssh, "blog", &["main"]).ok();

    let failed = mini.anna.ssh(mini.ssh, "config:set blog BROKEN=yes GREETING=hello").fails(1, "");

    assert!(failed.stdout.is_empty(), "{failed:?}");
    assert_eq!(mini.local(&["config", "blog", "--json"]).ok().stdout, "[]\n");
    let releases = mini.anna.ssh(mini.ssh, "releases blog").ok().stdout;
    assert!(releases.contains("v2") && releases.contains("failed"), "{releases}");
    mini.anna.ssh(mini.ssh, "rollback blog v2").fails(2, "v2 never went live");
    mini.anna.ssh(mini.ssh, "rollback blog v1").fails(2, "v1 is what is live");
    assert_ne!(mini.get("blog", "/").status, 503);
    eventually("one container", || (mini.docker().containers().len() == 1).then_some(()));
    mini.finish();
}
