//! The two git services of an app: a real git in a closed environment, with our hooks behind it.

use std::path::Path;
use std::process::Stdio;

use command_fds::{CommandFdExt, FdMapping};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::watch;

use super::bridge::Running;
use super::{Git, PushHandler, calls, program};
use crate::command::{GitIo, GitService};
use crate::error::{Error, Result};
use crate::model::AppId;

/// The number under which git and its hooks have the server's socket.
const HOOK_FD: i32 = 3;

// === impl Git ===

impl Git {
    /// Takes a push into an app's repository, which must be there, and returns git's exit code.
    ///
    /// Returns when git has *exited* and its last byte is out; the caller keeps the push turn until then. A running call of the handler
    /// is never dropped because the client left: the handler knows, and decides whether that matters. Dropping this kills git.
    pub async fn receive_pack(&self, app: &AppId, io: GitIo, handler: &mut impl PushHandler) -> Result<u32> {
        let repo = self.existing(app)?;
        self.ready().await?;
        // Dropped last, when git is gone for certain.
        let _receiving = self.receiving(app);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(not_started)?;
        ours.set_nonblocking(true).map_err(not_started)?;
        let ours = UnixStream::from_std(ours).map_err(not_started)?;
        let mut command = self.command(GitService::ReceivePack, &repo, io.protocol.as_deref());
        command.env("MINI_BIN", &self.inner.hook_program).env("MINI_HOOK_FD", HOOK_FD.to_string());
        let mapping = FdMapping { parent_fd: theirs.into(), child_fd: HOOK_FD };
        command.fd_mappings(vec![mapping]).map_err(|err| not_started(std::io::Error::other(err)))?;
        let git = Running::spawn(&mut command, self.inner.exit_grace).map_err(not_started)?;
        // It holds the hooks' end: ours would never come to an end.
        drop(command);
        let (busy, is_busy) = watch::channel(false);
        let (code, ()) = tokio::join!(git.serve(io, is_busy), calls::serve(ours, &repo, handler, &busy));
        code.map_err(not_started)
    }

    /// Gives an app's commits to a client and returns git's exit code; hidden refs stay hidden.
    pub async fn upload_pack(&self, app: &AppId, io: GitIo) -> Result<u32> {
        let repo = self.existing(app)?;
        self.ready().await?;
        let mut command = self.command(GitService::UploadPack, &repo, io.protocol.as_deref());
        let git = Running::spawn(&mut command, self.inner.exit_grace).map_err(not_started)?;
        let (_busy, is_busy) = watch::channel(false);
        git.serve(io, is_busy).await.map_err(not_started)
    }

    /// Refuses to go on without a ready git, which is looked for where there was none.
    pub async fn ready(&self) -> Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        let git = self.clone();
        let looked = tokio::task::spawn_blocking(move || git.look_again()).await;
        looked.map_err(|err| Error::failed("the server could not look for git").because(err))?.check()
    }

    fn command(&self, service: GitService, repo: &Path, protocol: Option<&str>) -> Command {
        let mut command = Command::new("git");
        for setting in program::settings(repo, &self.inner.hooks) {
            command.arg("-c").arg(setting);
        }
        command.arg(match service {
            GitService::ReceivePack => "receive-pack",
            GitService::UploadPack => "upload-pack",
        });
        command.arg(repo).current_dir(repo);
        command.env_clear().envs(program::environment(&self.inner.search_path, &self.inner.hooks));
        if let Some(protocol @ ("version=0" | "version=1" | "version=2")) = protocol {
            command.env("GIT_PROTOCOL", protocol);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn not_started(cause: std::io::Error) -> Error {
    Error::failed("the server could not run git").because(cause)
}

#[cfg(test)]
mod tests;
