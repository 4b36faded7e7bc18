//! The door with a real OpenSSH client before it and a desk of paper behind it.

mod channels;
mod desk;
mod hostile;
mod logins;
mod refusals;
mod sessions;
mod stops;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::desk::PaperDesk;
use super::{HostKey, SshServer};
use crate::model::PublicKey;
use crate::model::limits::LOGIN_DEADLINE;

/// No single step of a test takes this long, on a slow machine either.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server on a port of its own, with the keys of its clients. `anna` is known to it.
struct Door {
    port: u16,
    dir: tempfile::TempDir,
    desk: PaperDesk,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Door {
    async fn open() -> Self {
        Self::open_with(LOGIN_DEADLINE, Duration::from_secs(5)).await
    }

    async fn open_with(login_deadline: Duration, drain: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host_key = HostKey::load_or_make(&dir.path().join("host_key")).unwrap();
        let desk = PaperDesk::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shutdown = CancellationToken::new();
        let ssh = SshServer::with_login_deadline(desk.clone(), host_key, login_deadline);
        let served = TaskTracker::new().spawn(ssh.serve(listener, shutdown.clone(), drain));
        let door = Door { port, dir, desk, shutdown, served };
        door.invite("anna", &["-t", "ed25519"]).await;
        door
    }

    /// Makes a key and tells the desk whose it is.
    async fn invite(&self, name: &str, kind: &[&str]) -> PathBuf {
        let path = self.keygen(name, kind).await;
        let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        match PublicKey::parse(&line) {
            Ok(key) => self.desk.admit(key.fingerprint(), name),
            // A key that the model does not take is admitted all the same: the door has to refuse it by itself.
            Err(_) => self.desk.admit(fingerprint_of(&path).await.parse().unwrap(), name),
        }
        path
    }

    async fn keygen(&self, name: &str, kind: &[&str]) -> PathBuf {
        let path = self.dir.path().join(name);
        let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&path).args(kind).output().await.unwrap();
        assert!(made.status.success(), "{made:?}");
        path
    }

    fn key(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An `ssh` with the options of a stranger: no config, no agent, no known hosts.
    fn ssh_with(&self, key: &Path) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-p", &self.port.to_string()]).arg("-i").arg(key);
        ssh.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        ssh
    }

    /// Runs a line as anna.
    async fn run(&self, line: &str) -> Output {
        let mut ssh = self.ssh_with(&self.key("anna"));
        output(ssh.arg("any@127.0.0.1").arg(line)).await
    }

    /// Starts a line as anna with a pipe into it.
    fn start(&self, options: &[&str], line: &str) -> Child {
        let mut ssh = self.ssh_with(&self.key("anna"));
        ssh.args(options).arg("any@127.0.0.1").arg(line).stdin(Stdio::piped()).spawn().unwrap()
    }

    async fn assert_alive(&self) {
        let whoami = self.run("whoami").await;
        assert_eq!((text(&whoami.stdout), whoami.status.code()), ("anna\n", Some(0)), "{whoami:?}");
    }
}

async fn output(command: &mut Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("the client ends").unwrap()
}

async fn end_of(child: Child) -> Output {
    timeout(PATIENCE, child.wait_with_output()).await.expect("the client ends").unwrap()
}

async fn fingerprint_of(key: &Path) -> String {
    let shown = Command::new("ssh-keygen").arg("-lf").arg(key).output().await.unwrap();
    text(&shown.stdout).split(' ').nth(1).unwrap().to_owned()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
