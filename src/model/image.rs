//! Names of images and of the registries that they come from, read as the Docker Engine reads them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::AppId;
use crate::error::{Error, Result};

/// The registry of a name that tells none.
const HUB: &str = "docker.io";

/// What people call it besides.
const OTHER_HUBS: &[&str] = &["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"];

/// The longest repository name (distribution's `reference` package).
const MAX_NAME_BYTES: usize = 255;

/// An image's name in a registry: `nginx`, `nginx:1.27`, `registry.example.com:5000/team/app@sha256:…`; never an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    typed: String,
    host: RegistryHost,
    path: String,
    /// `:tag` or `@sha256:…`
    suffix: String,
}

/// Where a registry is, as in front of an image's name: `registry.example.com`, `127.0.0.1:5000`; Docker's own is `docker.io`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryHost(String);

// === impl ImageRef ===

impl ImageRef {
    /// Returns the whole name, which the engine cannot take for the beginning of an id: `docker.io/library/nginx:latest`.
    #[must_use]
    pub fn qualified(&self) -> String {
        format!("{}/{}{}", self.host, self.path, self.suffix)
    }

    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }
}

impl FromStr for ImageRef {
    type Err = Error;

    /// Parses a name (distribution's `reference` grammar). Errors: `Usage`; an id, or the name of an app's own image, is no such name.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("`{}` is not the name of an image", shown(text)))
                .hint("it looks like nginx:1.27 or registry.example.com/team/app:v3")
        };
        // An id, also one that could be read as a name and a tag.
        if text.starts_with("sha256:") {
            return Err(wrong());
        }
        let (name, suffix) = split_suffix(text).ok_or_else(wrong)?;
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first.parse().map_err(|_| wrong())?, rest),
            _ => (RegistryHost(HUB.to_owned()), name),
        };
        if path.len() > MAX_NAME_BYTES || !path.split('/').all(is_path_part) {
            return Err(wrong());
        }
        if is_own(&host, path) {
            return Err(Error::not_allowed(format!("`{}` is an image that mini made for an app", shown(text)))
                .hint("releases go back to it: ssh mini rollback APP"));
        }
        let path = if host.0 == HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        Ok(ImageRef { typed: text.to_owned(), host, path, suffix })
    }
}

/// Splits a name from its `:tag` or `@sha256:…`; `None` for what is neither.
fn split_suffix(text: &str) -> Option<(&str, String)> {
    if let Some((name, digest)) = text.split_once('@') {
        let hex = digest.strip_prefix("sha256:")?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        // A tag beside a digest says nothing: the digest is what counts.
        let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
        return is_hex.then(|| (name, format!("@{digest}")));
    }
    let Some((name, tag)) = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else {
        return Some((text, ":latest".to_owned()));
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = (1..=128).contains(&tag.len()) && tag.starts_with(is_word) && tag.chars().all(|c| is_word(c) || c == '.' || c == '-');
    fits.then(|| (name, format!(":{tag}")))
}

/// Tells whether this is `[a-z0-9]+` with single `.`, `_`, `__` or any number of `-` between.
fn is_path_part(part: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(is_plain).filter(|between| !between.is_empty());
    part.starts_with(is_plain)
        && part.ends_with(is_plain)
        && separators.into_iter().all(|between| matches!(between, "." | "_" | "__") || between.chars().all(|c| c == '-'))
}

/// An app's image under its own name would be open to everybody who may deploy anything.
fn is_own(host: &RegistryHost, path: &str) -> bool {
    host.0 == HUB && path.strip_prefix("mini/").is_some_and(|id| id.parse::<AppId>().is_ok())
}

// === impl RegistryHost ===

impl RegistryHost {
    /// Returns the address under which the engine knows credentials for it.
    #[must_use]
    pub fn server_address(&self) -> String {
        if self.0 == HUB { "https://index.docker.io/v1/".to_owned() } else { self.0.clone() }
    }
}

impl FromStr for RegistryHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = text.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_ascii_lowercase();
        if OTHER_HUBS.contains(&plain.as_str()) || plain == HUB {
            return Ok(RegistryHost(HUB.to_owned()));
        }
        let (name, port) = plain.rsplit_once(':').map_or((plain.as_str(), None), |(name, port)| (name, Some(port)));
        let is_label = |label: &str| {
            let inner = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
        };
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        // The engine takes a first part without any of these for a user of Docker's own registry.
        let is_host = name.contains('.') || port.is_some() || name == "localhost";
        if is_port && is_host && name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) {
            return Ok(RegistryHost(plain));
        }
        Err(Error::usage(format!("`{}` is not the address of a registry", shown(text)))
            .hint("it looks like registry.example.com or 10.0.0.5:5000; Docker's own is docker.io"))
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    short.escape_debug().to_string()
}

text_newtype!(ImageRef.typed, RegistryHost.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_the_engine_reads_it() {
        let digest = "a".repeat(64);
        for (typed, qualified) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("cafe", "docker.io/library/cafe:latest".to_owned()),
            ("me/app:3", "docker.io/me/app:3".to_owned()),
            ("index.docker.io/me/app", "docker.io/me/app:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("127.0.0.1:5000/a/b_c/d--e:v1.0-rc_1", "127.0.0.1:5000/a/b_c/d--e:v1.0-rc_1".to_owned()),
            (&format!("quay.io/x/y:2@sha256:{digest}"), format!("quay.io/x/y@sha256:{digest}")),
        ] {
            assert_eq!(typed.parse::<ImageRef>().unwrap().qualified(), qualified, "{typed}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let long = "a".repeat(256);
        for wrong in [
            "",
            ":",
            "a:",
            ":a",
            "A",
            "a b",
            "-a",
            "a/",
            "/a",
            "a//b",
            "a:b:c",
            "a@b",
            "../a",
            "a___b",
            "a..b",
            "a\nb",
            "--help",
            "a:-x",
            "https://a.b/c",
            &digest,
            &long,
            "a.b:x/c",
            "a@sha256:12",
        ] {
            assert!(wrong.parse::<ImageRef>().is_err(), "{wrong:?} was taken");
        }
        assert!("mini/0123456789abcdef:5".parse::<ImageRef>().unwrap_err().sentence().contains("made for an app"));
        assert!("docker.io/mini/0123456789abcdef".parse::<ImageRef>().is_err());
    }

    #[test]
    fn a_registry_has_one_name() {
        for (typed, host) in [
            ("docker.io", "docker.io"),
            ("https://index.docker.io", "docker.io"),
            ("Registry.Example.com/", "registry.example.com"),
            ("10.0.0.5:5000", "10.0.0.5:5000"),
            ("localhost:5000", "localhost:5000"),
        ] {
            assert_eq!(typed.parse::<RegistryHost>().unwrap().as_str(), host);
        }
        for wrong in ["", "registry", "a.b:0", "a.b:99999", "a b.c", "-a.b", "a.b/c", "user@a.b"] {
            assert!(wrong.parse::<RegistryHost>().is_err(), "{wrong:?} was taken");
        }
    }
}
