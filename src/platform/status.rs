//! How the server is, and which version it is.

use std::net::SocketAddr;

use super::Platform;
use super::permit::Permit;
use crate::command::wire::PROTOCOL;
use crate::command::{Answer, Entry, Reply, ServerHello, ServerStatus, VersionInfo};
use crate::error::Result;
use crate::firewall::{Firewall, Seen};
use crate::git::GitProgram;
use crate::model::AppName;
use crate::model::size::{at_least, in_words};

/// What was found out at start and does not change.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    pub ssh: SocketAddr,
    pub http: SocketAddr,
    /// The host key's fingerprint.
    pub host_key: String,
    /// The public host key in one line.
    pub host_key_line: String,
    /// What keeps apps off this machine's ports; `None` when it is off.
    pub firewall: Option<Firewall>,
}

// === impl ServerFacts ===

impl ServerFacts {
    /// Returns the URL of an app's repository; the port is left out where it is ssh's own.
    #[must_use]
    pub fn git_url(&self, host: &str, app: &AppName) -> String {
        match self.ssh.port() {
            22 => format!("ssh://mini@{host}/{app}"),
            port => format!("ssh://mini@{host}:{port}/{app}"),
        }
    }
}

impl Platform {
    /// Says which server this is. `host` is the name by which it was reached: it counts unless the settings know a public one.
    #[must_use]
    pub fn hello(&self, host: Option<&str>) -> ServerHello {
        let settings = &self.rooms().settings;
        let has_public_name = settings.domain.is_some() || settings.public_ip.is_some();
        let host = host.filter(|_| !has_public_name).map_or_else(|| settings.public_host(), str::to_owned);
        ServerHello {
            name: "mini".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            ssh: format!("{host}:{}", self.facts.ssh.port()),
            host_key: self.facts.host_key_line.clone(),
        }
    }

    pub(super) async fn status(&self, _permit: &Permit) -> Result<Reply> {
        let rooms = self.rooms();
        let mut warnings = Vec::new();
        let engine = match rooms.engine.check().await {
            Ok(info) => format!("Docker {}", info.version),
            Err(err) => {
                warnings.push(told(&err));
                "does not answer".to_owned()
            }
        };
        let git = match (rooms.git.program(), rooms.git.program().check()) {
            (GitProgram::Ready { version }, Ok(())) => version,
            (_, refused) => {
                warnings.extend(refused.err().as_ref().map(told));
                "cannot be used".to_owned()
            }
        };
        let firewall = match &self.facts.firewall {
            None => "off",
            Some(firewall) => match firewall.check().await {
                Ok(Seen::Rules) => "on",
                Ok(Seen::Note) => "on, as root has noted",
                Err(err) => {
                    warnings.push(told(&err));
                    "not on"
                }
            },
        };
        for disk in self.deployer.disks().await.iter().filter(|disk| disk.is_low()) {
            let (free, floor) = (at_least(disk.free_bytes.unwrap_or(0)), in_words(disk.floor_bytes));
            let place = disk.holds.in_words();
            warnings.push(format!("disk space is low: {free} free where {place}, and builds are refused below {floor}: mini prune"));
        }
        for app in rooms.store.apps().await? {
            if let Some(release) = self.deployer.live_release(&app.id).await?
                && self.deployer.has_lost_image(&release)
            {
                let name = &app.name;
                warnings.push(format!(
                    "`{name}` is down, its image is gone: mini logs {name} tells whether it is being built, mini rebuild {name} does it"
                ));
            }
        }
        let entries = [
            ("ssh", self.facts.ssh.to_string()),
            ("http", self.facts.http.to_string()),
            ("host key", self.facts.host_key.clone()),
            ("engine", engine),
            ("git", git),
            ("firewall", firewall.to_owned()),
            ("data", rooms.settings.data.display().to_string()),
            ("instance", rooms.store.instance().to_string()),
        ];
        let entries = entries.into_iter().map(|(name, value)| Entry { name: name.to_owned(), value }).collect();
        let apps = rooms.store.apps().await?.len();
        let status = ServerStatus { version: env!("CARGO_PKG_VERSION").to_owned(), started_at: self.started_at, apps, entries, warnings };
        Ok(Reply::Value(Answer::Status(Box::new(status))))
    }

    pub(super) fn version(_permit: &Permit) -> Reply {
        Reply::Value(Answer::Version(VersionInfo { version: env!("CARGO_PKG_VERSION").to_owned() }))
    }
}

fn told(err: &crate::error::Error) -> String {
    match err.next_step() {
        Some(hint) => format!("{err}: {hint}"),
        None => err.to_string(),
    }
}
