//! The verb that writes all that a server is into one stream, while pushes and changes go on.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::backup::{
    DATABASE, FORMAT, HOST_KEY, HOST_KEY_PUBLIC, LOGS, MASTER_KEY, Manifest, ManifestApp, REPOSITORIES, SETTINGS, Writer, repository_folder,
};
use crate::command::{Attached, Output, Reply};
use crate::error::{Error, Kind, Result};
use crate::model::size::megabytes;
use crate::model::{AppId, Stamp};

const CHUNK_BYTES: usize = 128 << 10;
/// Chunks between the disk and a slow reader.
const WAITING_CHUNKS: usize = 8;

/// Told when some app has storage.
const NO_STORAGE: &str = "What apps keep in their storage is not in it: the volumes stay with the engine.\n";

const SECRETS: &str = "This backup holds every secret of the server: the config values and the key that opens them, and the host key. \
                       Keep it as you keep a password.\n";
const NO_KEY: &str = "This backup holds no master key: without the file master.key of the data dir its config values are lost. \
                      It does hold the host key.\n";

/// A backup's content, gathered at one moment. It takes next to no place and goes away with this.
struct Staged {
    folder: TempDir,
    manifest: Manifest,
}

/// Where the bytes go: to whoever asked, as fast as they are taken.
struct Outlet {
    output: mpsc::Sender<Result<Output>>,
    cancelled: CancellationToken,
    bytes: u64,
}

impl Platform {
    /// Streams a backup. A reader that leaves ends it.
    pub(super) fn back_up(&self, permit: &Permit, without_key: bool, to_terminal: bool, cancelled: CancellationToken) -> Result<Reply> {
        if to_terminal {
            return Err(
                Error::usage("a backup is no text for a terminal").hint("without -t, and into a file: ssh mini backup - > mini.backup")
            );
        }
        let (output, receiver) = mpsc::channel(WAITING_CHUNKS);
        let (platform, by) = (self.clone(), permit.caller().name.clone());
        self.deployer.in_background(async move {
            let outlet = Outlet { output: output.clone(), cancelled, bytes: 0 };
            let end = match platform.send_backup(!without_key, outlet).await {
                Ok(bytes) => {
                    tracing::info!(%by, bytes, "backed up");
                    Ok(Output::Exited(0))
                }
                Err(err) => {
                    tracing::warn!(%by, ?err, "a backup was not taken");
                    Err(err)
                }
            };
            // Nobody is there to hear the end of a backup that was left.
            let _ = output.send(end).await;
        });
        Ok(Reply::Attached(Attached { has_terminal: false, output: receiver }))
    }

    async fn send_backup(&self, with_key: bool, outlet: Outlet) -> Result<u64> {
        let talk = outlet.output.clone();
        let say = |text: String| async { drop(talk.send(Ok(Output::Stderr(text.into()))).await) };
        say(if with_key { SECRETS } else { NO_KEY }.to_owned()).await;
        if self.rooms().store.apps().await?.iter().any(|app| !app.storage.is_empty()) {
            say(NO_STORAGE.to_owned()).await;
        }
        let staged = self.stage(with_key).await?;
        let apps = staged.manifest.apps.len();
        let data = self.rooms().settings.data.clone();
        let bytes = blocking(move || write(&staged, &data, outlet)).await?;
        say(format!("Backed up {apps} {}: {} MB.\n", if apps == 1 { "app" } else { "apps" }, megabytes(bytes))).await;
        Ok(bytes)
    }

    /// Gathers the database first and the repositories after it: what was live then has its commit there.
    async fn stage(&self, with_key: bool) -> Result<Staged> {
        let rooms = self.rooms();
        let taken_at = Stamp::now();
        let folder = tempfile::Builder::new().prefix("backup-").tempdir_in(rooms.settings.data.join("tmp"));
        let folder = folder.map_err(|err| Error::unavailable("the backup cannot be gathered in the data dir").because(err))?;
        let mut snapshot = rooms.store.snapshot(folder.path().join(DATABASE)).await?;
        for (app, _) in &snapshot.apps {
            match self.stage_app(app, folder.path()).await {
                // Destroyed meanwhile: left out below.
                Err(_) if rooms.store.app(app.clone()).await.is_err_and(|err| err.kind() == Kind::NotFound) => {}
                staged => staged?,
            }
        }
        // An app goes row first, so that what has its row now was whole while it was gathered.
        let present: HashSet<AppId> = rooms.store.apps().await?.into_iter().map(|app| app.id).collect();
        let gone: Vec<AppId> = snapshot.apps.iter().map(|(app, _)| app.clone()).filter(|app| !present.contains(app)).collect();
        blocking(move || {
            snapshot.leave_out(&gone)?;
            for app in &gone {
                drop_app(app, folder.path());
            }
            let apps = snapshot.apps.iter().map(|(id, name)| ManifestApp { id: id.clone(), name: name.clone() }).collect();
            Ok((folder, snapshot.schema, apps))
        })
        .await
        .map(|(folder, schema, apps)| Staged {
            folder,
            manifest: Manifest {
                format: FORMAT,
                mini: env!("CARGO_PKG_VERSION").to_owned(),
                schema,
                instance: rooms.store.instance().clone(),
                taken_at,
                holds_master_key: with_key,
                apps,
            },
        })
    }

    async fn stage_app(&self, app: &AppId, folder: &Path) -> Result<()> {
        self.rooms().logs.stage(app.clone(), folder.join(LOGS).join(app.as_str())).await?;
        let (git, app, folder) = (self.rooms().git.clone(), app.clone(), folder.to_owned());
        blocking(move || {
            if !git.exists(&app) {
                return Ok(());
            }
            git.stage(&app, &folder.join(REPOSITORIES).join(repository_folder(&app)))
        })
        .await
    }
}

fn drop_app(app: &AppId, folder: &Path) {
    for staged in [folder.join(REPOSITORIES).join(repository_folder(app)), folder.join(LOGS).join(app.as_str())] {
        if let Err(err) = std::fs::remove_dir_all(&staged)
            && err.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(app.id = %app, %err, "a destroyed app's files are in the backup");
        }
    }
}

fn write(staged: &Staged, data: &Path, outlet: Outlet) -> Result<u64> {
    let folder = staged.folder.path();
    let mut writer = Writer::new(BufWriter::with_capacity(CHUNK_BYTES, outlet), &staged.manifest)?;
    writer.add_file(DATABASE, &folder.join(DATABASE))?;
    for name in [HOST_KEY, HOST_KEY_PUBLIC, SETTINGS, MASTER_KEY] {
        let is_wanted = name != MASTER_KEY || staged.manifest.holds_master_key;
        if is_wanted && data.join(name).exists() {
            writer.add_file(name, &data.join(name))?;
        }
    }
    writer.add_folder(REPOSITORIES, &folder.join(REPOSITORIES))?;
    writer.add_folder(LOGS, &folder.join(LOGS))?;
    let outlet =
        writer.finish()?.into_inner().map_err(|err| Error::failed("the backup was not read to its end").because(err.into_error()))?;
    Ok(outlet.bytes)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let task = tokio::task::spawn_blocking(work);
    task.await.unwrap_or_else(|err| Err(Error::failed("the server stopped in the middle of this").because(err)))
}

// === impl Outlet ===

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = || io::Error::new(io::ErrorKind::BrokenPipe, "the reader left");
        if self.cancelled.is_cancelled() {
            return Err(left());
        }
        self.output.blocking_send(Ok(Output::Stdout(Bytes::copy_from_slice(bytes)))).map_err(|_| left())?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
