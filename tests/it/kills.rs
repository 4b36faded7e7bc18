//! SIGKILL at every failpoint: the right release answers, its container never stopped, nothing is left, the next push works.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use Serves::{New, Old};

use crate::harness::{Docker, Mini, Repo, Said, asked, eventually, leftover_files, proven};
use crate::whole::{hello, is_whole};

/// Which release answers after a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    Old,
    New,
}

type Kill = (&'static str, Serves);

const BEFORE_THE_BUILD: &[Kill] = &[
    ("create::repository", Old),
    ("queued::before", Old),
    ("queued::committed", Old),
    ("sourced::before", Old),
    ("sourced::committed", Old),
    ("building::before", Old),
    ("building::committed", Old),
    ("built::before", Old),
    ("built::committed", Old),
];

const BEFORE_THE_SWITCH: &[Kill] = &[
    ("starting::numbered", Old),
    ("starting::before", Old),
    ("starting::committed", Old),
    ("starting::addressed", Old),
    ("starting::created", Old),
    ("starting::noted", Old),
    ("probing::committed", Old),
    ("probing::answered", Old),
    ("receive::proven", Old),
];

const AROUND_THE_SWITCH: &[Kill] = &[
    ("receive::stored", Old),
    ("stored::before", Old),
    ("stored::committed", Old),
    ("stored::recorded", Old),
    ("live::before", Old),
    ("live::committed", New),
    ("live::routed", New),
    ("live::kept_up", New),
    // The start points the refs, too.
    ("refs::kept=1*off->kill", New),
    ("live::pointed", New),
    ("receive::switched", New),
];

const AFTER_THE_SWITCH: &[Kill] = &[
    ("receive::ended", New),
    ("refs::deployed=1*off->kill", New),
    ("draining::before", New),
    ("draining::committed", New),
    ("draining::drained", New),
    ("retire::stopped", New),
    ("retire::removed", New),
    ("retire::noted", New),
    ("done::committed", New),
];

const OF_AN_UPLOAD: &[Kill] =
    &[("stored::committed", Old), ("stored::recorded", Old), ("live::committed", New), ("refs::deployed=1*off->kill", New)];

const OF_A_CONFIG_CHANGE: &[Kill] =
    &[("config::before", Old), ("starting::created", Old), ("live::before", Old), ("live::committed", New), ("live::pointed", New)];

const OF_A_ROLLBACK: &[Kill] =
    &[("rollback::chosen", Old), ("probing::answered", Old), ("live::committed", New), ("refs::deployed=1*off->kill", New)];

const OF_A_RESTART: &[&str] = &["alter::started", "alter::committed", "alter::routed"];

const OF_A_NEW_APP: &[&str] = &["create::repository", "create::before", "create::committed", "config::saved"];

const OF_AN_END: &[&str] = &["destroy::before", "destroy::committed", "destroy::cleared", "destroy::removed"];

const OF_A_START: &[&str] = &["restore::routed", "restore::journaled", "agree::ended", "agree::swept"];

/// At the doors: `faults.rs` lets them panic.
const OF_THE_DOORS: &[&str] = &["proxy::request", "ssh::session", "api::call"];

#[test]
fn every_failpoint_is_killed_at() {
    let steps = [BEFORE_THE_BUILD, BEFORE_THE_SWITCH, AROUND_THE_SWITCH, AFTER_THE_SWITCH, OF_AN_UPLOAD, OF_A_CONFIG_CHANGE, OF_A_ROLLBACK];
    let others = [OF_A_RESTART, OF_A_NEW_APP, OF_AN_END, OF_A_START, OF_THE_DOORS].concat();
    let names = steps.concat().into_iter().map(|(at, _)| at).chain(others).map(|at| at.split('=').next().unwrap());

    assert_eq!(names.collect::<BTreeSet<_>>(), mini::failpoint::NAMES.iter().copied().collect());
}

/// How often each kill is repeated.
fn rounds() -> usize {
    asked("MINI_SOAK_STEPS", 1)
}

/// GETs the page of a process at its own address until it is stopped.
struct Watch {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(usize, Vec<String>)>,
}

impl Watch {
    fn of(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asking = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let (mut served, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match ask(address) {
                        Ok(()) => served += 1,
                        Err(why) => failed.push(why),
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                (served, failed)
            }
        });
        Watch { stop, asking }
    }

    /// Asserts that every request was answered.
    #[track_caller]
    fn saw_no_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (served, failed) = self.asking.join().unwrap();
        assert!(failed.is_empty() && served > 0, "{} failed and {served} were answered: {:?}", failed.len(), failed.first());
    }
}

