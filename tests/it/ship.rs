//! `deploy/ship`, as the GitHub Action runs it: over a real sshd on loopback, with load on an app meanwhile.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::harness::{Mini, Person, Repo, Running, eventually};
use crate::traffic::Load;

/// An OpenSSH server of the test's own, and what a client needs to trust it.
struct Sshd {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
    key: PathBuf,
}

impl Sshd {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let person = Person::new(home.path(), "runner");
        let host = Person::new(home.path(), "host");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::create_dir_all("/run/sshd").unwrap();
        std::fs::write(home.path().join("authorized"), person.public_key()).unwrap();
        std::fs::write(home.path().join("known_hosts"), format!("[127.0.0.1]:{port} {}", host.public_key())).unwrap();
        let mut config = format!("ListenAddress 127.0.0.1:{port}\nHostKey {}\n", host.key_file().display());
        writeln!(config, "AuthorizedKeysFile {}", home.path().join("authorized").display()).unwrap();
        config += "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n";
        std::fs::write(home.path().join("config"), config).unwrap();
        let child = Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(home.path().join("config")).spawn().unwrap();
        eventually("sshd to listen", || TcpStream::connect(("127.0.0.1", port)).ok());
        let key = person.key_file();
        Sshd { child, port, home, key }
    }

    /// Begins `deploy/ship BINARY`; the host rings when it wants its server restarted.
    fn ship(&self, binary: &Path, mini: &Mini) -> Running {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let (ring, done) = (mini.home().join("ring"), mini.home().join("done"));
        let restart = format!("touch {0}; until [ -e {1} ]; do sleep 0.05; done; rm {0} {1}", ring.display(), done.display());
        let mut command = Command::new("deploy/ship");
        command.arg(binary).arg(format!("{user}@127.0.0.1:{}", self.port));
        command.env("SHIP_KNOWN_HOSTS", self.home.path().join("known_hosts")).env("SHIP_KEY", &self.key);
        command.env("SHIP_PATH", &mini.program).env("SHIP_DATA", mini.data()).env("SHIP_RESTART", restart).env("SHIP_PATIENCE", "3");
        Running::of(command)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What must be the same after an upgrade, in the words that show it.
fn facts(mini: &Mini) -> String {
    let words: [&[&str]; 4] =
        [&["apps:info", "blog", "--json"], &["releases", "blog", "--json"], &["config", "blog", "--show"], &["keys", "--json"]];
    words.iter().map(|words| mini.local(words).ok().stdout).collect()
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A server on held sockets whose program may be replaced, with an app on it.
fn stage() -> Mini {
    let mut mini = Mini::start_on_held_sockets(&[]);
    mini.stop();
    let installed = mini.home().join("installed");
    std::fs::copy(env!("CARGO_BIN_EXE_mini"), &installed).unwrap();
    mini.program = installed;
    mini.boot();
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.ssh(mini.ssh, "config:set blog GREETING=hello").ok();
    eventually("the first release to be retired", || (mini.releases("blog")[1]["state"] == "retired").then_some(()));
    mini
}

/// Waits until the host asks for a restart, and restarts the server as it is installed then.
fn restart_on_ring(mini: &mut Mini) {
    eventually("the host to ask for a restart", || mini.home().join("ring").exists().then_some(()));
    if mini.is_running() {
        mini.stop();
    }
    // A program that is no server would never say that it is ready: who asks for its health finds that out.
    if std::fs::metadata(&mini.program).unwrap().len() > 1 << 20 {
        mini.boot();
    }
    std::fs::write(mini.home().join("done"), "").unwrap();
}

#[test]
fn a_shipped_server_takes_over_without_a_failed_request_or_a_lost_row() {
    let mut mini = stage();
    let sshd = Sshd::start();
    let before = facts(&mini);
    let load = Load::start(mini.http, "blog.localhost");

    let shipping = sshd.ship(Path::new(env!("CARGO_BIN_EXE_mini")), &mini);
    restart_on_ring(&mut mini);
    let said = shipping.finish().ok();

    let (served, failed) = load.stop();
    assert!(said.stderr.contains("answers; the one before is kept as"), "{said:?}");
    assert!(failed.is_empty() && served > 20, "{served} served, {} failed: {:?}", failed.len(), failed.first());
    assert_eq!(facts(&mini), before);
    mini.finish();
}

#[test]
fn a_sick_server_is_put_back() {
    let mut mini = stage();
    let sshd = Sshd::start();
    let sick = mini.home().join("sick");
    program(&sick, "#!/bin/sh\n[ \"$1\" = version ] && echo mini 9.9.9\n");

    let shipping = sshd.ship(&sick, &mini);
    restart_on_ring(&mut mini);
    eventually("the first ring to be answered", || (!mini.home().join("done").exists()).then_some(()));
    restart_on_ring(&mut mini);
    let said = shipping.finish();

    said.fails(1, "the new server is not well: putting the old one back");
    assert_eq!(mini.get("blog", "/").status, 200);
    mini.finish();
}

#[test]
fn what_does_not_run_there_or_is_not_known_there_changes_nothing() {
    let mini = stage();
    let sshd = Sshd::start();
    let broken = mini.home().join("broken");
    program(&broken, "#!/bin/sh\ncase $0 in *.new) exit 1;; esac\necho mini 9.9.9\n");

    sshd.ship(&broken, &mini).finish().fails(1, "the new binary does not run here; nothing was changed");
    std::fs::write(sshd.home.path().join("known_hosts"), "").unwrap();
    sshd.ship(Path::new(env!("CARGO_BIN_EXE_mini")), &mini).finish().fails(1, "the binary could not be copied; nothing was changed");

    assert_eq!(mini.get("blog", "/").status, 200);
    mini.finish();
}
