//! The private unix socket: the server's own machine speaks frames here, as root or as the server's user.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::command::converse;
use crate::error::{Error, Result};
use crate::model::Caller;
use crate::platform::Platform;

/// How soon a client that left in the middle of its input is missed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Binds the socket at `path`, in place of one that a killed server left. The data dir's lock must be held.
pub fn bind(path: &Path) -> Result<UnixListener> {
    let bad = |err: io::Error| Error::setup(format!("the socket {} cannot be made: {err}", path.display()));
    match std::fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(bad(err)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(bad)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(bad)?;
    Ok(listener)
}

/// Serves the socket until `shutdown`; sessions then get `grace` before they are cut.
pub async fn serve(listener: UnixListener, platform: Platform, shutdown: CancellationToken, grace: Duration) {
    let sessions = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let session = serve_one(stream, platform.clone());
                sessions.spawn(cut.clone().run_until_cancelled_owned(session));
            }
            Err(err) => {
                warn!(%err, "the private socket could not accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    sessions.close();
    if tokio::time::timeout(grace, sessions.wait()).await.is_err() {
        cut.cancel();
        sessions.wait().await;
    }
}

async fn serve_one(stream: UnixStream, platform: Platform) {
    let caller = match peer(&stream) {
        Ok(caller) => caller,
        Err(err) => return warn!(?err, "a stranger was at the private socket"),
    };
    let watched = match second(&stream) {
        Ok(watched) => watched,
        Err(err) => return warn!(%err, "a client of the private socket cannot be watched"),
    };
    let (from, to) = stream.into_split();
    let gone = CancellationToken::new();
    let talk = converse(from, to, gone.clone(), |call| platform.run(&caller, call));
    let watch = async {
        left(&watched).await;
        gone.cancel();
        std::future::pending::<()>().await;
    };
    let talked = tokio::select! {
        talked = talk => talked,
        () = watch => Ok(()),
    };
    if let Err(err) = talked {
        debug!(%err, "the client left before its answer");
    }
}

/// Opens the socket a second time, to look at while the first one is read and written.
fn second(stream: &UnixStream) -> io::Result<UnixStream> {
    let copy = stream.as_fd().try_clone_to_owned()?;
    UnixStream::from_std(copy.into())
}

/// Returns when the client has closed. Reading would tell it too, but not behind input that the program does not read.
async fn left(stream: &UnixStream) {
    loop {
        match stream.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => tokio::time::sleep(LOOK_EVERY).await,
            _ => return,
        }
    }
}

/// Only the server's own user and root come in here, and they are admins (unix(7), `SO_PEERCRED`).
fn peer(stream: &UnixStream) -> Result<Caller> {
    let uid = stream.peer_cred().map_err(|err| Error::not_allowed("the peer has no credentials").because(err))?.uid();
    let own = std::fs::metadata("/proc/self").map_or(0, |meta| meta.uid());
    if uid == 0 || uid == own {
        Ok(Caller::local())
    } else {
        Err(Error::not_allowed(format!("uid {uid} is neither root nor the server's user")))
    }
}
