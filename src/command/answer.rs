//! What value words answer: typed, so that JSON has a stable schema and text has one renderer.

use serde::{Deserialize, Serialize};

use crate::model::{
    AppName, CertificateSource, CommitId, ContainerId, DeployId, Domain, Fingerprint, ImageId, RegistryHost, ReleaseKind, ReleaseState,
    Role, Stage, Stamp, Storage, StorageName, Token, TokenId, Version,
};

/// The answer to a command that gives a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Apps(Vec<AppRow>),
    App(Box<AppDetails>),
    Processes(Vec<ProcessRow>),
    Formation(Vec<FormationRow>),
    Config(Vec<ConfigRow>),
    /// Names and what they are worth.
    Entries(Vec<Entry>),
    /// One value, printed as it is.
    Text(String),
    Plan(Box<Plan>),
    Releases(Vec<ReleaseRow>),
    Release(Box<ReleaseDetails>),
    Builds(Vec<BuildRow>),
    Keys(Vec<KeyRow>),
    Tokens(Vec<TokenRow>),
    NewToken(NewToken),
    Registries(Vec<RegistryRow>),
    Domains(Vec<DomainRow>),
    Certificates(Vec<CertificateRow>),
    Storage(Vec<StorageRow>),
    WhoAmI(WhoAmI),
    Status(Box<ServerStatus>),
    Pruned(Vec<PruneRow>),
    Top(Vec<TopRow>),
    Version(VersionInfo),
    Done(Done),
}

/// One outcome in one line, such as "Created app `blog`."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub message: String,
    /// The app that this is about, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// What one may want to do next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRow {
    pub name: AppName,
    pub release: Option<Version>,
    /// `live`, `crashed` or `no release yet`
    pub state: String,
    pub url: String,
    pub released_at: Option<Stamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppDetails {
    pub name: AppName,
    pub state: String,
    pub url: String,
    pub git: String,
    pub release: Option<Version>,
    pub commit: Option<CommitId>,
    pub deploy_branch: Option<String>,
    /// What shows that a release is ready: `GET /`; `none` for an app that answers no requests.
    #[serde(default)]
    pub health: String,
    /// Where it answers besides its own name.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// What the proxy does for it besides forwarding, as it was set.
    #[serde(default)]
    pub edge: Vec<Entry>,
    /// As `NAME:/path`.
    #[serde(default)]
    pub storage: Vec<Storage>,
    /// Apps that it reaches by their names.
    #[serde(default)]
    pub links: Vec<AppName>,
    /// Apps that reach it by its name.
    #[serde(default)]
    pub linked_from: Vec<AppName>,
    /// TCP ports of the machine that the app may reach.
    #[serde(default)]
    pub host_ports: Vec<u16>,
    pub image_bytes: Option<u64>,
    pub created_at: Stamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// `web.1`
    pub process: String,
    pub release: Version,
    pub state: String,
    pub since: Option<Stamp>,
    pub container: ContainerId,
    /// `address:port` inside the host
    pub address: String,
    pub restarts: u32,
}

/// A process type, and how many of it run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormationRow {
    /// `web`
    pub process: String,
    pub quantity: u32,
    /// What it runs; `None` is the image's own command.
    pub command: Option<String>,
}