fn ask(address: SocketAddr) -> Result<(), String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).map_err(|err| err.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(|err| err.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|err| err.to_string())?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
}

/// The container of the release that is live in the rows, and its address; the server may be dead.
fn live(mini: &Mini) -> (String, SocketAddr) {
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    let version: u32 = db.query_row("SELECT current_version FROM apps", [], |row| row.get(0)).unwrap();
    let format = r#"{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:{{index .Config.Labels "mini.port"}}"#;
    let container = mini.docker().containers_of(&format!("v{version}")).remove(0);
    let address = Docker::inspect(&container, format).parse().unwrap();
    (container, address)
}

/// One run of a container: another one after a restart.
fn run_of(container: &str) -> String {
    Docker::inspect(container, "{{.Id}} {{.State.Running}} {{.State.StartedAt}} {{.RestartCount}}")
}

/// Kills a server at each failpoint on the way of `change`, which gets a number and says what is to answer after it: page and commit.
fn kill_at_each(kills: &[Kill], mini: &mut Mini, mut change: impl FnMut(&Mini, usize) -> (Said, String, String)) {
    let (mut page, mut commit) = (mini.get("blog", "/").body, mini.anna.refs(mini.ssh, "blog")[0].1.clone());
    let mut slowest = Duration::ZERO;
    for (number, (at, serves)) in (1..).zip(kills.iter().cycle().take(kills.len() * rounds())) {
        let armed = if at.contains('=') { (*at).to_owned() } else { format!("{at}=kill") };
        mini.kill_9();
        mini.boot_armed(&armed);
        let before = Watch::of(live(mini).1);

        let (said, new_page, new_commit) = change(mini, number);
        mini.dies();

        assert!(*serves == New || said.code != 0, "killed at {at} and told that all is well: {said:?}");
        let (container, address) = live(mini);
        let run = run_of(&container);
        let since = if *serves == Old { before } else { before.forget_for(address) };
        let begun = Instant::now();
        mini.boot();
        slowest = slowest.max(begun.elapsed());
        if *serves == New {
            (page, commit) = (new_page, new_commit);
        }
        println!("killed at {at} in round {number}: serves again after {:?}", begun.elapsed());
        is_whole(mini, &commit, &page);
        assert_eq!(run_of(&container), run, "the container that serves was stopped, at {at}");
        since.saw_no_failure();
    }
    proven(kills.len() * rounds(), Some(slowest));
}

impl Watch {
    /// Watches another process from now on; the one so far may end.
    fn forget_for(self, address: SocketAddr) -> Self {
        // Not waited for: it may be asking an address where nobody is any more.
        self.stop.store(true, Ordering::Relaxed);
        Watch::of(address)
    }
}

/// A server with the app `blog`, and its repo.
fn with_blog() -> (Mini, Repo) {
    let mini = Mini::start_with(&["--ready-confirm", "20ms"]);
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    (mini, repo)
}

fn kill_pushes(kills: &[Kill]) {
    let (mut mini, repo) = with_blog();

    kill_at_each(kills, &mut mini, |mini, number| {
        let page = format!("page {number}");
        let commit = repo.next(&page);
        (mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]), page, commit)
    });

    let last = repo.next("last");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    is_whole(&mini, &last, "last");
    mini.finish();
}

#[test]
fn a_kill_at_each_step_up_to_the_image_leaves_the_old_release() {
    kill_pushes(BEFORE_THE_BUILD);
}

