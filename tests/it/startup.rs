//! How the server starts, what it refuses to start on, and what it does without an engine or git.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Mini, Person, Repo, Said, eventually, leftover_files};

/// Runs a command that has to end by itself soon.
pub fn ends(mut command: Command) -> Said {
    let mut child = command
        .env("MINI_LOG", "off")
        .env("MINI_FIREWALL", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let hangs = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code();
    assert!(!hangs, "the server did not end: {stdout}{stderr}");
    Said { code: code.unwrap(), stdout, stderr }
}

/// `mini server --data DIR` on free ports, with more flags.
pub fn server(data: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
    command.args(["server", "--ssh", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"]).arg(data).args(flags).env_remove("MINI_DATA");
    command
}

impl Said {
    /// Asserts that the whole of stderr is this text.
    #[track_caller]
    fn complains(&self, code: i32, stderr: &str) {
        assert_eq!((self.code, self.stderr.as_str()), (code, stderr), "{}", self.stdout);
    }
}

#[test]
fn a_second_server_on_the_data_dir_is_told_who_holds_it() {
    let mut mini = Mini::start();

    let second = ends(mini.server_command());

    let complaint = |mini: &Mini| format!("mini: another mini (pid {}) already uses the data dir {}\n", mini.pid(), mini.data().display());
    second.complains(75, &complaint(&mini));
    mini.local(&["whoami"]).ok();
    // One that was killed holds nothing any more.
    mini.kill_9();
    mini.boot();
    ends(mini.server_command()).complains(75, &complaint(&mini));
    mini.local(&["whoami"]).ok();
    mini.finish();
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let home = tempfile::tempdir().unwrap();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (held.local_addr().unwrap().to_string(), held.local_addr().unwrap().port());
    let me = fs::read_to_string("/proc/self/comm").unwrap();
    let me = me.trim_end();

    for name in ["ssh", "http"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
        let other = if name == "ssh" { "--http" } else { "--ssh" };
        command.args(["server", &format!("--{name}"), &address, other, "127.0.0.1:0", "--data"]).arg(home.path().join("data"));
        let next = port + if port < 1024 { 8000 } else { 1 };

        ends(command).complains(
            78,
            &format!(
                "mini: port {port} for {name} is taken by `{me}` (pid {})\n      stop it, or take another port: --{name} :{next}\n",
                std::process::id()
            ),
        );
    }
}

#[test]
fn a_data_dir_that_cannot_be_used_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "mine").unwrap();
    let thesis = home.path().join("thesis");
    fs::create_dir(&thesis).unwrap();
    fs::write(thesis.join("thesis.tex"), "mine").unwrap();
    fs::set_permissions(&thesis, fs::Permissions::from_mode(0o755)).unwrap();

    for (data, sentence) in [
        (file.clone(), "cannot be made: File exists"),
        (file.join("below"), "cannot be made: Not a directory"),
        (thesis.clone(), "holds things that are not mini's\n      name an empty or a new folder: --data DIR\n"),
        (PathBuf::from("/proc/mini"), "cannot be made: "),
        (home.path().join("x".repeat(120)), "'s path is too long for a socket in it: "),
    ] {
        let said = ends(server(&data, &[])).fails(78, sentence);
        assert!(said.stderr.starts_with("mini: the data dir") && said.stderr.lines().count() <= 2, "{}", said.stderr);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(fs::metadata(&thesis).unwrap().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(&thesis).unwrap().count(), 1);
}

#[test]
fn wrong_settings_and_admin_keys_are_named() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();

    fs::write(data.join("mini.toml"), "buildz = 2\n").unwrap();
    ends(server(&data, &[])).fails(78, "mini.toml is wrong: unknown field `buildz`");
    fs::write(data.join("mini.toml"), "builds = = 2\n").unwrap();
    ends(server(&data, &[])).fails(78, "mini.toml is wrong: ");
    fs::remove_file(data.join("mini.toml")).unwrap();
    ends(server(&data, &["--settings", "/nowhere/mini.toml"])).fails(78, "the settings file /nowhere/mini.toml cannot be read");
    ends(server(&data, &["--builds", "0"])).fails(78, "--builds must be at least 1");
    ends(server(&data, &["--no-such-flag"])).fails(2, "--no-such-flag");

    let small = Person::with_key(home.path(), "small", &["-t", "rsa", "-b", "1024"]);
    for (line, sentence) in [("ssh-ed25519 nonsense", ""), ("hello", ""), (small.public_key().as_str(), "1024")] {
        let admins = home.path().join("admins");
        fs::write(&admins, format!("# people\n\n{line}\n")).unwrap();
        let said = ends(server(&data, &["--admin-keys", admins.to_str().unwrap()]));
        let said = said.fails(78, &format!("mini: --admin-keys {}, line 3: ", admins.display()));
        assert!(said.stderr.contains(sentence), "{}", said.stderr);
    }
    ends(server(&data, &["--admin-keys", "/nowhere/keys"])).fails(78, "--admin-keys /nowhere/keys cannot be read");
}

#[test]
fn a_damaged_key_or_database_stops_the_start_and_is_left_as_it_was() {
    let mut mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["config:set", "blog", "GREETING=hi"]).ok();
    assert!(mini.stop().success());
    let garbage = b"not what it should be".repeat(500);

    for (name, sentence) in
        [("mini.db", "is damaged"), ("mini.db", "is empty"), ("master.key", "master key"), ("host_key", "the SSH host key")]
    {
        let path = mini.data().join(name);
        let whole = fs::read(&path).unwrap();
        let broken: &[u8] = if sentence == "is empty" { b"" } else { &garbage };
        fs::write(&path, broken).unwrap();

        ends(mini.server_command()).fails(78, sentence);

        assert_eq!(fs::read(&path).unwrap(), broken, "{name} was changed");
        fs::write(&path, whole).unwrap();
    }
    for name in ["mini.db", "master.key"] {
        let (path, away) = (mini.data().join(name), mini.home().join("away"));
        fs::rename(&path, &away).unwrap();

        ends(mini.server_command()).fails(78, "is missing");

        assert!(!path.exists(), "{name} was made again");
        fs::rename(&away, &path).unwrap();
    }
    let key = mini.data().join("master.key");
    let right = fs::read(&key).unwrap();
    let mut wrong = right.clone();
    wrong[0] ^= 1;
    fs::write(&key, &wrong).unwrap();
    ends(mini.server_command()).fails(78, "master key");
    fs::write(&key, right).unwrap();

    mini.boot();
    assert_eq!(mini.local(&["config:get", "blog", "GREETING"]).ok().stdout, "hi\n");
    mini.finish();
}

