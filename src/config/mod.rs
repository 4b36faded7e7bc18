//! Settings: the server's by flag, then environment, then file, then default; and the files of those who use it.

mod acme;
mod data_dir;
mod folders;
mod host_url;
mod hosts;
mod listen;
mod new_data_dir;
mod private_address;
mod private_file;
mod size;
mod span;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::model::{AddressRange, BridgePrefix, limits};

pub use acme::AcmeSettings;
pub use data_dir::{DataDir, default_data_dir, is_root};
pub use folders::Folders;
pub use host_url::{HostUrl, HttpAddress, SshAddress};
pub use hosts::{Hosts, KnownHost};
pub use listen::{Https, Listen};
pub use new_data_dir::NewDataDir;
pub use private_address::parse_private;
pub use size::Size;
pub use span::Span;

// Help texts are for a terminal: no backticks in them.
#[allow(clippy::doc_markdown)]
/// The flags of `mini server`. Each may also stand in the settings file, by its long name.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ServerArgs {
    /// Where everything is kept; default: /var/lib/mini as root, $XDG_DATA_HOME/mini else
    #[arg(long, value_name = "DIR", env = "MINI_DATA", hide_env = true)]
    #[serde(skip)]
    pub data: Option<PathBuf>,
    /// Settings file; default: mini.toml in the data dir
    #[arg(long, value_name = "FILE", env = "MINI_SETTINGS", hide_env = true)]
    #[serde(skip)]
    pub settings: Option<PathBuf>,
    /// Where git push arrives, as 127.0.0.1:2222 or :2222; default: :2222. Port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "MINI_SSH", hide_env = true)]
    pub ssh: Option<String>,
    /// Where apps are served; default: :80
    #[arg(long, value_name = "ADDR", env = "MINI_HTTP", hide_env = true)]
    pub http: Option<String>,
    /// Where apps are served over TLS, or off; default: :443 when HTTP is at port 80, else off
    #[arg(long, value_name = "ADDR", env = "MINI_HTTPS", hide_env = true)]
    pub https: Option<String>,
    /// Where Prometheus asks for /metrics; default: nowhere
    #[arg(long, value_name = "ADDR", env = "MINI_METRICS", hide_env = true)]
    pub metrics: Option<String>,
    /// Your domain: URLs are printed as APP.DOMAIN; default: localhost
    #[arg(long, value_name = "DOMAIN", env = "MINI_DOMAIN", hide_env = true)]
    pub domain: Option<String>,
    /// This machine, as the world sees it: without a domain, URLs are printed as APP.IP.nip.io
    #[arg(long, value_name = "IP", env = "MINI_PUBLIC_IP", hide_env = true)]
    pub public_ip: Option<Ipv4Addr>,
    /// File of authorized_keys lines, let in as admins
    #[arg(long, value_name = "FILE", env = "MINI_ADMIN_KEYS_FILE", hide_env = true)]
    pub admin_keys: Option<PathBuf>,
    /// Whether the first push to a free name creates the app: true or false; default: true
    #[arg(long, value_name = "BOOL", env = "MINI_CREATE_ON_PUSH", hide_env = true, action = clap::ArgAction::Set)]
    pub create_on_push: Option<bool>,
    /// Socket of the Docker Engine; default: $DOCKER_HOST, else /var/run/docker.sock
    #[arg(long, value_name = "SOCKET", env = "MINI_ENGINE", hide_env = true)]
    pub engine: Option<String>,
    /// Keep apps off this machine's ports: on or off (mini firewall --help); default: on
    #[arg(long, value_name = "SWITCH", env = "MINI_FIREWALL", hide_env = true)]
    pub firewall: Option<Switch>,
    /// How the bridges of app networks begin; servers that share a machine unawares of each other take different ones
    #[arg(long, value_name = "PREFIX", env = "MINI_BRIDGES", hide_env = true, hide = true)]
    pub bridges: Option<BridgePrefix>,
    /// Builds that run at once; default: 1
    #[arg(long, value_name = "N", env = "MINI_BUILDS", hide_env = true)]
    pub builds: Option<usize>,
    /// The longest build; default: 15m
    #[arg(long, value_name = "TIME", env = "MINI_BUILD_TIME", hide_env = true)]
    pub build_time: Option<Span>,
    /// The longest silence of a build; default: 5m
    #[arg(long, value_name = "TIME", env = "MINI_BUILD_SILENCE", hide_env = true)]
    pub build_silence: Option<Span>,
    /// How long an app may take to answer after its start; default: 60s
    #[arg(long, value_name = "TIME", env = "MINI_READY_TIME", hide_env = true)]
    pub ready_time: Option<Span>,
    /// A new release must answer once more after this; default: 250ms
    #[arg(long, value_name = "TIME", env = "MINI_READY_CONFIRM", hide_env = true)]
    pub ready_confirm: Option<Span>,
    /// How long old requests may take after a switch; default: 30s
    #[arg(long, value_name = "TIME", env = "MINI_DRAIN_TIME", hide_env = true)]
    pub drain_time: Option<Span>,
    /// How long an app may take to stop before it is killed; default: 30s
    #[arg(long, value_name = "TIME", env = "MINI_STOP_GRACE", hide_env = true)]
    pub stop_grace: Option<Span>,
    /// Distinct images that are kept for rollback; default: 5
    #[arg(long, value_name = "N", env = "MINI_KEEP_IMAGES", hide_env = true)]
    pub keep_images: Option<usize>,
    /// Nothing is built or pulled with less free disk space; default: 1GiB
    #[arg(long, value_name = "SIZE", env = "MINI_DISK_FLOOR", hide_env = true)]
    pub disk_floor: Option<Size>,
    /// Connections that one client address may have at once, an IPv6 address with its whole /64; 0: any number; default: 512
    #[arg(long, value_name = "N", env = "MINI_PER_ADDRESS", hide_env = true)]
    pub per_address: Option<usize>,
    /// Proxies before this one, as 10.0.0.0/8,2001:db8::1: what they say in X-Forwarded headers about their clients is believed
    #[arg(long, value_name = "IPS", env = "MINI_TRUSTED_PROXIES", hide_env = true, value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<AddressRange>>,
    /// How apps are reached: bridge (their own addresses), ports (published on 127.0.0.1) or auto; default: auto
    #[arg(long, value_name = "WAY", env = "MINI_REACH", hide_env = true)]
    pub reach: Option<ReachBy>,
    /// Order certificates for domains of apps: on or off; default: on
    #[arg(long, value_name = "SWITCH", env = "MINI_ACME", hide_env = true)]
    pub acme: Option<Switch>,
    /// Who certificates are ordered from, by ACME; default: Let's Encrypt
    #[arg(long, value_name = "URL", env = "MINI_ACME_DIRECTORY", hide_env = true)]
    pub acme_directory: Option<String>,
    /// Where who issues certificates may write to
    #[arg(long, value_name = "EMAIL", env = "MINI_ACME_CONTACT", hide_env = true)]
    pub acme_contact: Option<String>,
    /// Root certificate (PEM) by which an issuer of your own is known; default: this machine's roots
    #[arg(long, value_name = "FILE", env = "MINI_ACME_CA", hide_env = true)]
    pub acme_ca: Option<PathBuf>,
    /// The age at which a certificate is renewed; default: two thirds of its life
    #[arg(long, value_name = "TIME", env = "MINI_ACME_RENEW_AFTER", hide_env = true, hide = true)]
    pub acme_renew_after: Option<Span>,
    /// The least time between two orders; default: 1m
    #[arg(long, value_name = "TIME", env = "MINI_ACME_PAUSE", hide_env = true, hide = true)]
    pub acme_pause: Option<Span>,
}