#[test]
fn a_kill_at_each_step_of_the_start_leaves_the_old_release() {
    kill_pushes(BEFORE_THE_SWITCH);
}

#[test]
fn a_kill_at_each_step_of_the_switch_leaves_the_release_that_is_committed() {
    kill_pushes(AROUND_THE_SWITCH);
}

#[test]
fn a_kill_at_each_step_after_the_switch_leaves_the_new_release() {
    kill_pushes(AFTER_THE_SWITCH);
}

#[test]
fn a_kill_at_each_step_of_an_upload_leaves_one_whole_release() {
    let (mut mini, repo) = with_blog();

    kill_at_each(OF_AN_UPLOAD, &mut mini, |mini, number| {
        let page = format!("upload {number}");
        repo.write("index.html", &page);
        let said = mini.anna.upload(&repo, mini.ssh, "blog");
        (said, page, recorded(mini))
    });

    mini.anna.upload(&repo, mini.ssh, "blog").ok();
    mini.finish();
}

/// The commit of the release that is live in the rows.
fn recorded(mini: &Mini) -> String {
    let db = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    db.query_row("SELECT commit_id FROM releases WHERE state = 'live'", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_kill_at_each_step_of_a_config_change_leaves_one_whole_config() {
    let (mut mini, repo) = with_blog();
    let mut last = String::new();

    kill_at_each(OF_A_CONFIG_CHANGE, &mut mini, |mini, number| {
        last = number.to_string();
        (mini.anna.ssh(mini.ssh, &format!("config:set blog NUMBER={number}")), "first".to_owned(), repo.head())
    });

    let container = mini.docker().containers().remove(0);
    let seen = Docker::exec(&container, &["sh", "-c", "echo $NUMBER"]).join("");
    assert_eq!((mini.local(&["config:get", "blog", "NUMBER"]).ok().stdout.trim(), &seen), (last.as_str(), &last));
    mini.finish();
}

#[test]
fn a_kill_at_each_step_of_a_rollback_leaves_one_whole_release() {
    let (mut mini, repo) = with_blog();
    let pages = [("second", repo.next("second")), ("first", repo.git(&["rev-parse", "HEAD~"]))];
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();

    kill_at_each(OF_A_ROLLBACK, &mut mini, |mini, _| {
        let now = mini.get("blog", "/").body;
        let version = if now == "first" { "v2" } else { "v1" };
        let (page, commit) = pages.iter().find(|(page, _)| *page != now).unwrap();
        (mini.anna.ssh(mini.ssh, &format!("rollback blog {version}")), (*page).to_owned(), commit.clone())
    });

    mini.finish();
}

#[test]
fn a_kill_while_an_app_is_made_leaves_a_name_that_can_be_pushed_to() {
    let mut mini = Mini::start_with(&["--ready-confirm", "20ms"]);
    for _ in 0..rounds() {
        for at in OF_A_NEW_APP {
            mini.kill_9();
            mini.boot_armed(&format!("{at}=kill"));
            let repo = hello("first");
            if *at == "config::saved" {
                mini.local(&["apps:create", "blog"]).ok();
                assert_ne!(mini.anna.ssh(mini.ssh, "config:set blog A=1").code, 0);
            } else {
                assert_ne!(mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).code, 0);
            }
            mini.dies();
            mini.boot();

            let is_made = matches!(*at, "create::committed" | "config::saved");
            assert_eq!(mini.apps(), if is_made { vec!["blog"] } else { vec![] }, "killed at {at}");
            assert!(is_made || leftover_files(&mini.data()).is_empty(), "killed at {at}: {:?}", leftover_files(&mini.data()));
            mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
            is_whole(&mini, &repo.head(), "first");
            let saved = mini.local(&["config:get", "blog", "A"]);
            assert_eq!(saved.stdout.trim(), if *at == "config::saved" { "1" } else { "" });
            mini.local(&["apps:destroy", "blog", "--confirm", "blog"]).ok();
        }
    }
    proven(OF_A_NEW_APP.len() * rounds(), None);
    mini.finish();
}

#[test]
fn a_kill_while_an_app_is_destroyed_leaves_all_of_it_or_nothing() {
    let mut mini = Mini::start_with(&["--ready-confirm", "20ms"]);
    for at in OF_AN_END.iter().cycle().take(OF_AN_END.len() * rounds()) {
        let repo = hello("first");
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
        mini.kill_9();
        mini.boot_armed(&format!("{at}=kill"));
        assert_ne!(mini.anna.ssh(mini.ssh, "apps:destroy blog --confirm blog").code, 0);
        mini.dies();
        mini.boot();

        if *at == "destroy::before" {
            is_whole(&mini, &repo.head(), "first");
            mini.local(&["apps:destroy", "blog", "--confirm", "blog"]).ok();
        }
        assert_eq!(mini.apps(), Vec::<String>::new(), "killed at {at}");
        eventually("the engine to have nothing of it", || mini.docker().leftovers().is_empty().then_some(()));
        eventually("the data dir to have nothing of it", || leftover_files(&mini.data()).is_empty().then_some(()));
    }
    proven(OF_AN_END.len() * rounds(), None);
    mini.finish();
}

#[test]
fn a_kill_during_the_start_after_a_kill_is_mended_by_the_next_start() {
    let (mut mini, repo) = with_blog();
    for (number, at) in (1..).zip(OF_A_START.iter().cycle().take(OF_A_START.len() * rounds())) {
        mini.kill_9();
        mini.boot_armed("live::routed=kill");
        let (page, commit) = (format!("page {number}"), repo.next(&format!("page {number}")));
        assert_ne!(mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).code, 0);
        mini.dies();
        let run = run_of(&live(&mini).0);

        let mut command = mini.server_command();
        let status = command.env("FAILPOINTS", format!("{at}=kill")).stdout(std::process::Stdio::null()).status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "at {at}: {status}");
        mini.boot();

        is_whole(&mini, &commit, &page);
        assert_eq!(run_of(&live(&mini).0), run, "the container that serves was stopped, at {at}");
    }
    proven(OF_A_START.len() * rounds(), None);
    mini.finish();
}

