//! Which server is meant, and by which way. The order is here and nowhere else:
//!
//! 1. `--host NAME|URL`
//! 2. `MINI_HOST`, a name or a URL
//! 3. a remote that is named: `-r/--remote NAME`
//! 4. `MINI_DATA`, the data folder of a server on this machine
//! 5. the folder's git remote `mini`, when it leads to a host that is set here
//! 6. the host that was set last: `mini config set-host`
//! 7. the server of this machine's own data folder
//!
//! The key of an http(s) host is `MINI_API_KEY`, else the one that was set with it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::line::Line;
use super::remote::Remote;
use super::transport::Transport;
use crate::config::{HostUrl, Hosts, KnownHost, default_data_dir};
use crate::error::{Error, Result};
use crate::model::Secret;

/// The server that is meant.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name here, its URL, or its data folder.
    pub name: String,
    pub transport: Transport,
}

/// What the environment says.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub host: Option<String>,
    pub key: Option<Secret>,
    pub data: Option<OsString>,
    /// This machine's own data folder, if it exists.
    pub own_data: Option<PathBuf>,
}

// === impl Environment ===

impl Environment {
    pub fn read() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Environment {
            host: set("MINI_HOST"),
            key: set("MINI_API_KEY").map(Secret::new),
            data: std::env::var_os("MINI_DATA").filter(|dir| !dir.is_empty()),
            own_data: default_data_dir().ok().filter(|dir| dir.exists()),
        }
    }
}

// === impl Target ===

impl Target {
    /// Chooses by the order above. Errors: no host of that name, or no server is known at all.
    pub fn choose(line: &Line, environment: &Environment, hosts: &Hosts, remote: Option<&Remote>) -> Result<Self> {
        let key = environment.key.as_ref();
        if let Some(named) = line.host.as_ref().or(environment.host.as_ref()) {
            return Self::named(named, hosts, key);
        }
        let of_remote = remote.and_then(|remote| remote.host_in(hosts));
        if let (Some((name, host)), Some(_)) = (of_remote, &line.remote) {
            return Ok(Self::known(name, host, key));
        }
        if let Some(data) = &environment.data {
            return Ok(Self::local(Path::new(data)));
        }
        if let Some((name, host)) = of_remote.or_else(|| hosts.default_host()) {
            return Ok(Self::known(name, host, key));
        }
        match &environment.own_data {
            Some(data) => Ok(Self::local(data)),
            None => Err(Error::unavailable("no server is set").hint("point at yours: mini config set-host ssh://your-server:2222")),
        }
    }

    /// A host by its name here, or any server by its URL.
    fn named(named: &str, hosts: &Hosts, key: Option<&Secret>) -> Result<Self> {
        if let Some(host) = hosts.get(named) {
            return Ok(Self::known(named, host, key));
        }
        // A bare word is a name; what could be nothing else is an address.
        if !named.contains(['.', ':', '[']) {
            return Err(hosts.unknown(named));
        }
        let host = KnownHost::new(named.parse()?);
        Ok(Self::known(&host.url.to_string(), &host, key))
    }

    /// The way to a host that is known.
    pub fn known(name: &str, host: &KnownHost, key: Option<&Secret>) -> Self {
        let transport = match &host.url {
            HostUrl::Ssh(address) => Transport::Ssh(address.clone()),
            HostUrl::Http(address) => Transport::Http(address.clone(), key.or(host.key.as_ref()).cloned()),
        };
        Target { name: name.to_owned(), transport }
    }

    fn local(data: &Path) -> Self {
        Target { name: data.display().to_string(), transport: Transport::Socket(data.join("mini.sock")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        let mut hosts = Hosts::default();
        for (name, url) in [("work", "ssh://h:2222"), ("api", "https://api.example.org"), ("mini", "1.2.3.4")] {
            hosts.set(name, KnownHost::new(url.parse().unwrap())).unwrap();
        }
        hosts
    }

    fn chosen(host: Option<&str>, env_host: Option<&str>, data: Option<&str>) -> String {
        let line = Line { host: host.map(str::to_owned), ..Line::default() };
        let environment = Environment { host: env_host.map(str::to_owned), data: data.map(Into::into), ..Environment::default() };
        Target::choose(&line, &environment, &hosts(), None).map_or_else(|err| err.sentence().to_owned(), |target| target.name)
    }

    #[test]
    fn the_nearest_name_counts() {
        assert_eq!(chosen(Some("work"), Some("api"), Some("/data")), "work");
        assert_eq!(chosen(None, Some("api"), Some("/data")), "api");
        assert_eq!(chosen(None, None, Some("/data")), "/data");
        assert_eq!(chosen(None, None, None), "mini");
        assert_eq!(chosen(Some("http://5.6.7.8"), None, None), "http://5.6.7.8");
        assert_eq!(chosen(Some("5.6.7.8"), None, None), "ssh://mini@5.6.7.8:2222");
        assert_eq!(chosen(Some("wrok"), None, None), "no host is called `wrok` here");
    }

    #[test]
    fn the_key_of_the_environment_beats_the_one_that_was_set() {
        let mut host = KnownHost::new("https://api.example.org".parse().unwrap());
        host.key = Some(Secret::new("set".into()));
        let key = |key: Option<&Secret>| match Target::known("api", &host, key).transport {
            Transport::Http(_, key) => key.unwrap().expose().to_owned(),
            other => panic!("{other:?}"),
        };

        assert_eq!(key(None), "set");
        assert_eq!(key(Some(&Secret::new("env".into()))), "env");
    }

    #[test]
    fn without_any_server_the_way_to_one_is_told() {
        let err = Target::choose(&Line::default(), &Environment::default(), &Hosts::default(), None).unwrap_err();
        let own = Environment { own_data: Some("/var/lib/mini".into()), ..Environment::default() };

        assert!(err.next_step().unwrap().contains("mini config set-host ssh://"), "{err}");
        assert!(matches!(Target::choose(&Line::default(), &own, &Hosts::default(), None).unwrap().transport, Transport::Socket(_)));
        assert_eq!(Target::choose(&Line::default(), &own, &hosts(), None).unwrap().name, "mini");
    }
}
