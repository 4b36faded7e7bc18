//! The command line on somebody's own machine, over the system's ssh.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::harness::{Laptop, Mini, Person, Repo, Running, Said, Terminal, children_of, eventually, signal};

fn url(mini: &Mini) -> String {
    format!("ssh://{}", mini.ssh)
}

/// A laptop that knows the server.
fn laptop(mini: &Mini) -> Laptop {
    let laptop = Laptop::of(&mini.anna);
    laptop.mini(&["config", "set-host", &url(mini)]).ok();
    laptop
}

fn git(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(words).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    Said::by(command, b"").ok().stdout.trim().to_owned()
}

/// Writes a program that stands in for ssh: what it says is what the real one says then.
fn stand_in(folder: &Path, script: &str) -> String {
    let path = folder.join("ssh-stand-in");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn set_host_asks_the_server_and_makes_ssh_and_git_work_too() {
    let mini = Mini::start();
    let laptop = Laptop::of(&mini.anna);
    std::fs::create_dir(laptop.home().join(".ssh")).unwrap();
    std::fs::write(laptop.home().join(".ssh/config"), "Host other\n  User me\n").unwrap();

    let first = laptop.mini(&["config", "set-host", &url(&mini)]).ok();
    let again = laptop.mini(&["config", "set-host", &url(&mini)]).ok();
    let mut ssh = Command::new("ssh");
    ssh.args(laptop.ssh().split(' ').skip(3)).arg("-F").arg(laptop.home().join(".ssh/mini.conf")).args(["mini", "whoami"]);
    let over_ssh = Said::by(ssh, b"").ok();

    let version = env!("CARGO_PKG_VERSION");
    assert!(
        first.stdout.starts_with(&format!("mini {version} answers at ssh://mini@{}: you are anna@test (admin, all apps)", mini.ssh)),
        "{first:?}"
    );
    assert_eq!(first.stdout, again.stdout);
    assert_eq!(over_ssh.stdout, laptop.mini(&["whoami"]).ok().stdout);
    assert_eq!(laptop.read(".ssh/config"), "Include mini.conf\nHost other\n  User me\n");
    assert_eq!(laptop.read(".ssh/config.before-mini"), "Host other\n  User me\n");
    let config = std::fs::metadata(laptop.home().join(".config/mini/config.toml")).unwrap();
    assert_eq!(config.permissions().mode() & 0o777, 0o600);
    mini.finish();
}

/// Lines about an app without a release, the wrong ones too.
const LINES: &[&[&str]] = &[
    &["apps"],
    &["apps", "--json"],
    &["apps:info", "blog", "--json"],
    &["config", "blog"],
    &["config:get", "blog", "NOPE"],
    &["ps", "blog"],
    &["logs", "blog"],
    &["releases", "blog"],
    &["rollback", "blog"],
    &["apps:info", "nope"],
    &["version"],
    &["logs"],
    &["lgos", "blog"],
    &["help", "logs"],
    &["apps:destroy", "blog"],
];

#[test]
fn words_say_the_same_over_ssh_as_on_the_server_itself() {
    let mini = Mini::start();
    let laptop = laptop(&mini);
    laptop.mini(&["apps:create", "blog"]).ok();

    for line in LINES {
        let (far, near) = (laptop.mini(line), mini.local(line));

        let seen = |said: &Said| (said.code, said.stdout.clone(), said.stderr.clone());
        assert_eq!(seen(&far), seen(&near), "{line:?}");
    }
    let bob = Person::new(mini.home(), "bob");
    laptop.mini(&["keys", "add", "bob", &format!("{}.pub", bob.key_file().display())]).ok();
    assert!(laptop.mini(&["keys"]).ok().stdout.contains("bob"), "a FILE is opened here");
    mini.finish();
}

#[test]
fn a_server_that_cannot_be_asked_is_told_in_a_sentence_and_not_kept() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tools = tempfile::tempdir().unwrap();
    let old = stand_in(tools.path(), "echo 'mini: there is no command `mini-rpc`' >&2; echo '      see: help' >&2; exit 127");
    let known = format!("[127.0.0.1]:{} {}", mini.ssh.port(), bob.public_key());
    let surprised = Laptop::of(&mini.anna);
    std::fs::write(surprised.home().join("known_hosts"), known).unwrap();
    let cases = [
        (Laptop::of(&mini.anna), format!("ssh://{free}"), 1, "no server answers at 127.0.0.1"),
        (Laptop::of(&bob), url(&mini), 4, "does not know your key"),
        (surprised, url(&mini), 4, "its host key has changed"),
        (Laptop::with_ssh(&old), url(&mini), 1, "speaks another version than this client"),
        (Laptop::with_ssh("/nowhere/ssh"), url(&mini), 1, "there is no `ssh` program here"),
        (Laptop::with_ssh("false"), url(&mini), 1, "was cut"),
        (Laptop::of(&mini.anna), "ssh://-oProxyCommand=id".into(), 2, "is not the address of a server"),
    ];

    for (laptop, url, code, sentence) in cases {
        let said = laptop.mini(&["config", "set-host", &url]).fails(code, sentence);

        assert_eq!(said.stderr.lines().count(), 2, "a sentence and a hint: {said:?}");
        assert!(!laptop.home().join(".config").exists() && !laptop.home().join(".ssh").exists(), "{sentence}");
    }
    mini.finish();
}

