//! The part of `~/.ssh` that is ours: `mini.conf` with one block a host, one `Include` line, and keys that a server told safely.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::{Hosts, SshAddress};
use crate::error::{Error, Result};

const CONFIG: &str = "config";
const OURS: &str = "mini.conf";
const KNOWN_HOSTS: &str = "mini_known_hosts";
const BACKUP: &str = "config.before-mini";
const HEAD: &str = "# Written by `mini config set-host`, anew each time. Your own settings belong into ~/.ssh/config.\n";

/// The folder `~/.ssh` of this person.
pub struct SshFolder(PathBuf);

/// What was found and done.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// Hosts of the same name that the person's own configuration has: those are left alone.
    pub foreign: Vec<String>,
}

// === impl SshFolder ===

impl SshFolder {
    /// Returns the folder, whether it is there or not; `None` for somebody without a home.
    #[must_use]
    pub fn of_home() -> Option<Self> {
        std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| SshFolder(Path::new(&home).join(".ssh")))
    }

    /// Writes a block for every host that ssh can reach, and the one line that makes ssh read them.
    pub fn write(&self, hosts: &Hosts) -> Result<Written> {
        let failed = |err: std::io::Error| {
            Error::failed(format!("{} cannot be written: {err}", self.0.display()))
                .hint("the host is set; only `ssh mini …` needs these files")
        };
        let own = self.read(CONFIG).map_err(failed)?;
        let foreign: Vec<String> = hosts.iter().map(|(name, _)| name.to_owned()).filter(|name| has_host(&own, name)).collect();
        let ours = || hosts.iter().filter(|(name, _)| !foreign.iter().any(|taken| taken == name));
        let blocks: String = ours().filter_map(|(name, host)| Some(block(name, host.ssh_address()?, host.host_key.is_some()))).collect();
        let keys: String = ours().filter_map(|(name, host)| Some(format!("{} {}\n", alias(name), host.host_key.as_ref()?))).collect();

        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(failed)?;
        if !keys.is_empty() || self.0.join(KNOWN_HOSTS).exists() {
            self.replace(KNOWN_HOSTS, keys.as_bytes()).map_err(failed)?;
        }
        self.replace(OURS, (HEAD.to_owned() + &blocks).as_bytes()).map_err(failed)?;
        if !includes_ours(&own) {
            self.include(&own).map_err(failed)?;
        }
        Ok(Written { foreign })
    }

    /// Tells whether `ssh NAME` leads to that host by a block of ours.
    #[must_use]
    pub fn has_block(&self, name: &str) -> bool {
        self.read(OURS).is_ok_and(|text| has_host(&text, name))
    }

    /// Puts our line on top: what stands above the first `Host` counts for all, and the first value found wins (`ssh_config(5)`).
    fn include(&self, own: &[u8]) -> std::io::Result<()> {
        let backup = self.0.join(BACKUP);
        if self.0.join(CONFIG).exists() && !backup.exists() {
            std::fs::copy(self.0.join(CONFIG), backup)?;
        }
        let text = [format!("Include {OURS}\n").as_bytes(), own].concat();
        self.replace(CONFIG, &text)
    }

    fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        match std::fs::read(self.0.join(name)) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// Writes beside and renames, with the permissions that were there. A file that is kept elsewhere stays a link.
    fn replace(&self, name: &str, content: &[u8]) -> std::io::Result<()> {
        let path = self.0.join(name);
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let permissions = std::fs::metadata(&path).map_or_else(|_| Permissions::from_mode(0o600), |meta| meta.permissions());
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&self.0))?;
        file.write_all(content)?;
        file.as_file().set_permissions(permissions)?;
        file.as_file().sync_all()?;
        file.persist(&path).map(drop).map_err(|err| err.error)
    }
}

/// The name under which a host's key is filed: what one server says of its key must not count for another one.
fn alias(name: &str) -> String {
    format!("mini-{name}")
}

fn block(name: &str, address: &SshAddress, is_pinned: bool) -> String {
    let SshAddress { user, host, port } = address;
    let pinned = if is_pinned {
        format!("    HostKeyAlias {}\n    UserKnownHostsFile ~/.ssh/known_hosts ~/.ssh/{KNOWN_HOSTS}\n", alias(name))
    } else {
        String::new()
    };
    format!("\nHost {name}\n    HostName {host}\n    Port {port}\n    User {user}\n{pinned}")
}