#[test]
fn a_failpoint_that_there_is_not_stops_the_start() {
    let mini = Mini::unstarted(&[]);
    for (wrong, sentence) in
        [("live::nowhere=kill", "there is no failpoint `live::nowhere`"), ("live::before=murder", "`live::before=murder`")]
    {
        let mut command = mini.server_command();
        command.env("FAILPOINTS", wrong);
        Said::by(command, b"").fails(78, sentence);
    }
}

#[test]
fn a_kill_in_the_middle_of_a_restart_leaves_one_process_that_answers() {
    let mut mini = Mini::start();
    mini.anna.push(hello("one").path(), mini.ssh, "blog", &["main"]).ok();
    for at in OF_A_RESTART.iter().cycle().take(OF_A_RESTART.len() * rounds()) {
        mini.kill_9();
        mini.boot_armed(&format!("{at}=kill"));

        let said = mini.anna.ssh(mini.ssh, "ps:restart blog");
        mini.dies();
        assert_ne!(said.code, 0, "killed at {at} and told that all is well: {said:?}");
        mini.boot();

        assert_eq!(mini.get("blog", "/").status, 200, "after a kill at {at}");
        eventually("one process to be left", || {
            let rows: serde_json::Value = serde_json::from_str(&mini.local(&["ps", "blog", "--json"]).ok().stdout).unwrap();
            let is_one = rows.as_array().unwrap().len() == 1 && rows[0]["state"] == "running" && mini.docker().containers().len() == 1;
            is_one.then_some(())
        });
    }
    mini.local(&["ps:restart", "blog"]).ok();
    assert_eq!(mini.get("blog", "/").status, 200);
    proven(OF_A_RESTART.len() * rounds(), None);
    mini.finish();
}
