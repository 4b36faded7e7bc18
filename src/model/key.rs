//! Public keys as people paste them, and the fingerprint by which they are known.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ssh_key::HashAlg;
use ssh_key::public::KeyData;

use super::limits::MIN_RSA_BITS;
use crate::error::{Error, Result};

/// A key's SHA-256 fingerprint as OpenSSH prints it: `SHA256:` and 43 characters of base64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(String);

/// A public key fit to log in with: ed25519, ecdsa, their `sk-` forms, or RSA of at least 2048 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: ssh_key::PublicKey,
}

// === impl PublicKey ===

impl PublicKey {
    /// Parses one `authorized_keys` line (sshd(8), "`AUTHORIZED_KEYS` FILE FORMAT").
    ///
    /// The comment is kept as [`PublicKey::comment`]. A line with options is refused: `command=` and its like would
    /// promise a restriction that `mini` does not keep.
    pub fn parse(line: &str) -> Result<Self> {
        let line = line.trim();
        if line.contains("PRIVATE KEY") {
            return Err(Error::usage("this is a private key").hint("send the public one, it ends in .pub; and treat this one as leaked"));
        }
        let key: ssh_key::PublicKey = line.parse().map_err(|err| {
            Error::usage("this is not an SSH public key")
                .because(err)
                .hint("paste one line such as `ssh-ed25519 AAAA… anna@laptop`, without options")
        })?;
        if let KeyData::Rsa(rsa) = key.key_data() {
            check_rsa(rsa)?;
        }
        if matches!(key.key_data(), KeyData::Dsa(_) | KeyData::Other(_)) {
            return Err(
                Error::usage(format!("keys of type `{}` are not accepted", key.algorithm())).hint("make one with: ssh-keygen -t ed25519")
            );
        }
        Ok(PublicKey { key })
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.key.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Returns the comment behind the key, often `user@host`; may be empty.
    #[must_use]
    pub fn comment(&self) -> &str {
        self.key.comment().as_str().unwrap_or_default()
    }

    /// Returns the algorithm's SSH name, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> String {
        self.key.algorithm().to_string()
    }

    /// Returns the key in one line without its comment.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut bare = self.key.clone();
        bare.set_comment("");
        bare.to_openssh().unwrap_or_default()
    }
}

fn check_rsa(rsa: &ssh_key::public::RsaPublicKey) -> Result<()> {
    let bits = rsa.key_size();
    if bits >= MIN_RSA_BITS {
        return Ok(());
    }
    Err(Error::usage(format!("this RSA key has {bits} bits, at least {MIN_RSA_BITS} are needed"))
        .hint("make a new one with: ssh-keygen -t ed25519"))
}

// === impl Fingerprint ===

impl Fingerprint {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = text
            .strip_prefix("SHA256:")
            .is_some_and(|rest| rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/'));
        if fits {
            Ok(Fingerprint(text.to_owned()))
        } else {
            Err(Error::usage("this is not a key fingerprint").hint("it looks like SHA256:… in `mini keys`"))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.0
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqt anna@laptop";

    #[test]
    fn a_pasted_line_is_parsed_with_its_comment() {
        let key = PublicKey::parse(&format!("  {ED25519}\n")).expect("the line is a key");

        assert_eq!(key.comment(), "anna@laptop");
        assert_eq!(key.algorithm(), "ssh-ed25519");
        assert!(key.fingerprint().as_str().parse::<Fingerprint>().is_ok());
        assert!(!key.to_line().contains("anna"));
    }

    #[test]
    fn what_is_not_a_plain_public_key_is_refused() {
        let options = format!("command=\"/bin/sh\" {ED25519}");
        for line in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", "hello world", &options] {
            assert!(PublicKey::parse(line).is_err(), "{line:?} was taken as a key");
        }
    }
}
