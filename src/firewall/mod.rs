//! Keeps apps off their host: packets from the bridges of app networks reach the proxy's ports, and nothing else of this machine.
//!
//! The whole privileged part of `mini`: `mini firewall apply`, which the service's unit runs as root, or `mini server` as root.
//! The rules are static, for bridges are known by how their names begin: apps come and go without any of this.

mod listing;
mod note;
mod openings;
mod resolvers;
mod rules;
mod tables;
mod verb;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::{Settings, is_root};
use crate::error::{Error, Result};
use crate::model::{AppId, BridgePrefix};
use note::{Note, Turn};
use openings::Opening;
use rules::Rules;
use tables::Family;

pub use verb::main;

/// The rules of one server. Each server of a machine has its own, known by its data dir.
#[derive(Clone, Debug)]
pub struct Firewall {
    data: PathBuf,
    bridges: BridgePrefix,
    /// The proxy's.
    ports: Vec<u16>,
    turn: Arc<Mutex<()>>,
}

/// How the rules are known to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// They were looked at.
    Rules,
    /// Root has noted that they were applied since the machine started; only root can look.
    Note,
}

// === impl Firewall ===

impl Firewall {
    /// The rules that a server with these settings needs when it serves HTTP and HTTPS on `ports`; `None` when they are off.
    #[must_use]
    pub fn of(settings: &Settings, ports: Vec<u16>) -> Option<Self> {
        settings.firewall.then(|| Firewall::of_any(settings, ports))
    }

    fn of_any(settings: &Settings, ports: Vec<u16>) -> Self {
        Firewall { data: settings.data.clone(), bridges: settings.bridges.clone(), ports, turn: Arc::default() }
    }

    /// Sets the rules where they are not right yet; tells whether anything had to change. Needs root.
    ///
    /// Rules of other servers stay. A table changes in one step: there is no moment without rules.
    pub async fn apply(&self) -> Result<bool> {
        self.needs_root("apply")?;
        let _turn = Turn::take().await?;
        let openings = openings::read(&self.data, &self.bridges)?;
        let mut has_changed = false;
        for family in Family::of_this_machine() {
            if let Some(script) = self.rules(family, &openings).apply(&tables::list(family).await?) {
                tables::commit(family, &script).await?;
                has_changed = true;
            }
        }
        self.note(&openings).write()?;
        Ok(has_changed)
    }

    /// Looks whether the rules stand; an error lists in its details what is missing.
    pub async fn check(&self) -> Result<Seen> {
        let openings = openings::read(&self.data, &self.bridges)?;
        if !is_root() {
            return if self.note(&openings).stands() { Ok(Seen::Note) } else { Err(self.unsafe_host("are not known to stand")) };
        }
        let mut missing = Vec::new();
        for family in Family::of_this_machine() {
            let rules = self.rules(family, &openings).missing(&tables::list(family).await?);
            missing.extend(rules.into_iter().map(|rule| format!("{} {rule}", family.program())));
        }
        if missing.is_empty() { Ok(Seen::Rules) } else { Err(self.unsafe_host("are missing").details(missing)) }
    }

    /// Takes this server's rules away, and with the last server's the chain that they share; tells whether there were any. Needs root.
    pub async fn remove(&self) -> Result<bool> {
        self.needs_root("remove")?;
        let _turn = Turn::take().await?;
        let mut has_changed = false;
        for family in Family::of_this_machine() {
            if let Some(script) = self.rules(family, &[]).remove(&tables::list(family).await?) {
                tables::commit(family, &script).await?;
                has_changed = true;
            }
        }
        self.note(&[]).erase()?;
        Ok(has_changed)
    }

    /// Waits for the turn to say which ports are open: from reading what they should be until they are.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Says which TCP ports of the machine which apps may reach besides; [`apply`](Self::apply) then makes it so.
    pub fn open(&self, ports: &BTreeMap<AppId, BTreeSet<u16>>) -> Result<()> {
        let of_app = |(app, ports): (&AppId, &BTreeSet<u16>)| {
            let bridge = self.bridges.bridge(app);
            ports.iter().map(|port| Opening { bridge: bridge.clone(), port: *port }).collect::<Vec<_>>()
        };
        let wanted: Vec<Opening> = ports.iter().flat_map(of_app).collect();
        if openings::read(&self.data, &self.bridges)? == wanted { Ok(()) } else { openings::write(&self.data, &wanted) }
    }

    /// Returns the command that sets the rules of this very server, whoever runs it and wherever.
    #[must_use]
    pub fn command(&self) -> String {
        self.words("apply")
    }

    fn words(&self, verb: &str) -> String {
        let mut words = vec!["mini firewall".to_owned(), verb.to_owned()];
        if self.data != *"/var/lib/mini" {
            words.push(format!("--data {}", self.data.display()));
        }
        if let [http, https @ ..] = &self.ports[..] {
            if *http != 80 {
                words.push(format!("--http :{http}"));
            }
            match https.first() {
                None if *http == 80 => words.push("--https off".to_owned()),
                Some(https) if (*http, *https) != (80, 443) => words.push(format!("--https :{https}")),
                _ => {}
            }
        }
        if self.bridges != BridgePrefix::default() {
            words.push(format!("--bridges {}", self.bridges));
        }
        words.join(" ")
    }

    fn rules(&self, family: Family, openings: &[Opening]) -> Rules {
        let tag = note::tag(&self.data);
        match family {
            // App networks have no IPv6: what is single to one of them is in IPv4.
            Family::V4 => Rules::v4(&tag, &self.bridges.pattern(), &self.ports, &resolvers::of_this_machine(), openings),
            Family::V6 => Rules::v6(&tag, &self.bridges.pattern(), &self.ports),
        }
    }

    fn note(&self, openings: &[Opening]) -> Note {
        Note::new(&self.data, format!("{} {}\n{}", self.bridges.pattern(), in_words(&self.ports, " "), openings::text(openings)))
    }

    fn needs_root(&self, verb: &str) -> Result<()> {
        if is_root() {
            return Ok(());
        }
        Err(Error::not_allowed("the rules of this machine's firewall are root's").hint(format!("sudo {}", self.words(verb))))
    }

    fn unsafe_host(&self, how: &str) -> Error {
        Error::unavailable(format!("the firewall rules that keep apps off this machine's ports {how}"))
            .hint(format!("as root: {}", self.command()))
    }
}

fn in_words(ports: &[u16], between: &str) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}
