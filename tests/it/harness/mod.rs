//! `Mini::start()`: a real server on free ports with an admin's key, and what a person does with it.

#[cfg(feature = "failpoints")]
mod armed;
mod docker;
mod engine;
mod guarded;
mod http;
mod https;
mod laptop;
mod moments;
mod pebble;
mod person;
mod processes;
mod proof;
mod registry;
mod repo;
mod terminal;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};

pub use docker::Docker;
pub use engine::{OwnEngine, own_engine};
pub use https::get_https;
pub use laptop::{Laptop, Scripted};
pub use moments::Moments;
pub use pebble::{Looks, Pebble};
pub use person::{Person, Running, Said};
pub use processes::{children_of, descendants_of, is_running, signal};
pub use proof::{asked, median_and_worst, proof, proven, rounds};
pub use registry::Registry;
pub use repo::{Entry, Repo};
pub use terminal::Terminal;

/// Waits until `check` gives something, and fails with `what` after the deadline.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running server with its data dir. Ends with [`Mini::finish`], which asserts that nothing is left.
pub struct Mini {
    home: tempfile::TempDir,
    /// Flags of `mini server` besides the harness's own; they count from the next boot.
    pub flags: Vec<String>,
    /// Environment of the server besides the test's own; it counts from the next boot.
    pub env: Vec<(String, String)>,
    /// The server's program.
    pub program: PathBuf,
    /// What the server said on stdout until it was ready.
    pub said: Vec<String>,
    server: Option<Child>,
    pub ssh: SocketAddr,
    pub http: SocketAddr,
    /// An admin, let in by `--admin-keys`.
    pub anna: Person,
    /// The label `mini.instance` of all that this server makes in the engine.
    instance: String,
    /// Sockets that the server is given by name.
    held: Vec<(&'static str, TcpListener)>,
    /// Whether it sets rules of the machine's firewall.
    is_guarded: bool,
    /// Whether a test makes it panic.
    pub may_panic: bool,
    finished: bool,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Mini {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(flags: &[&str]) -> Self {
        let mut mini = Self::unstarted(flags);
        mini.boot();
        mini
    }

    /// A server that has no data dir yet.
    pub fn unstarted(flags: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let anna = Person::new(home.path(), "anna");
        std::fs::write(home.path().join("admins"), anna.public_key()).unwrap();
        let nowhere = "127.0.0.1:0".parse().unwrap();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Mini {
            home,
            flags,
            env: Vec::new(),
            program: env!("CARGO_BIN_EXE_mini").into(),
            said: Vec::new(),
            server: None,
            ssh: nowhere,
            http: nowhere,
            anna,
            instance: String::new(),
            held: Vec::new(),
            is_guarded: false,
            may_panic: false,
            finished: false,
        }
    }

    /// Starts the server on this data dir, on new free ports.
    pub fn boot(&mut self) {
        assert!(self.server.is_none(), "the server already runs");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.home.path().join("server.log")).unwrap();
        let mut child = self.hand_over(self.server_command()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        self.server = Some(child);
        self.said = lines.take_while(|line| line != "ready").collect();
        self.ssh = self.listens("ssh");
        self.http = self.listens("http");
        let status = self.local(&["status", "--json"]).ok();
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        let entry = status["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == "instance").unwrap();
        self.instance = entry["value"].as_str().unwrap().into();
    }

    /// Returns where the server said that it listens.
    #[track_caller]
    fn listens(&self, name: &str) -> SocketAddr {
        let address = self.said.iter().find_map(|line| line.trim().strip_prefix(name)?.trim().parse().ok());
        address.unwrap_or_else(|| panic!("the server said {:?} and not where {name} listens; its log: {}", self.said, self.log()))
    }

    /// Where it speaks TLS, started with `--https`.
    pub fn https(&self) -> SocketAddr {
        self.listens("https")
    }

    /// Starts a server whose sockets this process holds, as a service manager would: they outlive it.
    pub fn start_on_held_sockets(flags: &[&str]) -> Self {
        let mut mini = Self::start_with(flags);
        mini.stop();
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        mini.held = vec![("ssh", bind()), ("http", bind())];
        mini.boot();
        mini
    }

    /// Makes `command` the process to which the held sockets are handed (`sd_listen_fds(3)`).
    fn hand_over(&self, command: Command) -> Command {
        if self.held.is_empty() {
            return command;
        }
        // The pid is known only where it is the program's own.
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec env LISTEN_PID=$$ \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let names: Vec<&str> = self.held.iter().map(|(name, _)| *name).collect();
        shell.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        let mapped =
            self.held.iter().zip(3..).map(|((_, socket), child_fd)| FdMapping { parent_fd: socket.try_clone().unwrap().into(), child_fd });
        shell.fd_mappings(mapped.collect()).unwrap();
        shell
    }

    /// The command that starts this server, for tests that start it in their own way.
    pub fn server_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("server");
        if !self.flags.iter().any(|flag| flag == "--ssh") {
            command.args(["--ssh", "127.0.0.1:0"]);
        }
        command.args(["--http", if self.is_guarded { "0.0.0.0:0" } else { "127.0.0.1:0" }]);
        command.arg("--data").arg(self.data());
        command.arg("--admin-keys").arg(self.home.path().join("admins")).args(&self.flags);
        // Servers of tests come and go, and would leave rules on the machine.
        command
            .env("MINI_FIREWALL", "off")
            // Nor do they order certificates of the world's authorities.
            .env("MINI_ACME", "off")
            .env("MINI_LOG", "debug")
            .env_remove("MINI_DATA")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub fn log(&self) -> String {
        // One that was never started has none.
        std::fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default()
    }

    pub fn is_running(&self) -> bool {
        self.server.is_some()
    }

    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server runs").id()
    }

    /// Runs the command line on the server itself, over the private socket.
    pub fn local(&self, words: &[&str]) -> Said {
        self.local_with(words, "")
    }

    pub fn local_with(&self, words: &[&str], input: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
        command.args(words).env("MINI_DATA", self.data());
        Said::by(command, input.as_bytes())
    }

    /// GETs a path of an app by its `.localhost` name.
    pub fn get(&self, app: &str, path: &str) -> Answer {
        self.get_host(&format!("{app}.localhost"), path)
    }

    pub fn get_host(&self, host: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        Answer::parse(&String::from_utf8_lossy(&text))
    }

    /// The release, commit and visible refs of an app: what a refused push must not change.
    pub fn state(&self, app: &str) -> String {
        let info: serde_json::Value = serde_json::from_str(&self.local(&["apps:info", app, "--json"]).ok().stdout).unwrap();
        let mut refs = self.anna.git(self.home(), self.ssh);
        refs.arg("ls-remote").arg(format!("ssh://mini@{}/{app}", self.ssh));
        let refs = Said::by(refs, b"").ok().stdout;
        format!("{} {} {}\n{refs}", info["release"], info["commit"], info["deploy_branch"])
    }

    /// The rows of `releases APP`, newest first.
    pub fn releases(&self, app: &str) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.local(&["releases", app, "--json"]).ok().stdout).unwrap()
    }

