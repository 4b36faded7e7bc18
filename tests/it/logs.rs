//! What an app and mini said: in order, over deploys and restarts, for as long as somebody reads.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::harness::{Docker, Mini, Repo, children_of, eventually, signal};

/// Somebody who reads `logs -f`, over ssh or on the server.
struct Reader {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Reader {
    fn over_ssh(mini: &Mini, words: &str) -> Self {
        let line = mini.anna.ssh_command(mini.ssh);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(["mini@127.0.0.1", words]);
        Self::of(command)
    }

    fn on_server(mini: &Mini, words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
        command.args(words).env("MINI_DATA", mini.data());
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Reader { child, lines, seen: Vec::new() }
    }

    /// Reads on until a line holds `text`.
    #[track_caller]
    fn until(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.seen.iter().any(|line| line.contains(text)) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(err) => panic!("{err}: no {text:?} in {:#?}", self.seen),
            }
        }
    }

    /// The exit code of a reader whose stream has ended.
    fn ends(&mut self) -> Option<i32> {
        eventually("the reader's end", || self.child.try_wait().unwrap()).code()
    }

    fn leaves(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn say(mini: &Mini, text: &str) {
    assert_eq!(mini.get("blog", &format!("/cgi-bin/say?{text}")).status, 200);
}

fn with_app() -> (Mini, Repo) {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    (mini, repo)
}

/// Asserts that each line is there once, and that they stand in the order of their times.
#[track_caller]
fn assert_in_order(lines: &[String]) {
    let times: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(times.is_sorted(), "not in order: {lines:#?}");
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_follower_sees_both_releases_over_a_deploy_and_ends_with_the_app() {
    let (mini, repo) = with_app();
    let mut readers = [Reader::over_ssh(&mini, "logs blog -f"), Reader::on_server(&mini, &["logs", "blog", "-t", "-n", "0"])];
    eventually("a line that the one without a past sees", || {
        say(&mini, "ping");
        readers[1].lines.recv_timeout(Duration::from_millis(200)).ok()
    });
    say(&mini, "before");
    for reader in &mut readers {
        reader.until("v1 said before");
    }

    repo.write("www/index.html", "two");
    repo.commit("two");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    say(&mini, "after");

    for reader in &mut readers {
        reader.until("v2 said after");
        reader.until("v2 is live");
        for once in ["v1 said before", "v2 starts", "v2 said after", "v2 is live"] {
            assert_eq!(count(&reader.seen, once), 1, "{once:?} in {:#?}", reader.seen);
        }
        assert_in_order(&reader.seen);
    }
    assert_eq!(count(&readers[0].seen, "v1 starts"), 1);
    assert_eq!(count(&readers[1].seen, "v1 starts"), 0, "-n 0 shows nothing of the past");

    mini.local(&["apps:destroy", "blog", "--confirm", "blog"]).ok();
    assert_eq!(readers[0].ends(), Some(0));
    assert_eq!(readers[1].ends(), Some(0));
    mini.finish();
}

#[test]
fn a_follower_stays_over_a_crash_and_sees_each_line_once() {
    let (mini, _repo) = with_app();
    let mut reader = Reader::over_ssh(&mini, "logs blog -f");
    say(&mini, "before");
    reader.until("v1 said before");

    mini.get("blog", "/cgi-bin/die");
    eventually("the app to be back", || (mini.get("blog", "/").status == 200).then_some(()));
    say(&mini, "after");
    reader.until("v1 said after");
    reader.until("web.1 of v1 crashed (exit code");

    assert_eq!(count(&reader.seen, "v1 said before"), 1, "{:#?}", reader.seen);
    assert_eq!(count(&reader.seen, "v1 starts"), 2, "{:#?}", reader.seen);
    assert_eq!(count(&reader.seen, "v1 said after"), 1, "{:#?}", reader.seen);
    reader.leaves();
    mini.finish();
}

#[test]
fn no_line_is_lost_or_seen_twice_when_both_streams_are_busy() {
    const FLOOD: &str = "echo >>/boots; boot=$(wc -l </boots)
flood() { i=0; while [ $i -lt 300 ]; do echo \"$1 $boot $i.\"; i=$((i+1)); done; }
flood out & flood err >&2 & wait
echo \"flood $boot is over\"
exec httpd -f -p $PORT
";
    let mini = Mini::start();
    let repo = Repo::of(&[("Dockerfile", "FROM busybox\nCOPY start /\nCMD [\"sh\", \"/start\"]\n"), ("start", FLOOD)]);
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let mut readers = [Reader::over_ssh(&mini, "logs blog -f -n 10000"), Reader::on_server(&mini, &["logs", "blog", "-f", "-n", "7"])];
    for reader in &mut readers {
        reader.until("v1 is live");
    }

    for boot in 2..=3 {
        let container = mini.docker().containers().remove(0);
        signal(Docker::inspect(&container, "{{.State.Pid}}").parse().unwrap(), "KILL");
        for reader in &mut readers {
            // The two streams come in their own time.
            reader.until(&format!("flood {boot} is over"));
            reader.until(&format!(": err {boot} 299."));
        }
    }

    for (reader, first) in readers.iter().zip([1, 2]) {
        for line in (first..=3).flat_map(|boot| (0..300).flat_map(move |at| ["out", "err"].map(|name| format!(": {name} {boot} {at}.")))) {
            assert_eq!(count(&reader.seen, &line), 1, "{line:?}");
        }
    }
    let all = mini.anna.ssh(mini.ssh, "logs blog -n 10000").ok().stdout;
    assert_eq!(all.lines().filter(|line| line.ends_with('.') && line.contains("app[web.1]: ")).count(), 1800);
    readers.into_iter().for_each(Reader::leaves);
    mini.finish();
}

#[test]
fn a_reader_that_leaves_costs_the_server_nothing() {
    let (mini, _repo) = with_app();
    let files = || std::fs::read_dir(format!("/proc/{}/fd", mini.pid())).unwrap().count();
    // What the first reader makes once for all stays.
    Reader::over_ssh(&mini, "logs blog -f").leaves();
    let mut first = Reader::on_server(&mini, &["logs", "blog", "-f"]);
    first.until("v1 is live");
    say(&mini, "first");
    first.until("mini[router]: method=GET");
    first.leaves();
    let before = eventually("a quiet server", || {
        let before = files();
        std::thread::sleep(Duration::from_millis(300));
        (files() == before).then_some(before)
    });

    let mut readers: Vec<Reader> = (0..5).map(|_| Reader::over_ssh(&mini, "logs blog -f")).collect();
    readers.extend((0..5).map(|_| Reader::on_server(&mini, &["logs", "blog", "-f"])));
    for reader in &mut readers {
        reader.until("v1 is live");
    }
    say(&mini, "hello");
    for reader in &mut readers {
        reader.until("v1 said hello");
    }
    assert!(files() > before, "readers are there");
    readers.into_iter().for_each(Reader::leaves);

    eventually("the server to let go of what they held", || (files() <= before).then_some(()));
    mini.finish();
}

#[test]
fn a_reader_of_the_first_line_is_left_in_peace() {
    let (mini, _repo) = with_app();

    // What the follower says on stderr stands beside what `head` lets through.
    let mut command = Command::new("bash");
    command.args(["-c", "exec 2>&1; set -o pipefail; \"$0\" logs blog -f -n 1 | head -1", env!("CARGO_BIN_EXE_mini")]);
    command.env("MINI_DATA", mini.data());
    let mut reader = Reader::of(command);
    reader.until("");
    eventually("`head` to have gone", || (children_of(reader.child.id()).len() <= 1).then_some(()));
    // The next line tells the follower so.
    say(&mini, "more");

    assert_eq!(reader.ends(), Some(0));
    reader.seen.extend(reader.lines.iter());
    assert_eq!(reader.seen.len(), 1, "{:#?}", reader.seen);
    mini.finish();
}

#[test]
fn what_a_retired_container_said_is_kept_over_a_restart_of_the_server() {
    let (mut mini, repo) = with_app();
    say(&mini, "kept");
    repo.write("www/index.html", "two");
    repo.commit("two");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    eventually("the old container to be gone", || (mini.docker().containers().len() == 1).then_some(()));
    say(&mini, "now");

    let said = || mini.anna.ssh(mini.ssh, "logs blog").ok().stdout;
    let before = eventually("all to be told", || Some(said()).filter(|lines| lines.contains("release=v2") && lines.contains("said now")));
    assert!(mini.stop().success());
    mini.boot();
    let after = mini.anna.ssh(mini.ssh, "logs blog").ok().stdout;

    let lines: Vec<String> = after.lines().map(str::to_owned).collect();
    for once in ["v1 said kept", "v1 starts", "v2 starts", "v2 said now", "-----> Building image"] {
        let wanted = if once.starts_with('-') { 2 } else { 1 };
        assert_eq!(count(&lines, once), wanted, "{once:?} in {lines:#?}");
    }
    assert_in_order(&lines);
    assert_eq!(before, after);
    let last = mini.anna.ssh(mini.ssh, "logs blog -n 2").ok().stdout;
    assert_eq!(last.lines().collect::<Vec<_>>(), after.lines().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>());
    let json = mini.anna.ssh(mini.ssh, "logs blog -s app -n 1 --json").ok().stdout;
    let line: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&line["source"], &line["text"]), (&"app[web.1]".into(), &"v2 said now".into()));
    mini.finish();
}

#[test]
fn terminal_escapes_and_forged_lines_of_an_app_do_not_reach_a_terminal() {
    let (mini, _repo) = with_app();

    say(&mini, "a\\033[31mred\\033[0m\\033]0;title\\007\\rover\\bb\\302\\233Jc\\nv9");

    let lines = mini.anna.ssh(mini.ssh, "logs blog -n 5").ok().stdout;
    assert!(!lines.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{lines:?}");
    assert!(lines.contains("v1 said ared") && lines.contains("app[web.1]: v9"), "{lines:?}");
    mini.finish();
}

#[test]
fn lines_are_chosen_by_source_process_and_time_before_they_are_counted() {
    let (mini, repo) = with_app();
    let lines = |words: &str| -> Vec<String> { mini.anna.ssh(mini.ssh, words).ok().stdout.lines().map(str::to_owned).collect() };
    let only = |lines: &[String], source: &str| !lines.is_empty() && lines.iter().all(|line| line.split(' ').nth(1) == Some(source));
    let mut readers =
        ["-p web.1", "-s release", "-s build -n 0", "-s router"].map(|filter| Reader::over_ssh(&mini, &format!("logs blog -f {filter}")));
    readers[0].until("v1 starts");
    readers[1].until("v1 is live");
    for at in 0..20 {
        say(&mini, &format!("number{at}"));
    }
    repo.write("www/index.html", "two");
    repo.commit("two");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.local(&["rollback", "blog"]).ok();
    mini.local(&["run", "-d", "blog", "echo", "a one-off"]).ok();
    say(&mini, "last");

    readers[0].until("v3 said last");
    readers[1].until("v3 is live");
    readers[2].until("Building image");
    assert!(only(&readers[0].seen, "app[web.1]:") && only(&readers[1].seen, "mini[release]:") && only(&readers[2].seen, "mini[build]:"));
    for reader in &readers[..3] {
        assert_in_order(&reader.seen);
    }
    assert_eq!(count(&readers[0].seen, "v1 said number7"), 1);
    assert_eq!(count(&readers[1].seen, "v2 is live"), 1);
    readers[3].until("release=v3");
    assert!(only(&readers[3].seen, "mini[router]:") && count(&readers[3].seen, "path=\"/cgi-bin/say\"") == 21, "{:#?}", readers[3].seen);
    let requests = readers[3].seen.clone();
    readers.into_iter().for_each(Reader::leaves);

    eventually("the one-off's words", || (lines("logs blog -p run").len() == 1).then_some(()));
    let two = lines("logs blog -s release -n 2");
    assert!(two.len() == 2 && only(&two, "mini[release]:") && two[1].contains("v3 is live"), "{two:#?}");
    let web = lines("logs blog -p web -s app -n 1000");
    assert!(only(&web, "app[web.1]:") && count(&web, "said number") == 20, "{web:#?}");
    assert!(only(&lines("logs blog -s build -n 1"), "mini[build]:"));
    assert!(lines("logs blog -s build -p web").is_empty() && lines("logs blog -p worker").is_empty());
    assert_eq!(lines("logs blog -s router"), requests);
    assert_eq!(lines("logs blog -s mini -n 1000").len() + lines("logs blog -s app -n 1000").len(), lines("logs blog -n 1000").len());
    let middle = web[12].split(' ').next().unwrap();
    let since = lines(&format!("logs blog -p web -n 1000 --since {middle}"));
    assert_eq!(since, web.iter().filter(|line| line.split(' ').next().unwrap() >= middle).cloned().collect::<Vec<_>>());
    assert_eq!(lines("logs blog -n 1000 --since 1h"), lines("logs blog -n 1000"));
    assert!(lines("logs blog --since 2100-01-01T00:00:00Z").is_empty());
    let json: serde_json::Value = serde_json::from_str(&lines("logs blog -p web -n 1 --json")[0]).unwrap();
    assert_eq!((&json["source"], &json["text"]), (&"app[web.1]".into(), &"v3 said last".into()));
    for (words, hint) in [
        ("-p 'a b'", "write web, web.1 or run.3"),
        ("-s web", "write -s app, build, release, router or mini"),
        ("--since 5", "write --since 90s, 30m, 1h, 2d or --since 2026-01-31T12:00:00Z"),
    ] {
        mini.anna.ssh(mini.ssh, &format!("logs blog {words}")).fails(2, hint);
    }
    mini.finish();
}

#[test]
fn a_follower_is_told_that_the_server_stops() {
    let (mut mini, _repo) = with_app();
    let line = mini.anna.ssh_command(mini.ssh);
    let mut over_ssh = Command::new(&line[0]);
    over_ssh.args(&line[1..]).args(["mini@127.0.0.1", "logs blog -f"]);
    let mut on_server = Command::new(env!("CARGO_BIN_EXE_mini"));
    on_server.args(["logs", "blog", "-f"]).env("MINI_DATA", mini.data());
    let followers = [over_ssh, on_server].map(|mut command| {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // It is served.
        stdout.read_line(&mut String::new()).unwrap();
        (child, stdout)
    });
    let begun = Instant::now();

    assert!(mini.stop().success());

    assert!(begun.elapsed() < Duration::from_secs(5), "a follower held the stop up: {:?}", begun.elapsed());
    for (child, _stdout) in followers {
        let said = child.wait_with_output().unwrap();
        assert_eq!(
            (said.status.code(), count(&[String::from_utf8_lossy(&said.stderr).into()], "mini is restarting")),
            (Some(1), 1),
            "{said:?}"
        );
    }
    mini.boot();
    mini.finish();
}

#[test]
fn terminal_escapes_of_a_build_and_of_a_program_do_not_reach_a_terminal() {
    let mini = Mini::start();
    let evil = "\\033[31mred\\033]0;title\\007\\rover\\bb\\302\\233Jc";
    let dockerfile = format!("FROM busybox\nRUN printf '{evil}\\n'; : \x1b[32m\nCOPY . /\nCMD [\"sh\", \"/start\"]\n");
    let repo = Repo::of(&[("Dockerfile", &dockerfile), ("start", "httpd -f -p $PORT -h /www\n"), ("www/index.html", "hi")]);

    let pushed = mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, &format!("run -d blog -- printf '{evil} of run\\n'")).ok();
    let logs = eventually("all that was said", || {
        let logs = mini.anna.ssh(mini.ssh, "logs blog -n 1000").ok().stdout;
        (logs.contains("of run") && logs.contains("v1 is live")).then_some(logs)
    });

    let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    assert!(is_plain(&logs), "{logs:?}");
    assert!(pushed.remote().iter().all(|line| is_plain(line)), "{pushed:?}");
    assert!(logs.contains("mini[build]:") && logs.contains("over") && logs.contains("app[run.1]: red"), "{logs:?}");
    mini.finish();
}

#[test]
fn an_app_without_a_release_has_no_log_and_can_be_waited_for() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    assert_eq!(mini.anna.ssh(mini.ssh, "logs blog").ok().stdout, "");

    let mut reader = Reader::over_ssh(&mini, "logs blog -f");
    eventually("the reader to be served", || mini.log().contains("session").then_some(()));
    let failed = mini.anna.push(Repo::from_folder("tests/apps/crash-at-start").path(), mini.ssh, "blog", &["main"]);
    assert_ne!(failed.code, 0);
    reader.until("v1 failed");
    assert!(mini.anna.ssh(mini.ssh, "logs blog").ok().stdout.contains("app[web.1]: DATABASE_URL is not set"));
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();
    reader.until("v2 is live");
    reader.leaves();
    mini.finish();
}
