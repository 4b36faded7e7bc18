//! `mini config set-host URL`, `mini hosts`, `mini hosts:remove`: the servers that this command line knows.

use std::io::Read;

use super::ssh_files::SshFolder;
use super::target::{Environment, Target};
use super::transport::{self, ServerInfo};
use super::{say, talk, terminal};
use crate::command::{Answer, Command, Look, render_answer};
use crate::config::{HostUrl, Hosts, HttpAddress, KnownHost, SshAddress};
use crate::error::{Error, Result};
use crate::model::{PublicKey, Secret};

/// The name of a host that is given none.
const DEFAULT_NAME: &str = "mini";
/// The longest key that is read.
const MAX_KEY_BYTES: u64 = 4096;

/// What `set-host` was told.
pub struct NewHost {
    pub name: Option<String>,
    pub url: HostUrl,
    /// `-` reads it from the input.
    pub key: Option<String>,
    pub is_checked: bool,
    pub warns: bool,
}

/// Asks the server, then keeps it. Nothing is written about a server that does not answer.
pub fn set_host(new: NewHost, environment: &Environment) -> Result<u8> {
    let name = new.name.as_deref().unwrap_or(DEFAULT_NAME);
    let mut hosts = Hosts::load()?;
    let mut host = KnownHost::new(new.url);
    host.key = key_for(&host.url, new.key.as_deref(), environment)?;
    // A name that cannot be kept is refused before anybody is asked.
    hosts.set(name, host.clone())?;
    if let HostUrl::Http(address) = &host.url
        && address.is_in_clear()
        && new.warns
    {
        talk(&format!(
            "mini: the API key travels in clear to {}; ssh://{} would keep it safe (--insecure-http: no warning)",
            address.place(),
            address.host
        ));
    }
    if new.is_checked {
        let (address, said) = check(name, &mut host)?;
        hosts.set(name, host)?;
        say(&format!("{said} answers at {address}"));
    }
    hosts.save()?;
    say(&format!("Host `{name}` is set and the one that is meant from now on."));
    tell_ssh(&hosts, Some(name))?;
    Ok(0)
}

/// Lists the hosts, the one that is meant first marked.
pub fn list(json: bool) -> Result<u8> {
    let hosts = Hosts::load()?;
    let default = hosts.default_host().map(|(name, _)| name.to_owned());
    let is_default = |name: &str| default.as_deref() == Some(name);
    if json {
        let rows: Vec<_> = hosts
            .iter()
            .map(|(name, host)| serde_json::json!({"name": name, "url": host.url.to_string(), "default": is_default(name)}))
            .collect();
        say(&serde_json::Value::from(rows).to_string());
        return Ok(0);
    }
    if default.is_none() && hosts.iter().next().is_none() {
        talk("no hosts yet: mini config set-host ssh://your-server:2222");
    }
    let width = hosts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, host) in hosts.iter() {
        say(&format!("{} {name:<width$}  {}", if is_default(name) { "*" } else { " " }, host.url));
    }
    Ok(0)
}

/// Forgets a host, with its key and its block.
pub fn remove(name: &str) -> Result<u8> {
    let mut hosts = Hosts::load()?;
    hosts.remove(name)?;
    hosts.save()?;
    say(&format!("Forgot host `{name}`."));
    tell_ssh(&hosts, None)?;
    Ok(0)
}

/// Finds the API key where one is needed: the flag, the environment, the terminal.
fn key_for(url: &HostUrl, given: Option<&str>, environment: &Environment) -> Result<Option<Secret>> {
    let HostUrl::Http(address) = url else {
        return match given {
            None => Ok(None),
            Some(_) => Err(Error::usage("ssh needs no API key: your SSH key is who you are")),
        };
    };
    let key = match given {
        Some("-") => Some(Secret::new(read_key()?)),
        Some(key) => Some(Secret::new(key.to_owned())),
        None => match &environment.key {
            Some(key) => Some(key.clone()),
            None => terminal::ask_secret(&format!("API key for {address}: "))?.map(Secret::new),
        },
    };
    let missing =
        || Error::usage("which API key?").hint("make one on the server (mini tokens:create NAME), then: --key -, or MINI_API_KEY");
    key.filter(|key| !key.expose().is_empty()).map(Some).ok_or_else(missing)
}