#[test]
fn free_ports_are_announced_and_help_is_one_page() {
    let mini = Mini::start();

    let said = mini.said.join("\n");
    let help = Command::new(env!("CARGO_BIN_EXE_mini")).args(["server", "--help"]).output().unwrap();

    assert_ne!(mini.ssh.port(), 0);
    assert!(said.contains("host key  SHA256:") && said.contains(&format!("data      {}", mini.data().display())), "{said}");
    assert!(said.contains("admin `anna@test` let in by --admin-keys"), "{said}");
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    // A page of paper has 66.
    assert!(help.lines().count() <= 66, "{} lines", help.lines().count());
    assert!(["--ssh", "--http", "--data", "--domain", "--admin-keys", "MINI_DATA"].iter().all(|word| help.contains(word)), "{help}");
    mini.finish();
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let mut mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    let domain = |mini: &Mini| mini.local(&["apps:info", "blog"]).ok().stdout;

    mini.stop();
    fs::write(mini.data().join("mini.toml"), "domain = \"file.test\"\n").unwrap();
    mini.boot();
    assert!(domain(&mini).contains("http://blog.file.test"), "{}", domain(&mini));

    mini.stop();
    mini.env.push(("MINI_DOMAIN".into(), "env.test".into()));
    mini.boot();
    assert!(domain(&mini).contains("http://blog.env.test"), "{}", domain(&mini));

    mini.stop();
    mini.flags.extend(["--domain".into(), "flag.test".into()]);
    mini.boot();
    assert!(domain(&mini).contains("http://blog.flag.test"), "{}", domain(&mini));
    mini.finish();
}

#[test]
fn the_host_key_stays_and_a_stale_socket_is_replaced_after_a_kill() {
    let mut mini = Mini::start();
    let key = |mini: &Mini| fs::read_to_string(mini.data().join("host_key")).unwrap();
    let (before, line) = (key(&mini), mini.said.iter().find(|line| line.contains("host key")).unwrap().clone());

    mini.kill_9();
    assert!(mini.data().join("mini.sock").exists());
    mini.boot();

    assert_eq!(key(&mini), before);
    assert!(mini.said.contains(&line), "{:?}", mini.said);
    mini.local(&["whoami"]).ok();
    mini.finish();
}

#[test]
fn everything_in_the_data_dir_is_private() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("examples/hello").path(), mini.ssh, "hello", &["main"]).ok();

    let mut open = Vec::new();
    let mut folders = vec![mini.data()];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                // What git writes is closed by the folder around it.
                folders.extend((folder != mini.data().join("repos")).then(|| entry.path()));
            } else if entry.metadata().unwrap().mode() & 0o077 != 0 {
                open.push(entry.path());
            }
        }
    }
    assert_eq!(open, Vec::<PathBuf>::new());
    mini.finish();
}