/// The words of every line; keyword and values may be joined by `=` and quoted (`ssh_config(5)`).
fn lines_of(text: &[u8]) -> impl Iterator<Item = Vec<String>> {
    let text = String::from_utf8_lossy(text).into_owned();
    let words = |line: &str| {
        line.split(|c: char| c.is_whitespace() || c == '=')
            .map(|word| word.trim_matches('"').to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    text.lines().map(words).collect::<Vec<_>>().into_iter()
}

fn has_host(text: &[u8], name: &str) -> bool {
    lines_of(text)
        .any(|words| words.first().is_some_and(|first| first.eq_ignore_ascii_case("host")) && words[1..].iter().any(|word| word == name))
}

fn includes_ours(text: &[u8]) -> bool {
    let is_ours = |word: &String| word == OURS || word.ends_with(&format!("/{OURS}"));
    lines_of(text).any(|words| words.first().is_some_and(|first| first.eq_ignore_ascii_case("include")) && words[1..].iter().any(is_ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KnownHost;

    fn hosts(set: &[(&str, &str)]) -> Hosts {
        let mut hosts = Hosts::default();
        for (name, url) in set {
            hosts.set(name, KnownHost::new(url.parse().unwrap())).unwrap();
        }
        hosts
    }

    fn folder() -> (tempfile::TempDir, SshFolder) {
        let home = tempfile::tempdir().unwrap();
        let folder = SshFolder(home.path().join(".ssh"));
        (home, folder)
    }

    fn text(folder: &SshFolder, name: &str) -> String {
        std::fs::read_to_string(folder.0.join(name)).unwrap()
    }

    #[test]
    fn the_persons_file_is_kept_byte_for_byte_below_one_line() {
        let (_home, folder) = folder();
        let own = b"# caf\xe9\r\nHost work\n\tHostName x\n\n\n".to_vec();
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::write(folder.0.join(CONFIG), &own).unwrap();
        std::fs::set_permissions(folder.0.join(CONFIG), Permissions::from_mode(0o640)).unwrap();

        for url in ["1.2.3.4", "5.6.7.8", "5.6.7.8"] {
            assert_eq!(folder.write(&hosts(&[("mini", url)])).unwrap(), Written { foreign: vec![] });
        }

        let config = std::fs::read(folder.0.join(CONFIG)).unwrap();
        assert_eq!(config, [b"Include mini.conf\n", own.as_slice()].concat());
        assert_eq!(std::fs::read(folder.0.join(BACKUP)).unwrap(), own);
        assert_eq!(std::fs::metadata(folder.0.join(CONFIG)).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(text(&folder, OURS), HEAD.to_owned() + "\nHost mini\n    HostName 5.6.7.8\n    Port 2222\n    User mini\n");
    }

    #[test]
    fn without_a_file_a_private_one_is_made() {
        let (_home, folder) = folder();

        folder.write(&hosts(&[("mini", "1.2.3.4"), ("api", "https://x.example")])).unwrap();

        assert_eq!(text(&folder, CONFIG), "Include mini.conf\n");
        assert!(folder.has_block("mini") && !folder.has_block("api") && !folder.0.join(BACKUP).exists());
        for (name, mode) in [("", 0o700), (CONFIG, 0o600), (OURS, 0o600)] {
            assert_eq!(std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
        }
    }

    #[test]
    fn a_host_of_the_persons_own_is_left_to_them() {
        let (_home, folder) = folder();
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::write(folder.0.join(CONFIG), "host other \"mini\"\n  HostName old\n").unwrap();

        let written = folder.write(&hosts(&[("mini", "1.2.3.4"), ("work", "5.6.7.8")])).unwrap();

        assert_eq!(written.foreign, ["mini"]);
        assert!(!folder.has_block("mini") && folder.has_block("work"));
    }

    #[test]
    fn an_include_that_is_there_already_and_a_linked_file_stay() {
        let (home, folder) = folder();
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::write(home.path().join("dotfile"), "  include=~/.ssh/mini.conf\nHost *\n").unwrap();
        std::os::unix::fs::symlink(home.path().join("dotfile"), folder.0.join(CONFIG)).unwrap();

        folder.write(&hosts(&[("mini", "1.2.3.4")])).unwrap();
        assert_eq!(text(&folder, CONFIG), "  include=~/.ssh/mini.conf\nHost *\n");

        std::fs::write(home.path().join("dotfile"), "Host *\n").unwrap();
        folder.write(&hosts(&[("mini", "1.2.3.4")])).unwrap();
        assert!(std::fs::symlink_metadata(folder.0.join(CONFIG)).unwrap().is_symlink());
        assert_eq!(text(&folder, CONFIG), "Include mini.conf\nHost *\n");
    }

    #[test]
    fn a_pinned_key_stands_in_a_file_of_its_own() {
        let (_home, folder) = folder();
        let mut set = hosts(&[("api", "https://x.example")]);
        let mut host = set.remove("api").unwrap();
        host.ssh = Some("ssh://mini@x.example:2222".to_owned().try_into().unwrap());
        host.host_key = Some("ssh-ed25519 AAAA".into());
        set.set("api", host).unwrap();

        folder.write(&set).unwrap();

        assert_eq!(text(&folder, KNOWN_HOSTS), "mini-api ssh-ed25519 AAAA\n");
        assert!(text(&folder, OURS).contains("HostKeyAlias mini-api\n    UserKnownHostsFile ~/.ssh/known_hosts ~/.ssh/mini_known_hosts\n"));
        folder.write(&hosts(&[])).unwrap();
        assert_eq!(text(&folder, KNOWN_HOSTS), "");
    }
}