/// How an app's live source is built and run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub app: AppName,
    pub release: Version,
    pub commit: Option<CommitId>,
    /// What was detected: `Dockerfile app`.
    pub description: String,
    /// Where the live release answers.
    pub port: Option<u16>,
    pub processes: Vec<FormationRow>,
    /// What runs before a release goes live.
    pub release_command: Option<String>,
    pub warnings: Vec<String>,
    /// As the engine would get it.
    pub dockerfile: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRow {
    pub name: String,
    /// `None` when masked
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRow {
    pub version: Version,
    pub kind: ReleaseKind,
    pub state: ReleaseState,
    pub commit: Option<CommitId>,
    pub description: String,
    pub by: String,
    pub created_at: Stamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All that is known of one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDetails {
    pub app: AppName,
    pub version: Version,
    pub kind: ReleaseKind,
    pub state: ReleaseState,
    pub commit: Option<CommitId>,
    pub image: ImageId,
    pub image_tag: String,
    /// The names of its config variables, never the values.
    pub config: Vec<String>,
    pub description: String,
    pub by: String,
    pub created_at: Stamp,
    pub live_at: Option<Stamp>,
    pub retired_at: Option<Stamp>,
    /// The deploy that made it, for `builds:output`.
    pub build: Option<DeployId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One deploy: a push, an upload, an image or a change, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRow {
    pub id: DeployId,
    pub kind: ReleaseKind,
    /// `waiting`, `building`, `built`, `starting`, `probing`, `stored`, `done` or `failed`
    pub state: String,
    /// Where it is, or in which stage it failed.
    pub stage: Stage,
    pub release: Option<Version>,
    pub commit: Option<CommitId>,
    pub by: String,
    pub started_at: Stamp,
    /// When its release was live, or it had failed.
    pub ended_at: Option<Stamp>,
    /// From its beginning to its end, or until now.
    pub took_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    pub name: String,
    pub role: Role,
    /// `None`: all apps
    pub apps: Option<Vec<AppName>>,
    pub fingerprint: Fingerprint,
    pub added_at: Stamp,
    pub last_used_at: Option<Stamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    pub name: String,
    pub id: TokenId,
    pub role: Role,
    /// `None`: all apps
    pub apps: Option<Vec<AppName>>,
    pub created_at: Stamp,
    pub created_by: String,
    pub expires_at: Option<Stamp>,
    pub last_used_at: Option<Stamp>,
}

/// A domain at which an app answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRow {
    pub domain: Domain,
    pub by: String,
    pub added_at: Stamp,
}

/// A domain of an app with the certificate that it is served with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    pub domain: Domain,
    /// `None`: there is none yet.
    pub source: Option<CertificateSource>,
    pub issuer: Option<String>,
    pub expires_at: Option<Stamp>,
    /// How it stands with it, in words.
    pub state: String,
}

/// Storage of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRow {
    pub name: StorageName,
    /// Where containers see it; `None`: they do not, it was kept.
    pub path: Option<String>,
    /// The volume in the engine.
    pub volume: String,
}

/// An API key that was made just now: the one time that it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    pub name: String,
    pub id: TokenId,
    pub role: Role,
    /// `None`: all apps
    pub apps: Option<Vec<AppName>>,
    pub expires_at: Option<Stamp>,
    pub token: Token,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRow {
    pub host: RegistryHost,
    pub username: String,
    pub by: String,
    pub added_at: Stamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    pub name: String,
    pub role: Role,
    pub apps: Option<Vec<AppName>>,
    /// The SSH key that signed; `None` for an API key and on the private socket.
    pub fingerprint: Option<Fingerprint>,
    /// The id of the API key that came with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
}

/// What went of one kind when room was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRow {
    pub what: String,
    /// How many there were; `None` where they are not counted.
    pub removed: Option<usize>,
    /// `None` where it cannot be measured.
    pub freed_bytes: Option<u64>,
}

/// How an app's requests went within the last `span_ms`, which is a minute, or less after a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopRow {
    pub app: AppName,
    pub span_ms: u64,
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that were answered with 5xx, by the app or in its place.
    pub errors: u64,
    /// Half of the answers began within this; `None` without any.
    pub p50_us: Option<u64>,
    /// 99 of 100 answers began within this.
    pub p99_us: Option<u64>,
    pub received_bytes: u64,
    pub sent_bytes: u64,
    /// Requests that are under way now, websockets among them.
    pub in_flight: u64,
    pub websockets: u64,
}

/// A name and what it is worth, for things with open-ended lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub version: String,
    pub started_at: Stamp,
    pub apps: usize,
    /// Engine, git, addresses, host key, data dir.
    pub entries: Vec<Entry>,
    /// What is wrong now, each with its mend.
    pub warnings: Vec<String>,
}

/// What a server says of itself to anybody: enough to find its other door and to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHello {
    /// `mini`
    pub name: String,
    pub version: String,
    /// The version of the frame protocol over ssh and the private socket.
    pub protocol: u32,
    /// `host:port`
    pub ssh: String,
    /// The public host key in one line. To be believed only when it came over https or ssh.
    pub host_key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    pub version: String,
}