/// Restarts with everything in place again and ends.
fn mend_and_finish(mut mini: Mini) {
    mini.stop();
    (mini.flags, mini.env) = (Vec::new(), Vec::new());
    mini.boot();
    mini.finish();
}

#[test]
fn without_an_engine_it_starts_warns_and_refuses_what_needs_one() {
    let mut mini = Mini::start();
    let repo = Repo::from_folder("examples/hello");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    mini.stop();
    mini.flags = vec!["--engine".into(), "/nonexistent.sock".into()];

    mini.boot();

    let warning = mini.said.iter().find(|line| line.starts_with("warning: ")).expect("a warning");
    assert_eq!(warning, "warning: no Docker Engine answers at /nonexistent.sock: apps cannot be built or started until it does");
    mini.anna.ssh(mini.ssh, "whoami").ok();
    let status = mini.local(&["status"]).ok().stdout;
    assert!(status.contains("does not answer") && status.contains("! no Docker Engine answers at /nonexistent.sock"), "{status}");
    assert_eq!(mini.get("hello", "/").status, 200, "a live release is served without the engine");
    repo.write("index.html", "second");
    repo.commit("second");
    let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "pre-receive hook declined");
    assert!(pushed.stderr.contains("no Docker Engine answers at /nonexistent.sock"), "{}", pushed.stderr);
    mini.anna.push(repo.path(), mini.ssh, "new", &["main"]).fails(1, "no Docker Engine answers at /nonexistent.sock");
    mend_and_finish(mini);
}

#[test]
fn an_engine_that_accepts_and_never_answers_holds_up_nothing_else() {
    let mut mini = Mini::start();
    let repo = Repo::from_folder("examples/hello");
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    mini.stop();
    let socket = mini.home().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // Ends with the test's process; what it accepts stays open until then.
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            held.push(stream);
        }
    });
    mini.flags = vec!["--engine".into(), socket.display().to_string()];

    let begun = Instant::now();
    mini.boot();
    let booted = begun.elapsed();
    assert!(mini.said.iter().any(|line| line.starts_with("warning: the Docker Engine did not answer")), "{:?}", mini.said);
    assert!(booted < Duration::from_secs(20), "the start took {booted:?}");
    assert_eq!(mini.get("hello", "/").status, 200);
    let begun = Instant::now();
    mini.anna.ssh(mini.ssh, "whoami").ok();
    let apps = mini.anna.ssh(mini.ssh, "apps").ok().stdout;
    assert!(apps.contains("unknown: the engine does not answer"), "{apps}");
    mini.anna.ssh(mini.ssh, "ps hello").fails(1, "the Docker Engine did not answer in 5 s");
    mini.anna.ssh(mini.ssh, "logs hello").ok();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    repo.write("index.html", "second");
    repo.commit("second");
    let begun = Instant::now();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).fails(1, "the Docker Engine did not answer");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    mend_and_finish(mini);
}

/// A folder with `sh` and perhaps a `git` that only tells its version.
fn bin_dir(mini: &Mini, git: Option<&str>) -> String {
    let bin = mini.home().join("bin");
    let _ = fs::remove_dir_all(&bin);
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sh", bin.join("sh")).unwrap();
    if let Some(version) = git {
        fs::write(bin.join("git"), format!("#!/bin/sh\necho git version {version}\n")).unwrap();
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin.display().to_string()
}

#[test]
fn without_a_recent_git_it_starts_warns_and_refuses_pushes() {
    let mut mini = Mini::start();
    let repo = Repo::from_folder("examples/hello");

    for (git, sentence, hint) in [
        (None, "the server has no git, so it cannot take pushes", "install git on the server"),
        (Some("2.20.1"), "the server has git 2.20.1, and pushes need 2.32", "update git on the server"),
    ] {
        mini.stop();
        mini.env = vec![("PATH".into(), bin_dir(&mini, git))];
        mini.boot();

        assert!(mini.said.contains(&format!("warning: {sentence}: pushes are refused")), "{:?}", mini.said);
        mini.anna.ssh(mini.ssh, "whoami").ok();
        let status = mini.local(&["status"]).ok().stdout;
        assert!(status.contains("cannot be used") && status.contains(&format!("! {sentence}: {hint}")), "{status}");
        let pushed = mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]);
        assert_ne!(pushed.code, 0);
        assert!(pushed.stderr.starts_with(&format!("mini: {sentence}\n      {hint}\n")), "{}", pushed.stderr);
        assert_eq!(leftover_files(&mini.data()), Vec::<PathBuf>::new());
    }
    mend_and_finish(mini);
}

#[test]
fn a_server_that_is_stopped_ends_with_its_socket_free_for_the_next() {
    let mut mini = Mini::start();
    let pid = mini.pid();

    assert!(mini.stop().success());

    eventually("the process to be gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    mini.local(&["whoami"]).fails(1, "mini");
    mini.boot();
    mini.finish();
}