#[test]
fn hosts_are_listed_named_and_forgotten() {
    let laptop = Laptop::with_ssh("false");
    laptop.mini(&["apps"]).fails(1, "no server is set");
    for (name, url) in [("work", "ssh://work.example.org:22"), ("mini", "1.2.3.4")] {
        laptop.mini(&["config", "set-host", url, "--host", name, "--no-check"]).ok();
    }

    let listed = laptop.mini(&["hosts"]).ok();

    assert_eq!(listed.stdout, "* mini  ssh://mini@1.2.3.4:2222\n  work  ssh://mini@work.example.org:22\n");
    laptop.mini(&["whoami", "--host", "work"]).fails(1, "the connection to work.example.org:22 was cut");
    laptop.mini(&["whoami", "--host", "wrok"]).fails(3, "no host is called `wrok`");
    laptop.mini(&["hosts:remove", "mini"]).ok();
    laptop.mini(&["whoami"]).fails(1, "work.example.org");
    let json = laptop.mini(&["hosts", "--json"]).ok().stdout;
    assert_eq!(json.trim(), r#"[{"default":true,"name":"work","url":"ssh://mini@work.example.org:22"}]"#);
    assert!(!laptop.read(".ssh/mini.conf").contains("1.2.3.4"));
}

#[test]
fn a_folders_remote_names_app_and_host() {
    let mini = Mini::start();
    let laptop = laptop(&mini);
    laptop.mini(&["config", "set-host", "ssh://nowhere.example.org", "--host", "other", "--no-check"]).ok();
    let folder = laptop.folder("My Blog");
    laptop.mini_in(&folder, &["init", "--host", "mini"]).fails(1, "not in a git repository");
    git(&folder, &["init", "-q"]);

    let made = laptop.mini_in(&folder, &["init", "--host", "mini"]).ok();
    let again = laptop.mini_in(&folder, &["init", "--host", "mini"]).ok();

    assert_eq!(made.stdout, "Added the git remote `mini`: mini:my-blog\nDeploy with: git push mini main\n");
    assert_eq!(git(&folder, &["remote", "get-url", "mini"]), "mini:my-blog");
    assert!(again.stdout.contains("already"), "{again:?}");
    laptop.mini_in(&folder, &["init", "shop", "--host", "mini"]).fails(5, "the git remote `mini` is mini:my-blog");
    // Though another host was set last, the remote leads to this one.
    laptop.mini_in(&folder, &["apps:create", "my-blog"]).ok();
    assert!(laptop.mini_in(&folder, &["apps:info"]).ok().stdout.contains("my-blog"));
    assert_eq!(laptop.mini_in(&folder, &["open"]).ok().stdout.trim(), format!("http://my-blog.localhost:{}", mini.http.port()));
    laptop.mini_in(&folder, &["config:get", "KEY"]).fails(3, "KEY");
    laptop.mini_in(&folder, &["config:get", "key"]).fails(2, "KEY");
    laptop.mini_in(laptop.home(), &["logs", "--host", "mini"]).fails(2, "<APP>");
    laptop.mini_in(&folder, &["logs", "-r", "prod"]).fails(3, "no git remote `prod`");
    mini.finish();
}

#[test]
fn ctrl_c_ends_a_call_with_130() {
    let mini = Mini::start();
    let laptop = laptop(&mini);
    laptop.mini(&["apps:create", "blog"]).ok();
    let mut command = laptop.command(laptop.home(), &["logs", "blog", "-f"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let is_ssh =
        |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains("mini-rpc"));
    eventually("ssh to run below it", || children_of(child.id()).iter().any(is_ssh).then_some(()));

    signal(child.id(), "INT");

    assert_eq!(child.wait().unwrap().code(), Some(130));
    mini.finish();
}

#[test]
fn a_program_has_this_terminal_its_size_and_its_exit_code() {
    let mini = Mini::start();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let laptop = laptop(&mini);

    let mut terminal = Terminal::of(laptop.command(laptop.home(), &["run", "blog", "--", "sh"]), 100, 30);
    terminal.serves_a_shell((100, 30), (120, 40));
    terminal.types("exit 7\r");
    let code = terminal.ends();
    let piped = Said::by(laptop.command(laptop.home(), &["run", "blog", "--", "cat"]), b"hello");

    assert_eq!(code, 7);
    assert_eq!(piped.ok().stdout, "hello");
    mini.finish();
}

#[test]
fn words_say_the_same_over_http_as_on_the_server_itself() {
    let mini = Mini::start();
    let laptop = Laptop::with_ssh("false");
    let key = mini.token("ci --role admin");
    let mut set = laptop.command(laptop.home(), &["config", "set-host", &format!("http://{}", mini.http), "--key", "-"]);
    set.env_remove("MINI_API_KEY");
    let said = Said::by(set, format!("{key}\n").as_bytes()).ok();
    assert!(
        said.stdout.contains(&format!("mini {} answers at http://{}: you are ci (admin, all apps)", env!("CARGO_PKG_VERSION"), mini.http)),
        "{said:?}"
    );
    laptop.mini(&["apps:create", "blog"]).ok();
    let bob = Person::new(mini.home(), "bob");
    laptop.mini(&["keys:add", "bob", &format!("{}.pub", bob.key_file().display())]).ok();

    for line in LINES {
        let (far, near) = (laptop.mini(line), mini.local(line));

        let seen = |said: &Said| (said.code, said.stdout.clone(), said.stderr.clone());
        assert_eq!(seen(&far), seen(&near), "{line:?}");
    }
    assert!(laptop.mini(&["keys"]).ok().stdout.contains("bob"));
    laptop.mini(&["enter", "blog"]).fails(2, "use ssh");
    mini.local(&["tokens:revoke", "ci"]).ok();
    assert_eq!(laptop.mini(&["apps"]).code, 4);
    mini.finish();
}

#[test]
fn a_folder_becomes_a_url_over_ssh_and_over_http() {
    let mini = Mini::start();
    let (by_ssh, by_http) = (laptop(&mini), Laptop::with_ssh("false"));
    let key = mini.token("ci --role deploy");
    by_http.mini(&["config", "set-host", &format!("http://{}", mini.http), "--key", &key]).ok();

    for laptop in [&by_ssh, &by_http] {
        let folder = laptop.folder("my-web-app");
        let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello/.");
        assert!(Command::new("cp").arg("-a").arg(hello).arg(&folder).status().unwrap().success());

        let first = laptop.mini_in(&folder, &["deploy", "."]).ok();
        let app = first.stdout.trim().strip_prefix("http://").unwrap().split('.').next().unwrap().to_owned();
        let said: Vec<&str> = first.stderr.lines().collect();
        assert!(said[0].starts_with("[1/3] Packing source code… done ("), "{first:?}");
        assert!(said.contains(&format!("[2/3] Building image \"{app}\"…").as_str()), "{first:?}");
        assert_eq!(said.last(), Some(&"[3/3] Starting container… done"), "{first:?}");
        assert_eq!(mini.get(&app, "/").status, 200);

        std::fs::write(folder.join("Dockerfile"), "FROM busybox\nRUN false\n").unwrap();
        let failed = laptop.mini_in(&folder, &["deploy"]);
        assert_eq!(failed.code, 1, "{failed:?}");
        assert!(failed.stderr.contains(&format!("[2/3] Building image \"{app}\"…")), "the folder's app is remembered: {failed:?}");
        assert!(failed.stderr.lines().last().is_some_and(|line| line.starts_with("      ")), "what to do next: {failed:?}");
    }
    assert_eq!(mini.apps().len(), 2);
    mini.finish();
}

#[test]
fn a_folder_that_cannot_be_deployed_is_told_before_anything_is_made() {
    let mini = Mini::start();
    let laptop = laptop(&mini);
    let empty = laptop.folder("empty");
    std::fs::write(laptop.home().join("file"), "x").unwrap();

    laptop.mini(&["deploy", "nowhere"]).fails(2, "there is no folder `nowhere`");
    laptop.mini(&["deploy", "file"]).fails(2, "`file` is a file and not a folder");
    laptop.mini_in(&empty, &["deploy", "."]).fails(1, "there is nothing to deploy in");

    assert_eq!(mini.apps(), Vec::<String>::new());
    mini.finish();
}

#[test]
fn bash_completes_words_with_colons_and_flags() {
    let laptop = Laptop::with_ssh("false");
    let script = laptop.home().join("completion");
    std::fs::write(&script, laptop.mini(&["completion", "bash"]).ok().stdout).unwrap();
    let complete = |line: &str| {
        let program = format!(
            "source {}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _mini; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &program]);
        Said::by(bash, b"").ok().stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };

    assert!(complete("mini who").contains(&"whoami".to_owned()));
    assert_eq!(complete("mini config:s"), ["set", "set-host"], "bash replaces only what is behind the colon");
    assert!(complete("mini apps:").contains(&"create".to_owned()));
    assert!(complete("mini logs --fo").contains(&"--follow".to_owned()));
    assert!(complete("mini config set-host box --no").contains(&"--no-check".to_owned()));
    assert_eq!(complete("mini logs blog "), [""], "an app's name is not known here");
}

#[test]
fn help_names_both_kinds_of_words_and_mistakes_find_either() {
    let laptop = Laptop::with_ssh("false");

    let help = laptop.mini(&["--help"]).ok().stdout;

    assert!(help.contains("  init ") && help.contains("  config:set-host ") && help.contains("  config:unset "), "{help}");
    assert!(laptop.mini(&["help", "deploy"]).ok().stdout.contains("[PATH]"));
    laptop.mini(&["dploy"]).fails(127, "did you mean `deploy`");
    laptop.mini(&["hots"]).fails(127, "`hosts`");
    assert_eq!(laptop.mini(&["--version"]).ok().stdout, format!("mini {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mini = Mini::start();
    let laptop = laptop(&mini);
    laptop.mini(&["apps:create", "blog"]).ok();

    let mut piped = Command::new("bash");
    piped.args(["--norc", "-c", "\"$0\" apps | head -n 0; exit ${PIPESTATUS[0]}", env!("CARGO_BIN_EXE_mini")]);
    piped.env("HOME", laptop.home()).env("MINI_SSH_COMMAND", laptop.ssh()).env_remove("MINI_DATA");
    let said = Said::by(piped, b"").ok();

    assert_eq!(said.stderr, "");
    drop(Running::of(laptop.command(laptop.home(), &["logs", "blog", "-f"])));
    mini.finish();
}
