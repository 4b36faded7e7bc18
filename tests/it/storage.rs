//! Storage: what an app keeps outlives its containers, and no two releases write it at once.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Docker, Mini, Repo, eventually};

/// Serves `/data`. The lock tells whether another container has the same volume at that moment.
const START: &str = "mkdir -p /data\nmkdir /data/lock || echo two >> /data/two\necho start >> /data/starts\n\
                     trap 'rmdir /data/lock; exit' TERM\nhttpd -f -p $PORT -h /data &\nwait\n";

fn keeper() -> Repo {
    Repo::of(&[("Dockerfile", "FROM busybox\nCOPY start /\nCMD [\"sh\", \"/start\"]\n"), ("start", START)])
}

fn kept(mini: &Mini) {
    eventually("what was kept", || (mini.get("blog", "/note").body == "kept\n").then_some(()));
}

#[test]
fn what_an_app_keeps_outlives_its_containers_and_is_deleted_when_that_is_meant() {
    let mut mini = Mini::start();
    let repo = keeper();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    let said = mini.anna.ssh(mini.ssh, "storage:add blog data:/data/").ok();
    assert_eq!(said.stdout, "`blog` has storage `data` at /data.\n");
    mini.anna.ssh(mini.ssh, "storage:add blog other:/data").fails(5, "`blog` has storage `data` at /data already");
    mini.anna.ssh(mini.ssh, "run blog -- sh -c 'echo kept > /data/note'").ok();
    kept(&mini);

    mini.anna.ssh(mini.ssh, "ps:restart blog").ok();
    kept(&mini);
    repo.next("second");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    kept(&mini);
    mini.anna.ssh(mini.ssh, "rollback blog").ok();
    kept(&mini);
    eventually("one container", || (mini.docker().containers().len() == 1).then_some(()));
    let container = &mini.docker().containers()[0];
    // It is killed and cannot give its lock back.
    Docker::exec(container, &["rmdir", "/data/lock"]);
    assert!(Command::new("docker").args(["rm", "-f", container]).output().unwrap().status.success());
    kept(&mini);
    mini.stop();
    mini.boot();
    kept(&mini);
    assert_eq!(mini.get("blog", "/two").status, 404, "two containers had the volume at once");
    assert_eq!(mini.docker().volumes().len(), 1);

    let said = mini.anna.ssh(mini.ssh, "storage:remove blog data").ok();
    assert!(said.stdout.contains("is kept"), "{said:?}");
    assert_eq!(mini.get("blog", "/note").status, 404);
    assert!(mini.anna.ssh(mini.ssh, "storage blog").ok().stdout.contains("it was kept"));
    let said = mini.anna.ssh(mini.ssh, "storage:add blog data:/data").ok();
    assert!(said.stdout.ends_with("What was kept in it is there again.\n"), "{said:?}");
    kept(&mini);

    mini.anna.ssh(mini.ssh, "storage:remove blog data --delete --confirm date").fails(2, "no backup of mini has it");
    mini.anna.ssh(mini.ssh, "storage:remove blog data --delete --confirm data").ok();
    eventually("the volume to be deleted", || mini.docker().volumes().is_empty().then_some(()));
    mini.anna.ssh(mini.ssh, "storage:remove blog data").fails(3, "`blog` has no storage `data`");
    mini.anna.ssh(mini.ssh, "storage:add blog data:/data").ok();
    mini.finish();
}

#[test]
fn a_failed_release_with_storage_brings_the_old_one_back_and_requests_wait_for_it() {
    let mini = Mini::start();
    let repo = keeper();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, "storage:add blog data:/data").ok();
    let before = mini.state("blog");
    let is_over = AtomicBool::new(false);

    let statuses = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut statuses = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                statuses.push(mini.get("blog", "/starts").status);
            }
            statuses
        });
        for broken in ["echo broken\nexit 3\n", "sleep 1\nexit 3\n"] {
            repo.write("start", broken);
            repo.commit("broken");
            let said = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).fails(1, "(pre-receive hook declined)");
            assert!(said.stderr.contains("Stopping web.1 of v1") && said.stderr.contains("requests wait meanwhile"), "{said:?}");
        }
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });

    assert!(statuses.len() > 2 && statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(mini.state("blog"), before);
    assert_eq!(mini.get("blog", "/two").status, 404, "two containers had the volume at once");
    assert_eq!(mini.get("blog", "/starts").body.lines().count(), 3, "the old release was started again for each failure");
    mini.finish();
}

#[test]
fn releases_overlap_in_spite_of_storage_when_somebody_says_so() {
    let mini = Mini::start();
    let repo = keeper();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, "storage:add blog data:/data").ok();

    mini.anna.ssh(mini.ssh, "apps:set blog overlap=on").ok();
    mini.anna.ssh(mini.ssh, "ps:restart blog").ok();

    assert_eq!(mini.get("blog", "/two").body, "two\n");
    let said = mini.anna.ssh(mini.ssh, "apps:info blog").ok().stdout;
    assert!(said.lines().any(|line| line.starts_with("storage") && line.ends_with("data:/data")), "{said}");
    mini.finish();
}

#[test]
fn a_database_is_live_when_it_stays_and_no_request_from_outside_comes_to_it() {
    let mini = Mini::start();
    let repo = Repo::of(&[("Dockerfile", "FROM busybox\nCMD [\"nc\", \"-ll\", \"-p\", \"5432\", \"-e\", \"cat\"]\n")]);
    mini.anna.ssh(mini.ssh, "apps:create db").ok();
    mini.anna.ssh(mini.ssh, "apps:set db health=none").ok();

    let said = mini.anna.push(repo.path(), mini.ssh, "db", &["main"]).ok();

    assert!(said.stderr.contains("web.1 ran for 10") && !said.stderr.contains("db.localhost"), "{said:?}");
    let answer = mini.get("db", "/");
    assert!(answer.status == 503 && answer.body.contains("it answers no requests from outside"), "{answer:?}");
    let first = mini.docker().containers();
    assert!(Command::new("docker").args(["kill", &first[0]]).output().unwrap().status.success());
    eventually("it to run again", || (Docker::inspect(&first[0], "{{.State.Running}}") == "true").then_some(()));
    eventually("it to be told so", || mini.anna.ssh(mini.ssh, "ps db").ok().stdout.contains(" running ").then_some(()));
    mini.finish();
}