/// How the server reaches containers; `auto` looks at the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReachBy {
    Auto,
    Bridge,
    Ports,
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    On,
    Off,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data: PathBuf,
    pub ssh: Listen,
    pub http: Listen,
    /// `None`: TLS is not spoken.
    pub https: Option<Https>,
    /// Where `/metrics` is.
    pub metrics: Option<Listen>,
    pub domain: Option<String>,
    pub public_ip: Option<Ipv4Addr>,
    pub admin_keys: Option<PathBuf>,
    pub create_on_push: bool,
    pub engine: PathBuf,
    /// Whether rules on this machine keep apps off its ports.
    pub firewall: bool,
    pub bridges: BridgePrefix,
    pub builds: usize,
    pub build_time: Duration,
    pub build_silence: Duration,
    pub ready_time: Duration,
    pub ready_confirm: Duration,
    pub drain_time: Duration,
    pub stop_grace: Duration,
    pub keep_images: usize,
    /// Bytes that must be free before anything is built or pulled.
    pub disk_floor: u64,
    /// Of one client address; zero: any number.
    pub connections_per_address: usize,
    /// Whose word on its clients the proxy takes.
    pub trusted_proxies: Vec<AddressRange>,
    pub reach: ReachBy,
    /// `None`: no certificate is ordered.
    pub acme: Option<AcmeSettings>,
}

