//! Containers of programs that somebody runs once: made like those of a release, and gone at their end.

use bollard::models::{ContainerCreateBody, HostConfigLogConfig};
use bollard::query_parameters::{KillContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};

use super::attach::Attachment;
use super::container::ContainerSpec;
use super::failure::absent_is_none;
use super::{Engine, label};
use crate::error::Result;
use crate::model::ContainerId;

/// The process of every one-off, as `web` is that of others.
pub const ONE_OFF: &str = "run";

/// Who hears what a one-off prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// The engine keeps it.
    Detached,
    /// Its caller, stream by stream.
    Piped,
    /// Its caller, by a terminal of this many columns and rows.
    Terminal { cols: u32, rows: u32 },
}

impl Engine {
    /// Makes the container of a one-off and does not start it. The spec's command stands alone: the image's entrypoint is left out.
    pub async fn create_one_off(&self, spec: ContainerSpec, attach: Attach) -> Result<ContainerId> {
        let image = self.image(spec.image.as_str()).await?;
        let (name, joins) = (spec.name.clone(), spec.joins.clone());
        let mut body = self.body(spec, &image);
        body.entrypoint = Some(Vec::new());
        attach.apply(&mut body);
        self.create(&name, body, &joins).await
    }

    /// Attaches to a container before its start, so that nothing it prints is missed.
    pub async fn attach(&self, container: &ContainerId, attach: Attach) -> Result<Attachment> {
        let stream = self.hijack(&format!("/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"), Vec::new()).await?;
        Ok(Attachment { stream, has_terminal: attach.has_terminal() })
    }

    /// Tells a container's terminal its size. One that has ended is fine.
    pub async fn resize(&self, container: &ContainerId, cols: u32, rows: u32) -> Result<()> {
        let options = ResizeContainerTTYOptionsBuilder::default().w(cells(cols).into()).h(cells(rows).into()).build();
        self.call(|docker| async move { absent_is_none(docker.resize_container_tty(container.as_str(), options).await) }).await.map(drop)
    }

    /// Hangs up on a container's terminal: a shell ignores SIGTERM and ends on this. One that has ended is an error.
    pub async fn hang_up(&self, container: &ContainerId) -> Result<()> {
        let options = KillContainerOptionsBuilder::default().signal("SIGHUP").build();
        self.call(|docker| async move { docker.kill_container(container.as_str(), Some(options)).await }).await
    }
}

// === impl Attach ===

impl Attach {
    #[must_use]
    pub fn has_terminal(self) -> bool {
        matches!(self, Attach::Terminal { .. })
    }

    fn apply(self, body: &mut ContainerCreateBody) {
        if self == Attach::Detached {
            return;
        }
        body.labels.get_or_insert_default().insert(label::ATTACHED.to_owned(), "1".to_owned());
        body.attach_stdin = Some(true);
        body.attach_stdout = Some(true);
        body.attach_stderr = Some(true);
        body.open_stdin = Some(true);
        // The input ends with its first caller.
        body.stdin_once = Some(true);
        let host = body.host_config.get_or_insert_default();
        // What is printed belongs to the caller: nobody keeps it.
        host.log_config = Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None });
        if let Attach::Terminal { cols, rows } = self {
            body.tty = Some(true);
            // Engines before 23 do not read this; they are told the size after the start.
            host.console_size = Some(vec![cells(rows).into(), cells(cols).into()]);
        }
    }
}

/// A terminal's side as the kernel keeps it: `unsigned short` in `struct winsize` (`tty_ioctl(2)`).
pub(super) fn cells(count: u32) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
