//! Every word that the server understands; clap and serde derive from the one enum.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::assignment::Assignment;
use super::limit::Limit;
use super::plain_words::{OnOff, one_line, only_the_input, only_the_output};
use super::scaling::Scaling;
use super::selection::{LogSource, Since};
use crate::model::{
    AppName, CommitId, ConfigName, DeployId, Domain, ImageRef, KeyName, Lifetime, ProcessName, RegistryHost, Role, Storage, StorageName,
    Version,
};

const APP_OPTIONS: &str = "Of the app:
  deploy-branch=main|master    host-ports=5432,6379    overlap=on|off
  health=http|none    health-path=/healthz    health-timeout=90
Of the proxy before it, at once and without a release:
  https=redirect|off    hsts=31536000|off    www=add|remove|off
  basic-auth=USER:- with the password in the input, USER:off, or off
  allow=10.0.0.0/8,203.0.113.9|any    deny=203.0.113.0/24|none
  body-limit=10MiB|off    first-byte=30|off    protocol=http1|h2c";

/// A command of the server. No variant holds a path: files are opened by the client, every other door takes `-`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(about = "git push mini main, get a URL")]
pub enum Command {
    /// List the apps you can see
    #[command(name = "apps")]
    Apps,
    /// Create an app without deploying it
    #[command(name = "apps:create")]
    AppsCreate {
        /// Name of the app; left out, a friendly one is made up
        app: Option<AppName>,
    },
    /// Show an app
    #[command(name = "apps:info")]
    AppsInfo { app: AppName },
    /// Set an app's options: deploy-branch, health, https, basic-auth, allow…
    #[command(name = "apps:set", after_help = APP_OPTIONS)]
    AppsSet {
        app: AppName,
        /// What to set, as KEY=VALUE
        #[arg(required = true, value_name = "KEY=VALUE")]
        options: Vec<String>,
    },
    /// Let an app reach another one by its name, on any port
    #[command(name = "apps:link", after_help = "As in apps:link blog db: the host `db` is then what blog connects to.")]
    AppsLink {
        app: AppName,
        /// The app that is reached
        target: AppName,
    },
    /// End that an app reaches another one
    #[command(name = "apps:unlink")]
    AppsUnlink {
        app: AppName,
        /// The app that was reached
        target: AppName,
    },
    /// Destroy an app with its releases, config, logs, repository and storage
    #[command(name = "apps:destroy")]
    AppsDestroy {
        app: AppName,
        /// The app's name once more, to show that you mean it
        #[arg(long, value_name = "APP")]
        confirm: Option<AppName>,
    },
    /// Show an app's processes
    #[command(name = "ps")]
    Ps { app: AppName },
    /// Set how many processes of each type run; without a type, show it
    #[command(name = "ps:scale", after_help = "Types other than web come from the Procfile and start at 0.")]
    PsScale {
        app: AppName,
        /// As TYPE=NUMBER, TYPE+NUMBER or TYPE-NUMBER: web=2, worker+1
        #[arg(value_name = "TYPE=NUMBER")]
        scalings: Vec<Scaling>,
    },
    /// Put new processes in the place of those that run
    #[command(name = "ps:restart")]
    PsRestart {
        app: AppName,
        /// Which: web, worker.1; left out, all of them
        process: Option<ProcessName>,
    },
    /// Stop an app; its requests are answered with 503
    #[command(name = "ps:stop")]
    PsStop { app: AppName },
    /// Start a stopped app
    #[command(name = "ps:start")]
    PsStart { app: AppName },
    /// Show what the containers of an app may use
    #[command(name = "limits")]
    Limits { app: AppName },
    /// Limit what each container of an app may use, and restart it
    #[command(name = "limits:set")]
    LimitsSet {
        app: AppName,
        /// As memory=512m, cpus=0.5 or memory=none
        #[arg(required = true, value_name = "KEY=VALUE")]
        limits: Vec<Limit>,
    },
    /// List an app's domains
    #[command(name = "domains")]
    Domains { app: AppName },
    /// Let an app answer at domains of your own
    #[command(name = "domains:add", after_help = "Where a domain is kept, it has to point to this machine; what is printed says how.")]
    DomainsAdd {
        app: AppName,
        /// A name such as www.example.com
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<Domain>,
    },
    /// End that an app answers at domains
    #[command(name = "domains:remove")]
    DomainsRemove {
        app: AppName,
        /// One that it has
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<Domain>,
    },
    /// List the certificates of an app's domains, for HTTPS
    #[command(name = "certs")]
    Certs { app: AppName },
    /// Serve a domain with a certificate of your own
    #[command(name = "certs:add", after_help = "As in: cat chain.pem key.pem | ssh mini certs:add APP DOMAIN -")]
    CertsAdd {
        app: AppName,
        /// A domain of the app
        domain: Domain,
        /// The certificate, its chain and its key in PEM; piped in: `-`, or nothing
        #[arg(value_name = "-", value_parser = only_the_input)]
        input: Option<String>,
    },
    /// Forget a certificate that was added
    #[command(name = "certs:remove")]
    CertsRemove {
        app: AppName,
        /// Its domain
        domain: Domain,
    },
    /// Set whether mini gets certificates for an app's domains by itself
    #[command(name = "certs:auto", after_help = "It does unless you say no. What it has got is kept until it ends.")]
    CertsAuto {
        app: AppName,
        /// Whether it does
        #[arg(value_name = "on|off")]
        switch: OnOff,
    },
    /// List an app's storage: what it keeps over its releases
    #[command(name = "storage")]
    Storage { app: AppName },
    /// Give an app storage that outlives its containers, and restart it with that
    #[command(
        name = "storage:add",
        after_help = "All processes of the app share it. While it has storage, a release ends before the next one starts."
    )]
    StorageAdd {
        app: AppName,
        /// A name, and where containers see it, as `data:/srv/data`
        #[arg(value_name = "NAME:/path")]
        storage: Storage,
    },
    /// Take storage from an app, and restart it without; what is in it is kept
    #[command(name = "storage:remove")]
    StorageRemove {
        app: AppName,
        /// Its name
        name: StorageName,
        /// Delete what is in it
        #[arg(long)]
        delete: bool,
        /// The storage's name once more, to show that you mean to delete it
        #[arg(long, value_name = "NAME", requires = "delete")]
        confirm: Option<StorageName>,
    },
    /// Show an app's logs
    #[command(name = "logs")]
    Logs {
        app: AppName,
        /// Go on with new lines until you leave
        #[arg(short = 'f', long, visible_short_alias = 't', visible_alias = "tail")]
        follow: bool,
        /// How many lines to start with
        #[arg(short = 'n', long = "num", value_name = "LINES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        lines: u32,
        /// Only the lines of a process: web, web.1, run.3
        #[arg(short = 'p', long, value_name = "PROCESS")]
        process: Option<ProcessName>,
        /// Only the lines of a source: app, build, release, router, mini
        #[arg(short = 's', long, value_name = "SOURCE")]
        source: Option<LogSource>,
        /// Only lines since then: 90s, 30m, 1h, 2d ago, or 2026-01-31T12:00:00Z
        #[arg(long, value_name = "WHEN")]
        since: Option<Since>,
    },
    /// Show how the requests of the last minute went: all apps you can see, or one
    #[command(name = "top", after_help = "P50 and P99: half of the answers began within this, and 99 of 100.")]
    Top {
        /// Name of the app; left out, all of them
        app: Option<AppName>,
    },
    /// Run a program once, with the image and config of what is live
    #[command(name = "run")]
    Run {
        app: AppName,
        /// Start it and leave; what it prints goes to the app's logs
        #[arg(short = 'd', long)]
        detach: bool,
        /// A variable for its environment, besides the app's config
        #[arg(short = 'e', long = "env", value_name = "KEY=VALUE")]
        env: Vec<Assignment>,
        /// The program with its arguments, best behind --
        #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
        program: Vec<String>,
    },
    /// Start a shell, or a program, beside a process of the app that runs
    #[command(name = "enter")]
    Enter {
        app: AppName,
        /// Which process; left out, the one that serves
        process: Option<ProcessName>,
        /// The program with its arguments, behind --; left out, a shell
        #[arg(last = true, value_name = "PROGRAM")]
        program: Vec<String>,
    },
    /// List an app's config variables (values are masked)
    #[command(name = "config")]
    Config {
        app: AppName,
        /// Show the values
        #[arg(long)]
        show: bool,
    },
    /// Print the value of one config variable
    #[command(name = "config:get")]
    ConfigGet {
        app: AppName,
        /// Name of the variable
        #[arg(value_name = "KEY")]
        name: ConfigName,
    },
    /// Set config variables and release the app with them
    #[command(name = "config:set")]
    ConfigSet {
        app: AppName,
        /// What to set; KEY=- reads the value from the input, so that it stands in no history
        #[arg(required = true, value_name = "KEY=VALUE")]
        assignments: Vec<Assignment>,
        /// Only save them: the next release or restart has them
        #[arg(long)]
        no_restart: bool,
    },
    /// Remove config variables and release the app without them
    #[command(name = "config:unset")]
    ConfigUnset {
        app: AppName,
        /// Names of the variables
        #[arg(required = true, value_name = "KEY")]
        names: Vec<ConfigName>,
        /// Only save that: the next release or restart is without them
        #[arg(long)]
        no_restart: bool,
    },
    /// List an app's releases
    #[command(name = "releases")]
    Releases {
        app: AppName,
        /// How many to list, newest first
        #[arg(short = 'n', long = "num", value_name = "RELEASES", default_value_t = 20)]
        lines: u32,
    },
    /// Show one release
    #[command(name = "releases:info")]
    ReleasesInfo {
        app: AppName,
        /// Which one, as v12
        version: Version,
    },
    /// Print what the deploy said that made a release, a failed one too
    #[command(name = "releases:output")]
    ReleasesOutput {
        app: AppName,
        /// Which one, as v12
        version: Version,
    },
    /// Show how an app is built and run: its processes, its Dockerfile; builds nothing
    #[command(name = "explain")]
    Explain { app: AppName },
    /// List an app's builds and other deploys, under way and ended
    #[command(name = "builds")]
    Builds {
        app: AppName,
        /// How many to list, newest first
        #[arg(short = 'n', long = "num", value_name = "BUILDS", default_value_t = 20)]
        lines: u32,
    },
    /// Print what a build said, a failed one too
    #[command(name = "builds:output")]
    BuildsOutput {
        /// Its number in `builds`
        #[arg(value_name = "ID")]
        build: DeployId,
        /// Go on with what it says until it ends; its end is the exit code
        #[arg(short = 'f', long)]
        follow: bool,
    },
    /// Cancel a build or another deploy that has not begun its switch
    #[command(name = "builds:cancel")]
    BuildsCancel {
        /// Its number in `builds`
        #[arg(value_name = "ID")]
        build: DeployId,
    },
    /// Release an earlier release's image and config again
    #[command(name = "rollback")]
    Rollback {
        app: AppName,
        /// Which one, as v12; left out, the one that was live before this one
        version: Option<Version>,
    },
    /// Build and release the current commit again
    #[command(name = "rebuild")]
    Rebuild {
        app: AppName,
        /// Build every step anew
        #[arg(long)]
        no_cache: bool,
    },
    /// Deploy a source that is piped in, or an image
    #[command(name = "deploy", after_help = "Deploy the folder you are in: tar -cz . | ssh mini deploy APP -")]
    Deploy {
        app: AppName,
        /// A tar or tar.gz of the source; it is piped in: `-`, or nothing
        #[arg(value_name = "-", value_parser = only_the_input, conflicts_with = "image")]
        input: Option<String>,
        /// Release an image instead; one that is not on the server is pulled
        #[arg(long, value_name = "IMAGE")]
        image: Option<ImageRef>,
        /// What to show in the list of releases
        #[arg(short = 'm', long, value_name = "TEXT", value_parser = one_line)]
        message: Option<String>,
        /// Build every step anew
        #[arg(long, conflicts_with = "image")]
        no_cache: bool,
        /// The commit that the source is, if the app's repository has it
        #[arg(long, value_name = "ID", conflicts_with = "image")]
        commit: Option<CommitId>,
    },
    /// List the registries that mini has a login for
    #[command(name = "registry")]
    Registry,
    /// Log in at a registry, to pull private images
    #[command(name = "registry:login")]
    RegistryLogin {
        /// Address of the registry, as registry.example.com:5000 or docker.io
        #[arg(value_name = "HOST")]
        host: RegistryHost,
        /// Name of the user there
        #[arg(value_name = "USERNAME", value_parser = one_line)]
        username: String,
        /// The password or token; it is piped in: `-`, or nothing
        #[arg(value_name = "-", value_parser = only_the_input)]
        input: Option<String>,
    },
    /// Forget the login at a registry
    #[command(name = "registry:logout")]
    RegistryLogout {
        /// Address of the registry
        #[arg(value_name = "HOST")]
        host: RegistryHost,
    },
    /// List the SSH keys that may log in
    #[command(name = "keys")]
    Keys,
    /// Let an SSH public key log in
    #[command(name = "keys:add")]
    KeysAdd {
        /// Name for the key; left out, its comment is used
        name: Option<KeyName>,
        /// The public key; over ssh it is piped in: `-`, or nothing
        #[arg(value_name = "FILE|-", value_parser = only_the_input)]
        input: Option<String>,
        /// What the key may do: admin, deploy or view
        #[arg(long, default_value_t = Role::Deploy)]
        role: Role,
        /// An app that the key reaches; left out, all of them
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<AppName>,
    },
    /// Take a key's access away
    #[command(name = "keys:remove")]
    KeysRemove {
        /// Its name or SHA256:… fingerprint
        key: String,
    },
    /// List the API keys
    #[command(name = "tokens")]
    Tokens,
    /// Make an API key for the HTTP API; it is shown once
    #[command(name = "tokens:create")]
    TokensCreate {
        /// Name for the API key
        name: KeyName,
        /// What the API key may do: admin, deploy or view
        #[arg(long, default_value_t = Role::Deploy)]
        role: Role,
        /// An app that the API key reaches; left out, all of them
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<AppName>,
        /// How long it is good for, as 90d, 12h or 30m; left out, until it is revoked
        #[arg(long, value_name = "TIME")]
        expires: Option<Lifetime>,
    },
    /// Take an API key's access away, from what it has running too
    #[command(name = "tokens:revoke")]
    TokensRevoke {
        /// Its name or id
        token: String,
    },
    /// Back up all but images and storage: database, keys, repositories, logs, settings
    #[command(name = "backup", after_help = "With the client: mini backup FILE, and --force to replace a file that is there.")]
    Backup {
        /// The server writes to its output alone, `-`; `mini backup FILE` writes FILE
        #[arg(value_name = "FILE|-", value_parser = only_the_output)]
        output: Option<String>,
        /// Leave out the key that opens config values, for a copy kept elsewhere
        #[arg(long)]
        without_key: bool,
    },
    /// Show who you are to this server
    #[command(name = "whoami")]
    Whoami,
    /// Show how the server is
    #[command(name = "status")]
    Status,
    /// Check the server and say what mends what is wrong
    #[command(name = "doctor")]
    Doctor,
    /// Make room on the server, without touching what releases need
    #[command(name = "prune")]
    Prune {
        /// Keep only the image that is live of each app, and nothing of the build cache
        #[arg(long)]
        all: bool,
    },
    /// Show the server's version
    #[command(name = "version")]
    Version,
}

