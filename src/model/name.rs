//! Names that people choose: apps, keys, config variables.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Words that are nouns or verbs of the command line, or names of the server itself.
const RESERVED: &[&str] = &[
    "api",
    "app",
    "apps",
    "backup",
    "build",
    "builds",
    "certs",
    "completion",
    "config",
    "create",
    "deploy",
    "deployed",
    "destroy",
    "doctor",
    "domains",
    "enter",
    "events",
    "explain",
    "firewall",
    "get",
    "git",
    "help",
    "hook",
    "hosts",
    "info",
    "init",
    "keys",
    "limits",
    "list",
    "logs",
    "maintenance",
    "mini",
    "open",
    "prune",
    "ps",
    "rebuild",
    "registry",
    "releases",
    "rename",
    "restart",
    "restore",
    "rollback",
    "run",
    "scale",
    "server",
    "set",
    "ssh-keys",
    "start",
    "stats",
    "status",
    "stop",
    "storage",
    "tokens",
    "top",
    "unset",
    "version",
    "whoami",
    "www",
];

/// An app's name: a DNS label, `^[a-z][a-z0-9-]{0,38}[a-z0-9]$` without `--`, that is no word of the command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// The name under which a public key is kept: 1 to 64 letters, digits and `. _ @ + -`, not starting with `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

/// The name of a config variable: `^[A-Za-z_][A-Za-z0-9_]{0,127}$` (POSIX environment, XBD 8.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigName(String);

/// Variables that `mini` itself sets in every app.
const OWN_VARIABLES: &[&str] = &["MINI_APP", "MINI_RELEASE", "DYNO", "GIT_REV"];

// === impl AppName ===

impl FromStr for AppName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let shape = (2..=40).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && !text.contains("--")
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !shape {
            return Err(Error::usage(format!("`{}` is not an app name", printable(text)))
                .hint("use 2 to 40 lower-case letters, digits and single dashes, starting with a letter"));
        }
        if RESERVED.contains(&text) || is_release_like(text) {
            return Err(Error::usage(format!("`{text}` is a word of the command line and cannot name an app"))
                .hint(format!("choose another name, such as `{text}-app`")));
        }
        Ok(AppName(text.to_owned()))
    }
}

fn is_release_like(text: &str) -> bool {
    text.strip_prefix('v').is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}

/// Cuts and escapes what a stranger typed, so that it can stand in a sentence and a log.
fn printable(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

// === impl KeyName ===

impl FromStr for KeyName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=64).contains(&text.len())
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._@+-".contains(c));
        if fits {
            Ok(KeyName(text.to_owned()))
        } else {
            Err(Error::usage(format!("`{}` is not a key name", printable(text)))
                .hint("use letters, digits and . _ @ + -, such as anna@laptop"))
        }
    }
}

// === impl ConfigName ===

impl FromStr for ConfigName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=128).contains(&text.len())
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            return Err(Error::usage(format!("`{}` is not a variable name", printable(text)))
                .hint("use letters, digits and `_`, such as DATABASE_URL"));
        }
        if OWN_VARIABLES.contains(&text) {
            return Err(Error::usage(format!("`{text}` is set by mini itself")).hint("choose another name"));
        }
        Ok(ConfigName(text.to_owned()))
    }
}

text_newtype!(AppName.0, KeyName.0, ConfigName.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_something_else_are_refused() {
        let hostile = [
            "",
            "a",
            "-rf",
            "a-",
            "a--b",
            "A",
            "a.b",
            "a_b",
            "a;id",
            "$(id)",
            "`id`",
            "a\nb",
            "a\0b",
            "../x",
            "/etc",
            "a/b",
            "a.git",
            "--upload-pack=x",
            "v12",
            "mini",
            "logs",
            "www",
            "1a",
            "\u{202e}a",
            "ünï",
            "a b",
            "a=b",
        ];

        for name in hostile {
            assert!(name.parse::<AppName>().is_err(), "{name:?} was taken as an app name");
        }
        assert!("x".repeat(41).parse::<AppName>().is_err());
    }

    #[test]
    fn plain_names_pass() {
        for name in ["blog", "blue-sky", "a1", "v12a", "x9-y"] {
            assert_eq!(name.parse::<AppName>().map(String::from).ok().as_deref(), Some(name));
        }
        assert!("x".repeat(40).parse::<AppName>().is_ok());
    }

    #[test]
    fn a_config_name_is_a_variable_name_and_not_one_of_ours() {
        assert!("DATABASE_URL".parse::<ConfigName>().is_ok());
        for name in ["", "1A", "A-B", "A=B", "MINI_APP", "A\n"] {
            assert!(name.parse::<ConfigName>().is_err(), "{name:?} was taken as a variable");
        }
    }
}
