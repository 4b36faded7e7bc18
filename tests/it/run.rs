//! Programs that somebody runs: once with an app's image and config, or beside what serves.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::harness::{Docker, Mini, Person, Repo, Said, Terminal, eventually, is_running, unique};

fn with_app() -> (Mini, Repo) {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    (mini, repo)
}

/// `ssh OPTIONS mini@… WORDS`
fn ssh(mini: &Mini, options: &[&str], words: &str) -> Command {
    let line = mini.anna.ssh_command(mini.ssh);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).args(options).args(["mini@127.0.0.1", words]);
    command
}

/// A mark as it is typed: the caller's own command line does not have it, the program's has.
fn typed(mark: &str) -> String {
    format!("{}\"\"{}", &mark[..2], &mark[2..])
}

/// Starts a command that goes on while the test does something else.
fn begin(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The names of the one-offs that there are, from the engine itself.
fn one_offs(mini: &Mini) -> Vec<String> {
    let processes = mini.docker().containers().into_iter().map(|id| {
        // It may go between the two questions.
        let output = Command::new("docker")
            .args(["inspect", "-f", "{{index .Config.Labels \"mini.process\"}}.{{index .Config.Labels \"mini.index\"}}", &id])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    });
    let mut names: Vec<String> = processes.filter(|name| name.starts_with("run.")).collect();
    names.sort();
    names
}

#[track_caller]
fn none_is_left(mini: &Mini) {
    eventually("no one-off to be left", || one_offs(mini).is_empty().then_some(()));
}

fn rows(mini: &Mini) -> Vec<(String, String)> {
    let rows: Vec<serde_json::Value> = serde_json::from_str(&mini.local(&["ps", "blog", "--json"]).ok().stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(&row["process"]), text(&row["state"]))).collect()
}

#[test]
fn a_program_has_the_apps_image_and_config_and_its_exit_code_is_the_words() {
    let (mini, repo) = with_app();
    mini.local(&["config:set", "blog", "GREETING=hello", "OTHER=1"]).ok();

    let env = mini.anna.ssh(mini.ssh, "run blog -e OTHER=two -e 'MORE=a b' -- env").ok().stdout;
    let commit = repo.git(&["rev-parse", "HEAD"]);
    for line in ["GREETING=hello", "OTHER=two", "MORE=a b", "MINI_APP=blog", "MINI_RELEASE=v2", "DYNO=run.1", "PORT=5000"] {
        assert!(env.lines().any(|seen| seen == line), "{line} is not in {env}");
    }
    assert!(env.contains(&format!("GIT_REV={}", commit.trim())), "{env}");
    assert!(!env.contains("TERM="), "no terminal: {env}");

    for (program, code) in [("true", 0), ("sh -c 'exit 7'", 7), ("sh -c 'kill -KILL $$'", 137), ("sh -c 'kill -TERM $$'", 143)] {
        let over_ssh = mini.anna.ssh(mini.ssh, &format!("run blog {program}"));
        let on_server = mini
            .local(&[&["run", "blog", "--"][..], &shlex::split(program).unwrap().iter().map(String::as_str).collect::<Vec<_>>()].concat());
        assert_eq!((over_ssh.code, on_server.code), (code, code), "{program}: {over_ssh:?} {on_server:?}");
    }
    for (program, code, sentence) in [
        ("nope", 127, "mini: there is no program `nope` in the image of v2\n"),
        ("/etc/passwd", 126, "mini: `/etc/passwd` cannot be executed in the image of v2: permission denied\n"),
    ] {
        let said = mini.anna.ssh(mini.ssh, &format!("run blog -- {program} s3cret"));
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (code, "", sentence));
        let beside = mini.local(&["enter", "blog", "--", program]);
        assert_eq!((beside.code, beside.stderr), (code, sentence.replace("the image of v2", "web.1")));
    }
    none_is_left(&mini);
    assert!(mini.log().contains("a one-off was started") && mini.log().contains("program=\"nope\""), "{}", mini.log());
    assert!(!mini.log().contains("s3cret"), "an argument stands in the log");
    assert!(!mini.anna.ssh(mini.ssh, "logs blog").ok().stdout.contains("run."), "what an attached program prints is its caller's");
    mini.finish();
}