// === impl Settings ===

impl Settings {
    /// Puts flags and environment over the file over the defaults.
    ///
    /// Errors are of kind `Setup` and name the setting.
    pub fn resolve(args: &ServerArgs) -> Result<Self> {
        let data = match &args.data {
            Some(dir) => std::path::absolute(dir).map_err(|err| Error::setup("the data dir has no absolute path").because(err))?,
            None => default_data_dir()?,
        };
        let file = read_file(args.settings.as_deref(), &data)?;
        let span = |flag: Option<Span>, file: Option<Span>, default| flag.or(file).map_or(default, |span| span.0);
        let domain = args.domain.clone().or(file.domain.clone());
        let http = Listen::parse("http", args.http.as_deref().or(file.http.as_deref()), listen::HTTP_PORT)?;
        Ok(Settings {
            acme: AcmeSettings::resolve(args, &file)?,
            ssh: Listen::parse("ssh", args.ssh.as_deref().or(file.ssh.as_deref()), 2222)?,
            https: Https::parse(args.https.as_deref().or(file.https.as_deref()), &http)?,
            http,
            metrics: args.metrics.as_deref().or(file.metrics.as_deref()).map(|text| parse_private("metrics", text)).transpose()?,
            domain: domain.as_deref().map(parse_domain).transpose()?,
            public_ip: args.public_ip.or(file.public_ip),
            admin_keys: args.admin_keys.clone().or(file.admin_keys),
            create_on_push: args.create_on_push.or(file.create_on_push).unwrap_or(true),
            engine: engine_socket(args.engine.clone().or(file.engine))?,
            firewall: args.firewall.or(file.firewall).unwrap_or(Switch::On) == Switch::On,
            bridges: args.bridges.clone().or(file.bridges).unwrap_or_default(),
            builds: at_least_one("builds", args.builds.or(file.builds).unwrap_or(limits::BUILDS_AT_ONCE))?,
            build_time: span(args.build_time, file.build_time, limits::BUILD_TIME),
            build_silence: span(args.build_silence, file.build_silence, limits::BUILD_SILENCE),
            ready_time: span(args.ready_time, file.ready_time, limits::READY_DEADLINE),
            ready_confirm: span(args.ready_confirm, file.ready_confirm, limits::READY_CONFIRM),
            drain_time: span(args.drain_time, file.drain_time, limits::DRAIN_DEADLINE),
            stop_grace: span(args.stop_grace, file.stop_grace, limits::STOP_GRACE),
            keep_images: at_least_one("keep-images", args.keep_images.or(file.keep_images).unwrap_or(limits::KEPT_IMAGES))?,
            disk_floor: args.disk_floor.or(file.disk_floor).map_or(limits::DISK_FLOOR_BYTES, |size| size.0),
            connections_per_address: args.per_address.or(file.per_address).unwrap_or(limits::CLIENT_CONNECTIONS_PER_ADDRESS),
            trusted_proxies: args.trusted_proxies.clone().or(file.trusted_proxies).unwrap_or_default(),
            reach: args.reach.or(file.reach).unwrap_or(ReachBy::Auto),
            data,
        })
    }

    /// Returns the URL under which an app is printed; `port` is where HTTP really listens.
    #[must_use]
    pub fn app_url(&self, app: &crate::model::AppName, port: u16) -> String {
        let host = match (&self.domain, self.public_ip) {
            (Some(domain), _) => format!("{app}.{domain}"),
            (None, Some(ip)) => format!("{app}.{ip}.nip.io"),
            (None, None) => format!("{app}.localhost"),
        };
        if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") }
    }

