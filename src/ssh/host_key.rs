//! The server's own key: made once, kept for good, never replaced in silence.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, key};

use crate::error::{Error, Result};
use crate::model::Fingerprint;

/// The server's ed25519 key, by which clients know that it is the same server.
#[derive(Clone)]
pub struct HostKey {
    key: PrivateKey,
}

// === impl HostKey ===

impl HostKey {
    /// Reads the key at `path`, or makes one there when there is no such file.
    ///
    /// A file that is there and cannot be used is an error: a new key would look like an attack to every client.
    pub fn load_or_make(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Self::make(path),
            Err(err) => Err(unusable(path).because(err)),
        }
    }

    /// Returns the fingerprint that a client shows at its first connection.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let text = self.key.fingerprint(HashAlg::Sha256).to_string();
        text.parse().expect("a SHA-256 fingerprint prints in its own form")
    }

    /// Returns the public half in one line, as `known_hosts` holds it behind the host's name.
    #[must_use]
    pub fn public_line(&self) -> String {
        let mut public = self.key.public_key().clone();
        public.set_comment("");
        public.to_openssh().expect("an ed25519 key has a text form")
    }

    pub(super) fn into_private(self) -> PrivateKey {
        self.key
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let key = PrivateKey::from_openssh(text).map_err(|err| unusable(path).because(err))?;
        // An RSA host key would bring the timing leak of RUSTSEC-2023-0071; an encrypted one cannot sign.
        if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
            return Err(unusable(path).details(["it has to be an ed25519 key without a passphrase".to_owned()]));
        }
        Ok(HostKey { key })
    }

    fn make(path: &Path) -> Result<Self> {
        let failed = || Error::setup(format!("the SSH host key `{}` could not be made", path.display()));
        let key = PrivateKey::random(&mut key::safe_rng(), Algorithm::Ed25519).map_err(|err| failed().because(err))?;
        let text = key.to_openssh(LineEnding::LF).map_err(|err| failed().because(err))?;
        write_beside_and_rename(path, text.as_bytes()).map_err(|err| failed().because(err))?;
        Ok(HostKey { key })
    }
}

fn unusable(path: &Path) -> Error {
    Error::setup(format!("the SSH host key `{}` cannot be used", path.display()))
        .hint("put the old file back; or remove it for a new key, and every client will warn that the host has changed")
}

/// Writes a new file with mode 0600 (tempfile's own) that is whole or not there. It never takes the place of another.
fn write_beside_and_rename(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(content)?;
    beside.as_file().sync_all()?;
    beside.persist_noclobber(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_key_stays_the_same_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host_key");

        let made = HostKey::load_or_make(&path).unwrap();
        let loaded = HostKey::load_or_make(&path).unwrap();

        assert_eq!(made.fingerprint(), loaded.fingerprint());
        assert!(loaded.public_line().starts_with("ssh-ed25519 AAAA"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_key_is_reported_with_its_path_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host_key");
        for broken in ["", "not a key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"] {
            fs::write(&path, broken).unwrap();

            let err = HostKey::load_or_make(&path).err().unwrap();

            assert_eq!(err.kind(), Kind::Setup);
            assert!(err.sentence().contains("host_key"), "{err}");
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_setup_error() {
        let err = HostKey::load_or_make(Path::new("/nonexistent/host_key")).err().unwrap();

        assert_eq!(err.kind(), Kind::Setup);
    }
}