    /// The names of all apps.
    pub fn apps(&self) -> Vec<String> {
        let rows: Vec<serde_json::Value> = serde_json::from_str(&self.local(&["apps", "--json"]).ok().stdout).unwrap();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The most memory that the server itself has had at once.
    pub fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
    }

    /// Ends the server with SIGTERM and waits for it.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        let mut child = self.server.take().expect("the server runs");
        signal(child.id(), "TERM");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the server did not stop; its log: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the server with SIGKILL.
    pub fn kill_9(&mut self) {
        let mut child = self.server.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn docker(&self) -> Docker {
        Docker::of_instance(&self.instance)
    }

    /// Destroys every app, stops the server and asserts that nothing of it is left anywhere.
    pub fn finish(mut self) {
        let apps = self.local(&["apps", "--json"]);
        assert_eq!(apps.code, 0, "{apps:?}");
        let rows: serde_json::Value = serde_json::from_str(&apps.stdout).unwrap();
        for row in rows.as_array().unwrap() {
            let name = row["name"].as_str().unwrap();
            let destroyed = self.local(&["apps:destroy", name, "--confirm", name]);
            assert_eq!(destroyed.code, 0, "{destroyed:?}");
        }
        let docker = self.docker();
        eventually("containers, networks and images of this server to be gone", || docker.leftovers().is_empty().then_some(()));
        let pid = self.pid();
        assert_eq!(children_of(pid), Vec::<u32>::new(), "the server has children left");
        assert_eq!(leftover_files(&self.data()), Vec::<PathBuf>::new(), "files are left in the data dir");
        let status = self.stop();
        assert!(status.success(), "the server ended with {status}");
        assert!(self.may_panic || !self.log().contains("panicked"), "the server panicked: {}", self.log());
        self.finished = true;
    }
}

impl Answer {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {text:?}"));
        Answer { status, head: head.to_owned(), body: if is_chunked { dechunked(body) } else { body.to_owned() } }
    }
}

impl Drop for Mini {
    fn drop(&mut self) {
        if self.is_guarded {
            let _ = Command::new(env!("CARGO_BIN_EXE_mini")).args(["firewall", "remove", "--data"]).arg(self.data()).output();
        }
        if self.finished {
            return;
        }
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- the server's log\n{}",
                self.log().lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        if !self.instance.is_empty() {
            self.docker().remove_all();
        }
    }
}

/// Joins the chunks of a body (RFC 9112, section 7.1), or those that came of one that was cut.
fn dechunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
        text.push_str(rest.get(..size).unwrap_or(rest));
        body = rest.get(size + 2..).unwrap_or_default();
    }
    text
}

/// A text that no other test and no other run has.
pub fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{}{}", std::process::id(), now.subsec_nanos())
}

/// Everything below `repos`, `logs`, `builds` and `tmp`: all of it belongs to apps.
pub fn leftover_files(data: &Path) -> Vec<PathBuf> {
    ["repos", "logs", "builds", "tmp"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(data.join(folder)).unwrap().flatten().map(|entry| entry.path()))
        .collect()
}
