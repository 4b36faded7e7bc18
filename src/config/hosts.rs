//! The servers that this person's command line knows: `~/.config/mini/config.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::host_url::{HostUrl, SshAddress};
use super::private_file;
use crate::error::{Error, Result};
use crate::model::Secret;

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// The host that is meant when nobody names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    hosts: BTreeMap<String, KnownHost>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownHost {
    pub url: HostUrl,
    /// The API key, for a server that is reached over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "give_away", deserialize_with = "take")]
    pub key: Option<Secret>,
    /// Where git and ssh reach a server that is itself reached over HTTP, as it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshAddress>,
    /// That server's host key, when it came on a way that nobody could change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

// === impl Hosts ===

impl Hosts {
    pub fn load() -> Result<Self> {
        private_file::read(&Self::path()?)
    }

    pub fn save(&self) -> Result<()> {
        private_file::write(&Self::path()?, self)
    }

    /// Returns where the file is, whether it is there or not.
    pub fn path() -> Result<PathBuf> {
        private_file::path_of("XDG_CONFIG_HOME", ".config", "config.toml")
    }

    /// Returns the hosts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &KnownHost)> {
        self.hosts.iter().map(|(name, host)| (name.as_str(), host))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&KnownHost> {
        self.hosts.get(name)
    }

    /// Returns the host that is meant when nobody names one: the marked one, or the only one.
    #[must_use]
    pub fn default_host(&self) -> Option<(&str, &KnownHost)> {
        let marked = self.default.as_ref().and_then(|name| self.hosts.get_key_value(name));
        let only = || self.hosts.iter().next().filter(|_| self.hosts.len() == 1);
        marked.or_else(only).map(|(name, host)| (name.as_str(), host))
    }

    /// Keeps a host under `name`, in place of one of that name, and makes it the default. Errors: `Usage` for a strange name.
    pub fn set(&mut self, name: &str, host: KnownHost) -> Result<()> {
        if !is_host_name(name) {
            return Err(Error::usage(format!("`{}` cannot name a host", name.escape_debug()))
                .hint("use lower-case letters, digits and dashes, such as `work`"));
        }
        self.hosts.insert(name.to_owned(), host);
        self.default = Some(name.to_owned());
        Ok(())
    }

    /// Forgets a host. Errors: `NotFound`.
    pub fn remove(&mut self, name: &str) -> Result<KnownHost> {
        let host = self.hosts.remove(name).ok_or_else(|| self.unknown(name))?;
        if self.default.as_deref() == Some(name) {
            self.default = None;
        }
        Ok(host)
    }

    /// Makes the error for a name that no host has.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Error {
        let err = Error::not_found(format!("no host is called `{}` here", name.escape_debug()));
        let names: Vec<String> = self.hosts.keys().map(|name| format!("`{name}`")).collect();
        if names.is_empty() {
            err.hint(format!("set it: mini config set-host URL --host {}", name.escape_debug()))
        } else {
            err.hint(format!("you have {}; see: mini hosts", names.join(", ")))
        }
    }
}

/// What can stand behind `Host` in ssh's configuration and before the colon of a git remote.
fn is_host_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

// === impl KnownHost ===

impl KnownHost {
    #[must_use]
    pub fn new(url: HostUrl) -> Self {
        KnownHost { url, key: None, ssh: None, host_key: None }
    }

    /// Returns where git and ssh reach the server, if that is known.
    #[must_use]
    pub fn ssh_address(&self) -> Option<&SshAddress> {
        match &self.url {
            HostUrl::Ssh(address) => Some(address),
            HostUrl::Http(_) => self.ssh.as_ref(),
        }
    }
}

// serde hands a field on by reference.
#[allow(clippy::ref_option)]
fn give_away<S: Serializer>(key: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(Secret::expose).serialize(to)
}

fn take<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(url: &str) -> KnownHost {
        KnownHost::new(url.parse().unwrap())
    }

    #[test]
    fn the_last_host_set_is_the_default_and_a_single_one_always_is() {
        let mut hosts = Hosts::default();
        hosts.set("work", host("1.2.3.4")).unwrap();
        hosts.set("mini", host("5.6.7.8")).unwrap();
        assert_eq!(hosts.default_host().unwrap().0, "mini");

        hosts.remove("mini").unwrap();

        assert_eq!(hosts.default_host().unwrap().0, "work");
        assert!(hosts.remove("mini").unwrap_err().next_step().unwrap().contains("`work`"));
    }

    #[test]
    fn a_host_comes_back_from_the_file_and_its_key_stands_in_no_debug_print() {
        let mut hosts = Hosts::default();
        let mut http = host("https://mini.example.org");
        http.key = Some(Secret::new("mini_s3cret".into()));
        http.ssh = Some("ssh://mini@mini.example.org:2222".to_owned().try_into().unwrap());
        hosts.set("mini", http).unwrap();

        let text = toml::to_string(&hosts).unwrap();

        assert_eq!(toml::from_str::<Hosts>(&text).unwrap(), hosts);
        assert!(text.contains("s3cret") && !format!("{hosts:?}").contains("s3cret"));
    }

    #[test]
    fn a_name_that_means_something_to_ssh_is_refused() {
        for name in ["", "*", "a b", "-x", "Mini", "mini\nHost *", "!mini", "a,b", "a:b", "a@b"] {
            assert_eq!(Hosts::default().set(name, host("1.2.3.4")).unwrap_err().exit_code(), 2, "{name:?}");
        }
    }
}