fn read_key() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_KEY_BYTES).read_to_string(&mut text);
    read.map_err(|err| Error::usage("the key could not be read").because(err))?;
    Ok(text.trim().to_owned())
}

/// Asks the server who it is and who we are, and fills in what it says of its SSH door.
fn check(name: &str, host: &mut KnownHost) -> Result<(String, String)> {
    if let HostUrl::Http(address) = &host.url {
        let info = transport::server_info(address)?;
        host.ssh = ssh_address(address, &info);
        // A key that somebody on the way could have changed is not worth keeping.
        let is_safe = address.is_tls || address.is_loopback();
        host.host_key = info.host_key.filter(|_| is_safe).and_then(|key| host_key(&key));
    }
    let target = Target::known(name, host, None);
    let who = target.transport.value(Command::Whoami)?;
    let version = match target.transport.value(Command::Version)? {
        Answer::Version(info) => info.version,
        _ => "of an unknown version".into(),
    };
    let who = render_answer(&who, &Look::plain(false));
    Ok((format!("{}: you are {}", host.url, who.trim_end()), format!("mini {version}")))
}

/// The SSH door that a server names, when it can be one: what comes over HTTP ends up in ssh's configuration.
fn ssh_address(address: &HttpAddress, info: &ServerInfo) -> Option<SshAddress> {
    let HostUrl::Ssh(mut ssh) = info.ssh.as_deref()?.parse().ok()? else { return None };
    // A server that listens everywhere, or knows itself as localhost only, is where we found it.
    if ["0.0.0.0", "::", "localhost", "127.0.0.1", "::1"].contains(&ssh.host.as_str()) {
        ssh.host.clone_from(&address.host);
    }
    Some(ssh)
}

/// The key alone, written anew: it becomes a line of a file that ssh believes.
fn host_key(text: &str) -> Option<String> {
    PublicKey::parse(text).ok().map(|key| key.to_line()).filter(|line| !line.is_empty())
}

/// Writes the blocks for ssh and git and says what came of it.
fn tell_ssh(hosts: &Hosts, name: Option<&str>) -> Result<()> {
    let Some(folder) = SshFolder::of_home() else { return Ok(()) };
    let written = folder.write(hosts)?;
    let Some(name) = name else { return Ok(()) };
    if written.foreign.iter().any(|taken| taken == name) {
        talk(&format!("mini: ~/.ssh/config has a `Host {name}` of your own: `ssh {name}` and git go where that leads"));
    } else if folder.has_block(name) {
        say(&format!("Also: ssh {name} whoami, and after `mini init` in a folder: git push {name} main"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(ssh: &str) -> Option<String> {
        let address = HttpAddress { is_tls: true, host: "mini.example.org".into(), port: 443 };
        let info = ServerInfo { name: "mini".into(), ssh: Some(ssh.into()), host_key: None };
        ssh_address(&address, &info).map(|address| address.to_string())
    }

    #[test]
    fn a_servers_ssh_door_is_taken_only_when_it_is_an_address() {
        assert_eq!(door("box:2222").as_deref(), Some("ssh://mini@box:2222"));
        assert_eq!(door("0.0.0.0:2222").as_deref(), Some("ssh://mini@mini.example.org:2222"));
        assert_eq!(door("[::]:22").as_deref(), Some("ssh://mini@mini.example.org:22"));
        for hostile in ["box\n  ProxyCommand id", "-oProxyCommand=id", "http://box", ""] {
            assert_eq!(door(hostile), None, "{hostile:?}");
        }
    }

    #[test]
    fn a_host_key_is_one_line_with_a_key() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

        assert_eq!(host_key(&format!("{key} mini@box")).as_deref(), Some(key));
        for hostile in ["", "* ssh-ed25519 AAAA", "@cert-authority * ssh-ed25519 AAAA", &format!("x\n* {key}")] {
            assert_eq!(host_key(hostile), None, "{hostile:?}");
        }
    }
}
