//! The git remote of a folder: it names an app, and where that app is.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::config::{Hosts, KnownHost};
use crate::error::{Error, Result};
use crate::model::AppName;

/// The remote that is looked for when nobody names one.
pub const DEFAULT_REMOTE: &str = "mini";

/// A git remote that leads to an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub app: AppName,
    /// As it stands in the URL: a name of ssh's configuration, or a machine.
    host: String,
    /// `None` where the URL leaves it to ssh.
    port: Option<u16>,
}

// === impl Remote ===

impl Remote {
    /// Looks at the folder's remote; one that is named must be there and lead to an app.
    pub fn of(folder: &Path, named: Option<&str>) -> Result<Option<Self>> {
        let name = named.unwrap_or(DEFAULT_REMOTE);
        let remote = url_of(folder, name).and_then(|url| Self::parse(&url));
        match (remote, named) {
            (None, Some(name)) => {
                let name = name.escape_debug();
                Err(Error::not_found(format!("no git remote `{name}` leads to an app here")).hint("see: git remote -v"))
            }
            (remote, _) => Ok(remote),
        }
    }

    /// Reads `mini:blog`, `mini@h:blog.git` or `ssh://h:2222/blog`; anything else is no remote of ours.
    fn parse(url: &str) -> Option<Self> {
        let (place, path, port) = if let Some(rest) = url.strip_prefix("ssh://") {
            let (place, path) = rest.split_once('/')?;
            let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
            let (host, port) = split_port(place)?;
            (host, path, port)
        } else {
            let (place, path) = url.split_once(':').filter(|(place, path)| !place.contains('/') && !path.starts_with("//"))?;
            (place.rsplit_once('@').map_or(place, |(_, host)| host), path, None)
        };
        let path = path.trim_matches('/');
        let app = path.strip_suffix(".git").unwrap_or(path).parse().ok()?;
        (!place.is_empty()).then(|| Remote { app, host: place.to_owned(), port })
    }

    /// Finds the host that this remote leads to: by its name, or by its address.
    #[must_use]
    pub fn host_in<'a>(&self, hosts: &'a Hosts) -> Option<(&'a str, &'a KnownHost)> {
        let is_it = |host: &KnownHost| {
            host.ssh_address()
                .is_some_and(|address| address.host.eq_ignore_ascii_case(&self.host) && address.port == self.port.unwrap_or(22))
        };
        let named = || hosts.iter().find(|(name, _)| self.port.is_none() && *name == self.host);
        named().or_else(|| hosts.iter().find(|(_, host)| is_it(host)))
    }
}

fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return Some((host, after.strip_prefix(':').and_then(|port| port.parse().ok())));
    }
    match place.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((place, None)),
    }
}

/// Returns the URL of a folder's remote; `None` without git, repository or remote.
pub fn url_of(folder: &Path, name: &str) -> Option<String> {
    let output = git(folder).args(["config", "--get", &format!("remote.{name}.url")]).output().ok()?;
    let url = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !url.is_empty()).then_some(url)
}

/// Makes a git command that asks nothing.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_remote_are_read_and_others_left_alone() {
        let cases = [
            ("mini:blog", Some(("blog", "mini", None))),
            ("mini@h:blog.git", Some(("blog", "h", None))),
            ("mini:/blog", Some(("blog", "mini", None))),
            ("ssh://h:2222/blog", Some(("blog", "h", Some(2222)))),
            ("ssh://mini@h:2222/blog.git/", Some(("blog", "h", Some(2222)))),
            ("ssh://mini@[::1]:22/blog", Some(("blog", "::1", Some(22)))),
            ("ssh://mini/blog", Some(("blog", "mini", None))),
            ("https://forge.example/me/blog.git", None),
            ("git@forge.example:me/blog.git", None),
            ("/srv/git/blog.git", None),
            ("../blog", None),
            ("ssh://h:x/blog", None),
            ("mini:Blog", None),
            (":blog", None),
            ("", None),
        ];

        for (url, expected) in cases {
            let remote = Remote::parse(url);
            let read = remote.as_ref().map(|remote| (remote.app.as_str(), remote.host.as_str(), remote.port));
            assert_eq!(read, expected, "{url}");
        }
    }

    #[test]
    fn a_remote_leads_to_the_host_of_its_name_or_its_address() {
        let mut hosts = Hosts::default();
        hosts.set("work", KnownHost::new("ssh://h:2222".parse().unwrap())).unwrap();
        hosts.set("mini", KnownHost::new("ssh://box:22".parse().unwrap())).unwrap();
        let host = |url: &str| Remote::parse(url).unwrap().host_in(&hosts).map(|(name, _)| name.to_owned());

        assert_eq!(host("work:blog").as_deref(), Some("work"));
        assert_eq!(host("ssh://mini@H:2222/blog").as_deref(), Some("work"));
        assert_eq!(host("mini@box:blog").as_deref(), Some("mini"));
        assert_eq!(host("ssh://h:2223/blog"), None);
        assert_eq!(host("elsewhere:blog"), None);
    }
}
