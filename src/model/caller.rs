//! Who asks: a proven key or the local socket, with a role and the apps it reaches.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AppId, Fingerprint, TokenId};
use crate::error::{Error, Result};

/// What a key may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads: apps, logs, releases.
    View,
    /// Also changes apps: push, config, rollback.
    Deploy,
    /// Also changes the host: keys, settings.
    Admin,
}

/// The apps that a caller reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    All,
    Only(BTreeSet<AppId>),
}

/// By which door and proof the caller came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The private unix socket; the peer's uid is the server's own or 0.
    Socket,
    /// A public key that *signed* this session.
    Key(Fingerprint),
    /// An API key that came with this call.
    Token(TokenId),
}

/// An authenticated caller. Doors make it after the proof, rooms below only read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's name, or `local` for the socket: what `releases` shows as "by".
    pub name: String,
    pub origin: Origin,
    pub role: Role,
    pub scope: Scope,
}

// === impl Role ===

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "view" => Ok(Role::View),
            "deploy" => Ok(Role::Deploy),
            "admin" => Ok(Role::Admin),
            _ => Err(Error::usage(format!("there is no role `{}`", text.escape_debug())).hint("use admin, deploy or view")),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::View => "view",
            Role::Deploy => "deploy",
            Role::Admin => "admin",
        })
    }
}

// === impl Scope ===

impl Scope {
    /// Tells whether `app` is within this scope.
    #[must_use]
    pub fn reaches(&self, app: &AppId) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(apps) => apps.contains(app),
        }
    }
}

// === impl Caller ===

impl Caller {
    /// Returns the caller behind the private unix socket: an admin of everything.
    #[must_use]
    pub fn local() -> Self {
        Caller { name: "local".into(), origin: Origin::Socket, role: Role::Admin, scope: Scope::All }
    }
}
