//! A program started beside a container's own, with its caller attached.

use std::time::Duration;

use bollard::models::ExecConfig;
use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, ResizeExecOptionsBuilder};
use rustix::process::{Pid, Signal, kill_process_group};

use super::Engine;
use super::attach::Attachment;
use super::failure::absent_is_none;
use super::oneoff::{Attach, cells};
use crate::error::{Error, Result};
use crate::model::ContainerId;

/// A program whose output has ended is looked at this soon again, and then less and less often: most have ended too.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const SLOWEST_LOOK: Duration = Duration::from_secs(1);
/// A program has this long to end when its caller has left.
const END_GRACE: Duration = Duration::from_secs(2);
/// Better shells first.
const SHELLS: [&str; 4] = ["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"];

/// A program started in a container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecId(String);

struct Look {
    is_running: bool,
    exit_code: Option<i64>,
    /// In the host's numbers.
    pid: Option<Pid>,
}

impl Engine {
    /// Returns the path of the container's best shell, found by looking at its files.
    pub async fn shell(&self, container: &ContainerId) -> Result<Option<&'static str>> {
        for path in SHELLS {
            let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
            let look = |docker: bollard::Docker| async move {
                absent_is_none(docker.get_container_archive_info(container.as_str(), Some(options)).await)
            };
            if self.call(look).await?.is_some() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Starts a program in a container, attached. It has the container's own environment and `env`.
    ///
    /// A container that does not run is `Kind::Busy`.
    pub async fn exec(
        &self,
        container: &ContainerId,
        program: Vec<String>,
        env: Vec<String>,
        attach: Attach,
    ) -> Result<(ExecId, Attachment)> {
        let has_terminal = attach.has_terminal();
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(has_terminal),
            cmd: Some(program),
            env: Some(env),
            ..ExecConfig::default()
        };
        let made = self.call(|docker| async move { docker.create_exec(container.as_str(), config).await }).await?;
        // It becomes a part of a path.
        let id: ContainerId = made.id.parse().map_err(|err| Error::unavailable("the Docker Engine gave an exec no id").because(err))?;
        let mut start = serde_json::json!({ "Detach": false, "Tty": has_terminal });
        if let Attach::Terminal { cols, rows } = attach {
            start["ConsoleSize"] = serde_json::json!([cells(rows), cells(cols)]);
        }
        let stream = self.hijack(&format!("/exec/{id}/start"), start.to_string().into_bytes()).await?;
        Ok((ExecId(id.to_string()), Attachment { stream, has_terminal }))
    }

    /// Tells a program's terminal its size. One that has ended is fine.
    pub async fn resize_exec(&self, exec: &ExecId, cols: u32, rows: u32) -> Result<()> {
        let options = ResizeExecOptionsBuilder::default().w(cells(cols).into()).h(cells(rows).into()).build();
        self.call(|docker| async move { absent_is_none(docker.resize_exec(&exec.0, options).await) }).await.map(drop)
    }

    /// Waits until a program has ended, however long that takes, and returns its exit code.
    pub async fn wait_exec(&self, exec: &ExecId) -> Result<i64> {
        let mut pause = LOOK_AGAIN;
        loop {
            let look = self.look(exec).await?;
            if let Some(code) = look.exit_code.filter(|_| !look.is_running) {
                return Ok(code);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(SLOWEST_LOOK);
        }
    }

    /// Ends a program whose caller has left: a hang-up, SIGTERM, and SIGKILL after a grace.
    ///
    /// The engine has no call for this, so it is done from outside, and not at all where the host's processes are not to be seen.
    pub async fn end_exec(&self, container: &ContainerId, exec: &ExecId) -> Result<()> {
        let Some(pid) = self.look(exec).await?.pid else { return Ok(()) };
        if !belongs_to(pid, container).await {
            return Err(Error::failed("the program's process is not to be seen from here"));
        }
        signal(pid, Signal::HUP)?;
        signal(pid, Signal::TERM)?;
        if tokio::time::timeout(END_GRACE, self.wait_exec(exec)).await.is_err() && belongs_to(pid, container).await {
            signal(pid, Signal::KILL)?;
        }
        Ok(())
    }

    async fn look(&self, exec: &ExecId) -> Result<Look> {
        let found = self.call(|docker| async move { docker.inspect_exec(&exec.0).await }).await?;
        let is_running = found.running.unwrap_or(false);
        let pid = found.pid.filter(|_| is_running).and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Ok(Look { is_running, exit_code: found.exit_code, pid })
    }
}

/// A number that is another machine's, or somebody else's by now, must not be signalled (`cgroups(7)`, `/proc/pid/cgroup`).
async fn belongs_to(pid: Pid, container: &ContainerId) -> bool {
    let cgroups = tokio::fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).await;
    cgroups.is_ok_and(|text| text.contains(container.as_str()))
}

/// The engine starts each program in a session of its own, so that its group is all that it has not set apart.
fn signal(pid: Pid, signal: Signal) -> Result<()> {
    match kill_process_group(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(err) => Err(Error::failed("the program could not be ended").because(err)),
    }
}
