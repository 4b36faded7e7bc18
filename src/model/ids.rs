//! Identities that machines choose: random, content-addressed, or the engine's own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An app's identity for life, 16 hex digits. Directories, labels and sealed values are bound to it, never to a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(String);

/// The identity of a data dir, 16 hex digits: the label `mini.instance` of everything that this server makes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// A git commit: 40 hex digits, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// An image's content id as the engine gives it: `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

/// A container's full id as the engine gives it: 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// The public half of an API key: 8 letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn random_hex() -> String {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has random bytes");
    format!("{:016x}", u64::from_be_bytes(bytes))
}

impl AppId {
    /// Makes a new random id.
    #[must_use]
    pub fn random() -> Self {
        AppId(random_hex())
    }
}

impl InstanceId {
    /// Makes a new random id.
    #[must_use]
    pub fn random() -> Self {
        InstanceId(random_hex())
    }
}

impl CommitId {
    /// Returns the first 7 digits, as git prints them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl ContainerId {
    /// Returns the first 12 digits, as Docker prints them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

macro_rules! checked_id {
    ($($name:ident: $what:literal, $check:expr;)+) => {$(
        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(Error::usage(concat!("this is not ", $what)))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )+};
}

checked_id! {
    AppId: "an app id", |text| is_hex(text, 16);
    InstanceId: "an instance id", |text| is_hex(text, 16);
    CommitId: "a commit id", |text| is_hex(text, 40);
    ImageId: "an image id", |text| text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64));
    ContainerId: "a container id", |text| is_hex(text, 64);
    TokenId: "an API key's id", |text| text.len() == 8 && text.bytes().all(|b| b.is_ascii_alphanumeric());
}
