//! The life of one connection: a seat, a login in time, sessions, and an end that always comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{Config, RunningSession, run_stream};
use russh::{Disconnect, Error};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::Desk;
use super::admission::Admission;
use super::eager::Eager;
use super::handler::{Client, Signs};
use super::kill_switch::KillSwitch;

/// A client has this long to leave by itself, and again to take the good-bye, before its socket is shut.
const GOODBYE: Duration = Duration::from_millis(250);

/// What a connection needs to know of its server.
#[derive(Clone)]
pub(super) struct Ground<D> {
    pub desk: D,
    pub config: Arc<Config>,
    pub admission: Admission,
    pub login_deadline: Duration,
    pub shutdown: CancellationToken,
    pub drain: Duration,
    pub tasks: TaskTracker,
}

/// Why a connection ended before its login.
enum NoLogin {
    TooLate,
    Stopping,
    Failed(Error),
}

/// Serves a connection until the client leaves, or until the server stops and the drain is over.
pub(super) async fn serve<D: Desk>(ground: Ground<D>, socket: TcpStream, peer: SocketAddr) {
    let Ok(kill) = KillSwitch::new(&socket).inspect_err(|err| debug!("a socket could not be doubled: {err}")) else { return };
    let signs = Signs {
        logged_in: CancellationToken::new(),
        shutdown: ground.shutdown.clone(),
        cut: kill.cut_sign().clone(),
        sessions: TaskTracker::new(),
        tasks: ground.tasks.clone(),
    };
    match login(&ground, socket, peer, &signs).await {
        Ok(running) => {
            stay(&ground, running, &signs, &kill).await;
            kill.cut();
            // The desk may have to finish what must not be torn, such as a switch.
            signs.sessions.close();
            signs.sessions.wait().await;
        }
        Err(NoLogin::TooLate) => debug!("an ssh client did not log in in time"),
        Err(NoLogin::Stopping) => debug!("an ssh client was logging in when the server stopped"),
        Err(NoLogin::Failed(err)) => debug!("an ssh client did not log in: {err}"),
    }
}

/// Gives the client a seat and a deadline to prove its key. Dropping the kill switch ends those who fail.
async fn login<D: Desk>(
    ground: &Ground<D>,
    socket: TcpStream,
    peer: SocketAddr,
    signs: &Signs,
) -> Result<RunningSession<Client<D>>, NoLogin> {
    let proven = async {
        let _seat = ground.admission.admit(peer.ip()).await.ok_or(NoLogin::TooLate)?;
        timeout(ground.login_deadline, prove(ground, socket, peer, signs)).await.map_err(|_| NoLogin::TooLate)?
    };
    ground.shutdown.run_until_cancelled(proven).await.unwrap_or(Err(NoLogin::Stopping))
}

async fn prove<D: Desk>(
    ground: &Ground<D>,
    socket: TcpStream,
    peer: SocketAddr,
    signs: &Signs,
) -> Result<RunningSession<Client<D>>, NoLogin> {
    let _ = socket.set_nodelay(ground.config.nodelay);
    let client = Client::new(ground.desk.clone(), peer, signs.clone());
    let mut running = run_stream(Arc::clone(&ground.config), Eager(socket), client).await.map_err(NoLogin::Failed)?;
    tokio::select! {
        biased;
        () = signs.logged_in.cancelled() => Ok(running),
        ended = &mut running => Err(NoLogin::Failed(ended.err().unwrap_or(Error::Disconnect))),
    }
}

/// Waits for the end: the client's, or the server's with its drain.
async fn stay<D: Desk>(ground: &Ground<D>, mut running: RunningSession<Client<D>>, signs: &Signs, kill: &KillSwitch) {
    let handle = running.handle();
    tokio::select! {
        ended = &mut running => return debug!("an ssh connection ended: {ended:?}"),
        () = ground.shutdown.cancelled() => {}
    }
    // A client leaves by itself after its last session. Told to disconnect, OpenSSH would throw that session's output away.
    let patience = if signs.sessions.is_empty() { GOODBYE } else { ground.drain };
    if timeout(patience, &mut running).await.is_ok() {
        return;
    }
    let told = async {
        let _ = handle.disconnect(Disconnect::ByApplication, "mini is restarting".into(), String::new()).await;
        (&mut running).await
    };
    if timeout(GOODBYE, told).await.is_ok() {
        return;
    }
    debug!("an ssh connection was cut: the server stops");
    kill.cut();
    let _ = timeout(GOODBYE, &mut running).await;
}