    /// Returns the name by which people reach this machine.
    #[must_use]
    pub fn public_host(&self) -> String {
        match (&self.domain, self.public_ip) {
            (Some(domain), _) => domain.clone(),
            (None, Some(ip)) => ip.to_string(),
            (None, None) => "localhost".into(),
        }
    }
}

fn read_file(named: Option<&Path>, data: &Path) -> Result<ServerArgs> {
    let path = named.map_or_else(|| data.join("mini.toml"), Path::to_path_buf);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(ServerArgs::default()),
        // Anything wrong with the data dir itself is told when it is opened.
        Err(_) if named.is_none() && !path.exists() => return Ok(ServerArgs::default()),
        Err(err) => return Err(Error::setup(format!("the settings file {} cannot be read: {err}", path.display()))),
    };
    toml::from_str(&text).map_err(|err| {
        let place = err.message().to_owned();
        Error::setup(format!("the settings file {} is wrong: {place}", path.display()))
            .hint("its keys are the long flags of `mini server --help`")
    })
}

fn at_least_one(name: &str, number: usize) -> Result<usize> {
    if number > 0 { Ok(number) } else { Err(Error::setup(format!("--{name} must be at least 1"))) }
}

fn parse_domain(domain: &str) -> Result<String> {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() <= 253 && domain.split('.').all(label) {
        Ok(domain)
    } else {
        Err(Error::setup(format!("--domain `{}` is not a domain", domain.escape_debug())).hint("for example: --domain apps.example.org"))
    }
}

fn engine_socket(given: Option<String>) -> Result<PathBuf> {
    let text = given.or_else(|| std::env::var("DOCKER_HOST").ok()).unwrap_or_else(|| "/var/run/docker.sock".into());
    let path = text.strip_prefix("unix://").unwrap_or(&text);
    if path.starts_with('/') {
        Ok(path.into())
    } else {
        Err(Error::setup(format!("the engine's socket `{}` is not a path", text.escape_debug()))
            .hint("mini speaks to the engine on this machine: unix:///var/run/docker.sock"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: ServerArgs, file: &str) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mini.toml"), file).unwrap();
        Settings::resolve(&ServerArgs { data: Some(dir.path().into()), ..args })
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let file = "http = \":8080\"\nbuilds = 3\nready-time = \"5s\"\ntrusted-proxies = [\"10.0.0.0/8\", \"::1\"]";

        let settings = settings(ServerArgs { builds: Some(2), ..ServerArgs::default() }, file).unwrap();

        assert_eq!(settings.builds, 2);
        assert_eq!(settings.http.0[0].port(), 8080);
        assert_eq!(settings.ready_time, Duration::from_secs(5));
        assert_eq!(settings.ssh.0[0].port(), 2222);
        assert_eq!(settings.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
    }

    #[test]
    fn wrong_settings_are_named_and_exit_78() {
        for file in [
            "nonsense = 1",
            "builds = 0",
            "ssh = \"here\"",
            "domain = \"a..b\"",
            "ready-time = \"soon\"",
            "engine = \"tcp://1.2.3.4\"",
            "firewall = \"maybe\"",
            "bridges = \"eth\"",
            "disk-floor = \"much\"",
            "reach = \"out\"",
            "trusted-proxies = [\"10.0.0.0/33\"]",
            "metrics = \":9090\"",
            "= =",
        ] {
            let err = settings(ServerArgs::default(), file).unwrap_err();
            assert_eq!(err.exit_code(), 78, "{file}: {err}");
        }
    }

    #[test]
    fn the_url_names_the_domain_then_the_address_then_localhost() {
        let app = "blog".parse().unwrap();
        let mut settings = settings(ServerArgs::default(), "").unwrap();

        assert_eq!(settings.app_url(&app, 8080), "http://blog.localhost:8080");
        settings.public_ip = Some(Ipv4Addr::new(203, 0, 113, 7));
        assert_eq!(settings.app_url(&app, 80), "http://blog.203.0.113.7.nip.io");
        settings.domain = Some("example.org".into());
        assert_eq!(settings.app_url(&app, 80), "http://blog.example.org");
    }
}