// === impl Command ===

impl Command {
    /// The words that may read an input; whether a command does is for [`Command::reads_input`] to say.
    const READERS: &[&str] = &["apps:set", "certs:add", "config:set", "deploy", "enter", "keys:add", "registry:login", "run"];

    /// Tells whether commands of this word may read an input, whatever their arguments are.
    #[must_use]
    pub fn may_read_input(word: &str) -> bool {
        Self::READERS.contains(&word)
    }

    /// Tells whether the reply goes on until its reader leaves, or what it follows has ended.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        matches!(self, Command::Logs { follow: true, .. } | Command::BuildsOutput { follow: true, .. })
    }

    /// Tells whether the command reads the session's input.
    #[must_use]
    pub fn reads_input(&self) -> bool {
        match self {
            Command::CertsAdd { .. } | Command::KeysAdd { .. } | Command::RegistryLogin { .. } => true,
            Command::Deploy { image, .. } => image.is_none(),
            Command::AppsSet { options, .. } => options.iter().any(|option| option.starts_with("basic-auth=") && option.ends_with(":-")),
            Command::ConfigSet { assignments, .. } => assignments.iter().any(Assignment::is_from_input),
            _ => self.takes_terminal(),
        }
    }

    /// Tells whether the command joins its caller with a program: what is typed and printed are the program's own.
    #[must_use]
    pub fn takes_terminal(&self) -> bool {
        matches!(self, Command::Run { detach: false, .. } | Command::Enter { .. })
    }

    /// Tells whether the reply is bytes as they are, which want pipes to the caller.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.takes_terminal() || matches!(self, Command::Backup { .. })
    }
}
