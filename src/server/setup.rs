//! Opens the rooms in order and says what a person needs to know at start.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::config::{DataDir, Settings, is_root};
use crate::deploy::{Deployer, Rooms as DeployRooms};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::firewall::Firewall;
use crate::git::Git;
use crate::logs::Logs;
use crate::model::PublicKey;
use crate::platform::{Platform, ServerFacts};
use crate::route::Routes;
use crate::ssh::HostKey;
use crate::store::{Admission, Store};

/// Where the server really listens.
pub struct Addresses {
    pub ssh: SocketAddr,
    pub http: SocketAddr,
    /// Where TLS is spoken, if it is.
    pub https: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
}

/// What the server runs on.
pub struct Rooms {
    pub deployer: Deployer,
    pub platform: Platform,
    pub routes: Routes,
    pub firewall: Option<Firewall>,
}

/// Starts logging to stderr; `MINI_LOG` sets the level or a filter, `info` without it.
pub fn start_logging() {
    let asked = std::env::var("MINI_LOG").unwrap_or_else(|_| "info".to_owned());
    // bollard logs the bodies of its requests, and those hold config values; russh tells about every stranger.
    let filter = EnvFilter::try_new(format!("{asked},bollard=info,hyper=info,h2=info,russh=error"))
        .unwrap_or_else(|_| EnvFilter::new("info,russh=error"));
    let started = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).try_init();
    debug_assert!(started.is_ok(), "logging is started once");
}

/// Says a line on stdout; a reader that has gone is no reason to stop serving.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Writes the public half of the host key beside it, for whoever wants to pin it.
pub fn publish(data: &DataDir, host_key: &HostKey) -> Result<()> {
    let path = data.path().join("host_key.pub");
    let line = format!("{}\n", host_key.public_line());
    // On a full disk, cutting the file to write the same again would lose it.
    if std::fs::read_to_string(&path).is_ok_and(|there| there == line) {
        return Ok(());
    }
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(|err| Error::setup(format!("{} cannot be written: {err}", path.display())))
}

pub async fn open(settings: Settings, data: &DataDir, addresses: &Addresses, host_key: &HostKey) -> Result<Rooms> {
    // Side by side: the database is checked while git is asked for its version.
    let (store, git, logs) = tokio::try_join!(opened(data, Store::open), opened(data, Git::open), opened(data, Logs::open))?;
    store.stay_open();
    let engine = Engine::with_bridges(store.instance().clone(), settings.engine.clone(), settings.bridges.clone());
    let domain = settings.domain.as_deref().map(str::parse).transpose()?;
    let routes = Routes::new(domain.as_ref())?;
    let ports = std::iter::once(addresses.http).chain(addresses.https).map(|address| address.port());
    let firewall = Firewall::of(&settings, ports.collect());
    let facts = ServerFacts {
        ssh: addresses.ssh,
        http: addresses.http,
        host_key: host_key.fingerprint().to_string(),
        host_key_line: host_key.public_line(),
        firewall: firewall.clone(),
    };
    let rooms = DeployRooms {
        settings,
        store,
        engine,
        git,
        routes: routes.clone(),
        logs,
        http_port: addresses.http.port(),
        https_port: addresses.https.map(|address| address.port()),
    };
    let deployer = Deployer::new(rooms);
    let platform = Platform::new(deployer.clone(), facts);
    Ok(Rooms { deployer, platform, routes, firewall })
}

async fn opened<T: Send + 'static>(data: &DataDir, open: fn(&Path) -> Result<T>) -> Result<T> {
    let path = data.path().to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&path)).await;
    opened.map_err(|err| Error::setup("the data dir could not be opened").because(err))?
}

/// Keeps apps off this machine's ports as root, else looks whether root has; without it the server runs on, and says so.
pub async fn guard(rooms: &Rooms) {
    let Some(firewall) = &rooms.firewall else { return };
    let guarded = async {
        // A crash may have come between the database and the file.
        firewall.open(&rooms.deployer.rooms().store.host_ports().await?)?;
        if is_root() { firewall.apply().await.map(drop) } else { firewall.check().await.map(drop) }
    };
    if let Err(err) = guarded.await {
        let err = if err.next_step().is_none() { err.hint(format!("as root: {}", firewall.command())) } else { err };
        warn(&err, "apps may reach this machine's own ports");
    }
}

/// Says where the server listens, by which key it is known, who may come in and what is missing.
pub async fn announce(rooms: &Rooms, addresses: &Addresses, host_key: &HostKey) -> Result<()> {
    let deploy = rooms.deployer.rooms();
    say(&format!("mini {}", env!("CARGO_PKG_VERSION")));
    say(&format!("  ssh       {}", addresses.ssh));
    say(&format!("  http      {}", addresses.http));
    if let Some(https) = addresses.https {
        say(&format!("  https     {https}"));
    }
    if let Some(metrics) = addresses.metrics {
        say(&format!("  metrics   {metrics}"));
    }
    say(&format!("  host key  {}", host_key.fingerprint()));
    say(&format!("  data      {}", deploy.settings.data.display()));
    admit_admins(&deploy.store, &deploy.settings).await?;
    if deploy.store.keys().await?.is_empty() {
        say("no keys yet: let yourself in with `mini keys add anna ~/.ssh/id_ed25519.pub --role admin`");
    }
    if let Err(err) = deploy.engine.check().await {
        warn(&err, "apps cannot be built or started until it does");
    }
    if let Err(err) = deploy.git.ready().await {
        warn(&err, "pushes are refused");
    }
    Ok(())
}

/// Says what is missing and what that means; the server runs on.
pub fn warn(err: &Error, meaning: &str) {
    say(&format!("warning: {err}: {meaning}"));
    if let Some(hint) = err.next_step() {
        say(&format!("         {hint}"));
    }
    tracing::warn!(?err, "{meaning}");
}

/// Lets in the keys of `--admin-keys FILE` and of `MINI_ADMIN_KEYS`, one `authorized_keys` line each.
async fn admit_admins(store: &Store, settings: &Settings) -> Result<()> {
    let mut sources = Vec::new();
    if let Some(path) = &settings.admin_keys {
        let text =
            std::fs::read_to_string(path).map_err(|err| Error::setup(format!("--admin-keys {} cannot be read: {err}", path.display())))?;
        sources.push((format!("--admin-keys {}", path.display()), text));
    }
    if let Ok(text) = std::env::var("MINI_ADMIN_KEYS") {
        sources.push(("MINI_ADMIN_KEYS".to_owned(), text));
    }
    for (source, text) in sources {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |err: Error| Error::setup(format!("{source}, line {}: {err}", number + 1)).maybe_hint(err.next_step());
            let key = PublicKey::parse(line).map_err(wrong)?;
            match store.admit_admin_key(key.clone()).await {
                Ok(Admission::Added(name)) => say(&format!("admin `{name}` let in by {source}")),
                Ok(Admission::Present) => {}
                Ok(Admission::Removed) => say(&format!("{} of {source} was removed with keys:remove and stays out", key.fingerprint())),
                // The apps and whoever is known already are served from a full disk too.
                Err(err) if err.kind() == Kind::Unavailable => {
                    warn(&err, &format!("{} of {source} is not let in before the next start", key.fingerprint()));
                }
                Err(err) => return Err(err),
            }
        }
    }
    Ok(())
}