#[test]
fn a_program_is_run_as_it_was_typed_whatever_the_images_entrypoint_is() {
    let mini = Mini::start();
    let dockerfile = "FROM busybox\nENTRYPOINT [\"sh\", \"-c\", \"exec httpd -f -p $PORT\"]\nWORKDIR /tmp\nUSER 1000\n";
    mini.anna.push(Repo::of(&[("Dockerfile", dockerfile)]).path(), mini.ssh, "blog", &["main"]);

    let said = mini.anna.ssh(mini.ssh, r#"run blog -- sh -c 'id -u; pwd; echo "$1|$2"' - 'a  b' '$HOME'"#);

    assert_eq!((said.code, said.stdout.as_str()), (0, "1000\n/tmp\na  b|$HOME\n"), "{said:?}");
    mini.finish();
}

#[test]
fn piped_bytes_go_in_and_come_out_as_they_are() {
    let (mini, _repo) = with_app();
    let zeros = "x".repeat(3_000_000);

    assert_eq!(mini.anna.ssh_with(mini.ssh, "run blog wc -c", &zeros).ok().stdout.trim(), "3000000");
    assert_eq!(mini.local_with(&["run", "blog", "wc", "-c"], &zeros).ok().stdout.trim(), "3000000");
    assert_eq!(mini.anna.ssh_with(mini.ssh, "enter blog -- wc -c", &zeros).ok().stdout.trim(), "3000000");
    assert_eq!(mini.local_with(&["enter", "blog"], "echo $DYNO; exit 3").fails(3, "").stdout, "web.1\n", "a shell, without a terminal");

    let streams = mini.anna.ssh(mini.ssh, r#"run blog -- sh -c 'printf "\033[31mout\001\377\n"; echo err >&2; exit 4'"#);
    assert_eq!((streams.code, streams.stderr.as_str()), (4, "err\n"));
    assert_eq!(streams.stdout, "\x1b[31mout\x01\u{fffd}\n", "nothing is neutralised: it is the caller's own program");
    // A frame's head, as the engine would write it.
    let head = mini.local(&["run", "blog", "printf", r"\002\000\000\000\377\377\377\377end"]).ok();
    assert_eq!((head.stdout.as_bytes()[0], head.stdout.ends_with("end")), (2, true));
    let many = mini.anna.ssh(mini.ssh, "run blog -- sh -c 'yes | head -c 3000000'").ok();
    assert_eq!(many.stdout.len(), 3_000_000);
    none_is_left(&mini);
    mini.finish();
}

#[test]
fn a_terminal_has_its_size_its_keys_and_its_exit_code() {
    let (mini, _repo) = with_app();
    for words in ["run blog sh", "enter blog"] {
        let mut terminal = Terminal::of(ssh(&mini, &["-tt"], words), 77, 22);

        terminal.serves_a_shell((77, 22), (99, 33));
        terminal.types("printf '\\001\\000\\000\\000\\377\\377\\377\\377ra''w'\r");
        terminal.shows("raw");
        terminal.types("exit 7\r");

        assert_eq!(terminal.ends(), 7, "{words}");
    }
    let mut missing = Terminal::of(ssh(&mini, &["-tt"], "run blog nope"), 80, 24);
    missing.shows("mini: there is no program `nope` in the image of v1\r\n");
    assert_eq!(missing.ends(), 127);
    let typed = Said::by(ssh(&mini, &["-tt"], "run blog sh"), b"echo $TERM; exit 9\n");
    assert_eq!(typed.code, 9, "{typed:?}");
    let ended = Said::by(ssh(&mini, &["-tt"], "run blog cat"), b"the end of the input ends it\n");
    assert!(ended.code == 0 && ended.stdout.contains("ends it"), "{ended:?}");
    none_is_left(&mini);
    mini.finish();
}

#[test]
fn a_program_ends_with_its_caller() {
    let (mini, _repo) = with_app();
    let marks: Vec<String> = (0..5).map(|at| format!("9{at}{}", unique())).collect();
    let mut callers = vec![
        begin(ssh(&mini, &[], &format!("run blog sleep {}", typed(&marks[0])))),
        begin(ssh(&mini, &[], &format!("enter blog -- sleep {}", typed(&marks[2])))),
    ];
    let mut local = Command::new(env!("CARGO_BIN_EXE_mini"));
    local.args(["run", "blog", "sh", "-c", &format!("exec sleep {}", typed(&marks[3]))]).env("MINI_DATA", mini.data());
    let mut local = begin(local);
    let mut unread = local.stdin.take().unwrap();
    let flood = std::thread::spawn(move || unread.write_all(&vec![b'x'; 8 << 20]));
    callers.push(local);
    let terminals = [
        Terminal::of(ssh(&mini, &["-tt"], &format!("run blog -- sh -c 'trap : TERM INT; sleep {}; sleep 9'", typed(&marks[1]))), 80, 24),
        Terminal::of(ssh(&mini, &["-tt"], &format!("enter blog -- sh -c 'sleep {}; sleep 9'", typed(&marks[4]))), 80, 24),
    ];
    for mark in &marks {
        eventually("the program to run", || is_running(mark).then_some(()));
    }
    let shown = rows(&mini);
    assert_eq!(shown[0], ("web.1".into(), "running".into()));
    assert_eq!(shown.iter().filter(|(name, state)| name.starts_with("run.") && state == "running").count(), 3, "{shown:?}");

    for mut caller in callers {
        caller.kill().unwrap();
        caller.wait().unwrap();
    }
    terminals.into_iter().for_each(Terminal::kill_9);
    assert!(flood.join().unwrap().is_err(), "all of the input was taken");

    for mark in &marks {
        eventually("the program to end", || (!is_running(mark)).then_some(()));
    }
    none_is_left(&mini);
    assert_eq!(mini.get("blog", "/").status, 200, "what serves was left alone");
    mini.finish();
}

#[test]
fn a_caller_that_does_not_read_holds_up_its_own_program_alone() {
    let (mini, _repo) = with_app();
    let mark = unique();
    let caller = ssh(&mini, &[], &format!("run blog -- sh -c 'yes | head -c 300000000; : '{}", typed(&mark)));
    let mut slow = Command::new(caller.get_program()).args(caller.get_args()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the flood", || is_running(&mark).then_some(()));
    let before = mini.peak_memory_mib();

    for _ in 0..20 {
        assert_eq!(mini.get("blog", "/").status, 200);
        assert_eq!(mini.anna.ssh(mini.ssh, "run blog echo quick").ok().stdout, "quick\n");
    }

    assert!(is_running(&mark), "a program was not held up");
    assert!(mini.peak_memory_mib() < before + 32, "{} MiB after {before} MiB", mini.peak_memory_mib());
    slow.kill().unwrap();
    slow.wait().unwrap();
    eventually("the flood's end", || (!is_running(&mark)).then_some(()));
    none_is_left(&mini);
    mini.finish();
}

#[test]
fn a_detached_program_is_listed_logged_and_gone_at_its_end() {
    let (mut mini, repo) = with_app();
    mini.local(&["run", "blog", "-d"]).fails(2, "");
    let started = mini.anna.ssh(mini.ssh, "run -d blog -- sh -c 'echo quick $DYNO; exit 5'").ok();
    assert_eq!(started.stdout, "Started run.1 of `blog`.\n  logs blog -f -p run.1\n  ps blog\n");
    let logged = |text: &str| mini.local(&["logs", "blog", "-n", "1000"]).ok().stdout.contains(text).then_some(());
    eventually("its words in the log", || logged("app[run.1]: quick run.1"));
    eventually("its end in the log", || logged("mini[run]: run.1 ended with exit code 5"));
    none_is_left(&mini);
    eventually("its words in the log", || logged("app[run.1]: quick run.1"));

    mini.local(&["run", "blog", "-d", "--", "sh", "-c", "echo begun; until [ -e /tmp/go ]; do sleep 0.1; done; echo done"]).ok();
    assert!(rows(&mini).contains(&("run.2".into(), "running".into())), "{:?}", rows(&mini));
    let in_run_2 = mini.anna.ssh(mini.ssh, "enter blog run.2 -- cat /proc/1/cmdline").ok();
    assert!(in_run_2.stdout.contains("until [ -e /tmp/go ]"), "{in_run_2:?}");
    repo.write("www/index.html", "two");
    repo.commit("two");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert!(mini.stop().success());
    mini.boot();
    assert_eq!(one_offs(&mini), ["run.2"], "a server that stops leaves it running");
    mini.kill_9();
    mini.boot();
    eventually("the server to serve", || (mini.get("blog", "/").body.contains("two")).then_some(()));
    mini.anna.ssh(mini.ssh, "enter blog run.2 -- touch /tmp/go").ok();
    none_is_left(&mini);
    let logs = mini.local(&["logs", "blog", "-p", "run.2"]).ok().stdout;
    let texts: Vec<&str> = logs.lines().filter_map(|line| line.split_once("app[run.2]: ")).map(|(_, text)| text).collect();
    assert_eq!(texts, ["begun", "done"]);
    mini.finish();
}

#[test]
fn an_attached_program_whose_server_died_is_swept_and_a_destroyed_app_takes_all_along() {
    let (mut mini, _repo) = with_app();
    let marks = [unique(), unique()];
    let mut caller = begin(ssh(&mini, &[], &format!("run blog sleep 9{}", typed(&marks[0]))));
    eventually("the program to run", || is_running(&marks[0]).then_some(()));

    mini.kill_9();
    caller.wait().unwrap();
    assert!(is_running(&marks[0]), "nobody was there to end it");
    mini.boot();

    none_is_left(&mini);
    assert!(!is_running(&marks[0]));
    let mut attached = begin(ssh(&mini, &[], &format!("run blog sleep 9{}", typed(&marks[1]))));
    mini.local(&["run", "-d", "blog", "sleep", &format!("8{}", marks[1])]).ok();
    eventually("both to run", || (one_offs(&mini).len() == 2).then_some(()));
    mini.local(&["apps:destroy", "blog", "--confirm", "blog"]).ok();
    let status = eventually("the caller to be told", || attached.try_wait().unwrap());
    assert!(!status.success(), "{status}");
    assert!(!is_running(&marks[1]));
    mini.finish();
}

#[test]
fn a_server_that_stops_ends_attached_programs_with_a_sentence() {
    let (mut mini, _repo) = with_app();
    let mark = unique();
    let mut command = ssh(&mini, &[], &format!("run blog sleep 9{}", typed(&mark)));
    let caller = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the program to run", || is_running(&mark).then_some(()));

    assert!(mini.stop().success());

    let said = caller.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(1) && stderr.contains("mini is restarting: the program was ended"), "{said:?}");
    assert!(!is_running(&mark));
    mini.boot();
    none_is_left(&mini);
    mini.finish();
}

#[test]
fn what_cannot_be_run_is_refused_in_a_sentence() {
    let (mini, _repo) = with_app();
    mini.local(&["apps:create", "empty"]).ok();
    let viewer = Person::new(mini.home(), "viewer");
    mini.local_with(&["keys:add", "viewer", "--role", "view"], &viewer.public_key()).ok();

    for words in ["run empty ls", "run -d empty ls", "enter empty"] {
        mini.anna.ssh(mini.ssh, words).fails(3, "`empty` has no release yet").fails(3, "deploy it first: git push mini main");
    }
    for words in ["run blog ls", "run -d blog ls", "enter blog", "enter blog -- ls"] {
        viewer.ssh(mini.ssh, words).fails(4, "this needs a key with the role `deploy`");
        mini.anna.ssh(mini.ssh, &words.replace("blog", "nowhere")).fails(3, "app `nowhere` does not exist");
    }
    mini.anna.ssh(mini.ssh, "run blog").fails(2, "PROGRAM");
    mini.anna.ssh(mini.ssh, "run blog -e 1A=2 ls").fails(2, "1A");
    mini.anna.ssh(mini.ssh, "enter blog worker").fails(3, "`blog` has no process worker");
    mini.anna.ssh(mini.ssh, "enter blog web.2").fails(3, "`blog` has no process web.2");
    mini.anna.ssh(mini.ssh, "enter blog WEB").fails(2, "write web, web.1 or run.3");
    assert_eq!(mini.docker().containers().len(), 1);
    mini.finish();
}

#[test]
fn many_programs_at_once_have_addresses_of_their_own_and_an_end() {
    let (mini, repo) = with_app();
    let going: Vec<String> = (0..20).map(|_| mini.local(&["run", "-d", "blog", "sleep", "1000"]).ok().stdout).collect();
    assert!(going[19].starts_with("Started run.20 of"), "{going:?}");

    mini.local(&["run", "blog", "ls"]).fails(5, "20 programs of `blog` run already");
    let addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let mut seen: Vec<String> = mini.docker().containers().iter().map(|id| Docker::inspect(id, addresses)).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 21);
    // The addresses go round, and meet those that are taken.
    for round in 0..4 {
        repo.write("www/index.html", &format!("round {round}"));
        repo.commit("round");
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    }
    assert_eq!(one_offs(&mini).len(), 20);
    mini.finish();
}
