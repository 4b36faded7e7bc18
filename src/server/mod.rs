//! Bind every socket first, recover, serve, drain in order.

mod access_file;
mod holder;
mod listen;
mod restore;
mod routes_file;
mod setup;
mod standalone;
mod stop;

use std::time::Duration;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::api;
use crate::care;
use crate::command::{Look, render_error};
use crate::config::{DataDir, ServerArgs, Settings};
use crate::error::{Error, Result};
use crate::model::limits::SHUTDOWN_GRACE;
use crate::proxy::{Proxy, TrustedProxies, serve_metrics};
use crate::route::Doorway;
use crate::socket;
use crate::ssh;
use crate::ssh::SshServer;

pub use restore::main as restore_main;
pub use standalone::main as proxy_main;

/// Runs the server: SSH, HTTP and a private socket, until SIGTERM or SIGINT
#[derive(Parser)]
#[command(name = "mini server", version, term_width = 80, hide_possible_values = true, after_help = PRECEDENCE)]
struct Line {
    #[command(flatten)]
    args: ServerArgs,
}

/// Stands below the flags: a second paragraph above would give each of them three lines.
const PRECEDENCE: &str = "In the environment: MINI_ and the flag's name, as MINI_DATA=/srv/mini (the one
exception: MINI_ADMIN_KEYS_FILE; MINI_ADMIN_KEYS holds such lines themselves).
In the settings file: the long name, as build-time = \"20m\" (not data, settings).
A flag beats the environment, which beats the file.
MINI_LOG is what is logged to stderr: error, warn, info (the default) or debug.";

/// Runs `mini server` with its flags and returns the exit code: 0, 75 (locked) or 78 (set-up), 2 for wrong flags.
#[must_use]
pub fn main(words: &[String]) -> u8 {
    let line = match Line::try_parse_from(std::iter::once("mini server".to_owned()).chain(words.iter().cloned())) {
        Ok(line) => line,
        Err(err) => {
            // Help goes to stdout with code 0, wrong flags to stderr with code 2.
            let _ = err.print();
            return u8::try_from(err.exit_code()).unwrap_or(2);
        }
    };
    setup::start_logging();
    match run(&line.args) {
        Ok(()) => 0,
        Err(err) => {
            tracing::debug!(?err, "the server could not run");
            eprint!("{}", render_error(&err, &Look::default()));
            err.exit_code()
        }
    }
}

fn run(args: &ServerArgs) -> Result<()> {
    #[cfg(feature = "failpoints")]
    crate::failpoint::arm()?;
    let settings = Settings::resolve(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::setup("the runtime could not start").because(err))?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<()> {
    let data = DataDir::open(&settings.data)?;
    let host_key = ssh::HostKey::load_or_make(&data.path().join("host_key"))?;
    setup::publish(&data, &host_key)?;
    let mut inherited = listen::Inherited::from_env();
    let ssh_listener = inherited.take_or_bind("ssh", &settings.ssh)?;
    let http_listener = inherited.take_or_bind("http", &settings.http)?;
    let https = settings.https.as_ref().map(|https| inherited.take_or_try("https", https)).transpose()?.flatten();
    let metrics = settings.metrics.as_ref().map(|listen| inherited.take_or_bind("metrics", listen)).transpose()?;
    let private = socket::bind(&data.path().join("mini.sock"))?;
    let addresses = setup::Addresses {
        ssh: listen::address_of(&ssh_listener)?,
        http: listen::address_of(&http_listener)?,
        https: https.as_ref().map(listen::address_of).transpose()?,
        metrics: metrics.as_ref().map(listen::address_of).transpose()?,
    };

    let mut signals = stop::Signals::listen()?;
    let rooms = setup::open(settings, &data, &addresses, &host_key).await?;
    let store = rooms.deployer.rooms().store.clone();
    rooms.deployer.restore_routes().await?;

    let tasks = TaskTracker::new();
    let (doors, edge) = (CancellationToken::new(), CancellationToken::new());
    let (doorway, arrivals) = Doorway::new();
    // Apps are served before anything is repaired, which takes its time, or asks the engine, which may hang.
    let mut proxy = Proxy::new(rooms.routes.clone())
        .with_api(doorway)
        .with_connections_per_address(rooms.deployer.rooms().settings.connections_per_address)
        .with_trusted(TrustedProxies::new(&rooms.deployer.rooms().settings.trusted_proxies));
    if let Some(https) = https {
        proxy = proxy.with_https(https)?;
    }
    // What is told of the last requests is kept, too.
    let served = CancellationToken::new();
    let told = care::keep_requests(rooms.deployer.rooms().logs.clone(), rooms.routes.access().read(), served.clone());
    tasks.spawn(told);
    let (proxy, ended) = (proxy.serve(http_listener, edge.clone()), served.drop_guard());
    let mut proxy = tasks.spawn(async move {
        let _ended = ended;
        proxy.await
    });
    if let Some(listener) = metrics {
        tasks.spawn(serve_metrics(rooms.routes.clone(), listener, edge.clone()));
    }
    rooms.deployer.restore().await?;
    setup::guard(&rooms).await;
    setup::announce(&rooms, &addresses, &host_key).await?;
    let ssh_server = SshServer::new(rooms.platform.clone(), host_key);
    let pushes = tasks.spawn(ssh_server.serve(ssh_listener, doors.clone(), SHUTDOWN_GRACE));
    let sessions = tasks.spawn(socket::serve(private, rooms.platform.clone(), doors.clone(), SHUTDOWN_GRACE));
    let calls = tasks.spawn(api::serve(arrivals, rooms.platform.clone(), doors.clone(), SHUTDOWN_GRACE));
    tasks.spawn(care::run(rooms.deployer.clone(), doors.clone()));
    tasks.close();
    setup::say("ready");

    let signal = tokio::select! {
        signal = signals.next() => signal,
        served = &mut proxy => return served.map_err(|err| Error::failed("the proxy has failed").because(err))?,
    };
    info!(signal, "stopping");
    let orderly = async {
        // The proxy goes on while pushes and sessions end: apps are reachable as long as anything can be.
        doors.cancel();
        rooms.deployer.stop("mini is restarting: push again");
        let _ = tokio::join!(pushes, sessions, calls);
        rooms.deployer.settle(SHUTDOWN_GRACE).await;
        edge.cancel();
        tasks.wait().await;
        if let Err(err) = store.come_to_rest().await {
            tracing::warn!(?err, "the database's journal is left to the next start");
        }
    };
    tokio::select! {
        () = orderly => info!("stopped"),
        again = signals.next() => info!(signal = again, "stopped at once"),
        () = tokio::time::sleep(STOP_DEADLINE) => info!("stopped with tasks left"),
    }
    Ok(())
}

/// The end of patience: doors, builds, the proxy's requests and those that came while these ended each have [`SHUTDOWN_GRACE`].
const STOP_DEADLINE: Duration = Duration::from_secs(25);
