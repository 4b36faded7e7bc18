//! An engine of the test's own, which it may stop and kill: in namespaces that end with the test, and with them all that it started.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{eventually, signal};

/// Where the files of the machine lie; set only within.
const FOLDER: &str = "MINI_TEST_MACHINE";

/// A network with nothing but loopback, and no socket of another engine's shims. The shell stays, as the first process that waits for
/// orphans: an engine takes its dead containerd for a living one otherwise.
const ENTER: &str = "ip link set lo up && mkdir -p /run/docker /run/containerd && mount -t tmpfs tmpfs /run/docker \
    && mount -t tmpfs tmpfs /run/containerd && \"$@\"; exit $?";

/// A `dockerd` whose socket is this process's `DOCKER_HOST`.
pub struct OwnEngine {
    folder: PathBuf,
    daemon: Option<Child>,
}

/// Runs the calling test, `module::name`, once more in a machine of its own and returns nothing; within, returns its engine.
///
/// The test itself must be within: only there are an app's bridges, and the server that asks them.
pub fn own_engine(test: &str) -> Option<OwnEngine> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let mut engine = OwnEngine { folder: folder.into(), daemon: None };
        engine.start();
        engine.load_busybox();
        return Some(engine);
    }
    let folder = tempfile::tempdir().unwrap();
    docker(&["save", "-o", folder.path().join("busybox.tar").to_str().unwrap(), "busybox"]);
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ENTER, "sh"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(FOLDER, folder.path());
    command.env("DOCKER_HOST", format!("unix://{}", folder.path().join("docker.sock").display()));
    let status = command.status().unwrap();
    let log = std::fs::read_to_string(folder.path().join("dockerd.log")).unwrap_or_default();
    assert!(status.success(), "{status}; the engine's log: {log}");
    assert!(Path::new(&folder.path().join("data")).exists(), "no test of the name {test} ran");
    None
}

// === impl OwnEngine ===

impl OwnEngine {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where images and containers are kept.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn load_busybox(&self) {
        docker(&["load", "-q", "-i", self.path("busybox.tar").to_str().unwrap()]);
    }

    /// Starts the daemon and waits for its answers.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("dockerd.log")).unwrap();
        let mut command = Command::new("dockerd");
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(self.path(name));
        }
        command.arg("--host").arg(std::env::var_os("DOCKER_HOST").unwrap()).args(["--log-level", "warn"]);
        self.daemon = Some(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        eventually("an engine that answers", || Command::new("docker").arg("version").output().unwrap().status.success().then_some(()));
    }

    /// Ends the daemon as a service manager does: every container is stopped.
    pub fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("the engine runs");
        signal(daemon.id(), "TERM");
        eventually("the engine's end", || daemon.try_wait().unwrap());
    }

    /// Ends the daemon with SIGKILL: containers run on.
    pub fn kill_9(&mut self) {
        let mut daemon = self.daemon.take().expect("the engine runs");
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
}

#[track_caller]
fn docker(words: &[&str]) {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
