//! Sealed values: AES-256-GCM under a key file that stands beside the database.
//!
//! It protects stolen database files and backups without their key, not against root on the server.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rusqlite::Connection;

use super::file::sync_dir;
use super::schema::{beside, meta, set_meta};
use crate::error::{Error, Result};
use crate::model::{AppId, ConfigName, Domain, RegistryHost, Version};

/// The key file's name within the data dir.
pub(super) const NAME: &str = "master.key";
const KEY_BYTES: usize = 32;
/// The first byte of everything sealed names its key, so that a later key can stand beside this one.
const KEY_ID: u8 = 1;
const CHECK: &[u8] = b"mini";

/// Seals and opens values under the server's master key.
///
/// A sealed value is one byte of key id, 12 bytes of nonce, the ciphertext and its 16 byte tag.
pub(super) struct Sealer {
    key: RandomizedNonceKey,
}

/// What a sealed value is: authenticated with it, so that a value moved to another row does not open.
#[derive(Clone, Copy)]
pub(super) enum Label<'a> {
    Config(&'a AppId, &'a ConfigName),
    Release(&'a AppId, Version),
    Registry(&'a RegistryHost),
    Certificate(&'a AppId, &'a Domain),
    /// The address of an authority's directory.
    Account(&'a str),
    Check,
}

// === impl Sealer ===

impl Sealer {
    /// Loads the master key of `data_dir` and proves it against the database; makes one only where none was ever used.
    pub fn open(data_dir: &Path, conn: &Connection) -> Result<Self> {
        let path = data_dir.join(NAME);
        let check: Option<Vec<u8>> = meta(conn, "key_check")?;
        let key = match (read_key(&path)?, &check) {
            (Some(key), _) => key,
            (None, None) if !has_ciphertext(conn)? => create_key(data_dir, &path)?,
            (None, _) => {
                return Err(Error::setup(format!("the master key `{}` is missing", path.display()))
                    .hint("put the key file back from a backup: config values cannot be read without it"));
            }
        };
        let sealer = Sealer { key: RandomizedNonceKey::new(&AES_256_GCM, &key).expect("the key has the cipher's length") };
        match check {
            Some(check) => sealer.prove(&path, &check)?,
            None => sealer.adopt(&path, conn)?,
        }
        Ok(sealer)
    }

    /// Seals `plain`; only a value with the same label opens it again.
    pub fn seal(&self, label: Label<'_>, plain: &[u8]) -> Vec<u8> {
        let mut body = plain.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(label.bytes()), &mut body).expect("a value is far below GCM's limit");
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + body.len());
        sealed.push(KEY_ID);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut body);
        sealed
    }

    /// Opens what [`Sealer::seal`] made; the error tells neither the value nor its name.
    pub fn open_sealed(&self, label: Label<'_>, sealed: &[u8]) -> Result<Vec<u8>> {
        self.try_open(label, sealed).ok_or_else(|| {
            Error::setup("a config value cannot be opened: it was sealed under another key or moved")
                .hint("restore a backup with its master key")
        })
    }

    fn try_open(&self, label: Label<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&KEY_ID, rest) = sealed.split_first()? else { return None };
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(label.bytes()), &mut body).ok()?;
        Some(plain.to_vec())
    }

    fn prove(&self, path: &Path, check: &[u8]) -> Result<()> {
        if self.try_open(Label::Check, check).is_some_and(|plain| plain == CHECK) { Ok(()) } else { Err(wrong_key(path)) }
    }

    /// Binds a database without a check value to this key: the last step of a first start.
    fn adopt(&self, path: &Path, conn: &Connection) -> Result<()> {
        // Without its check value a file with ciphertext was tampered with: the key cannot be proven.
        if has_ciphertext(conn)? {
            return Err(wrong_key(path));
        }
        set_meta(conn, "key_check", self.seal(Label::Check, CHECK))
    }
}

// === impl Label ===

impl Label<'_> {
    fn bytes(self) -> Vec<u8> {
        // Ids and names hold no NUL, so that two labels never have the same bytes.
        match self {
            Label::Config(app, name) => format!("config\0{app}\0{name}").into_bytes(),
            Label::Release(app, version) => format!("release\0{app}\0{version}").into_bytes(),
            Label::Registry(host) => format!("registry\0{host}").into_bytes(),
            Label::Certificate(app, domain) => format!("certificate\0{app}\0{domain}").into_bytes(),
            Label::Account(directory) => format!("account\0{directory}").into_bytes(),
            Label::Check => b"check".to_vec(),
        }
    }
}

fn wrong_key(path: &Path) -> Error {
    Error::setup(format!("the master key `{}` is not the one that sealed this database", path.display()))
        .hint("put the right key file back from a backup")
}

fn has_ciphertext(conn: &Connection) -> Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM config) OR EXISTS (SELECT 1 FROM releases) OR EXISTS (SELECT 1 FROM registries) \
                 OR EXISTS (SELECT 1 FROM certificates) OR EXISTS (SELECT 1 FROM acme_accounts)";
    Ok(conn.query_row(query, [], |row| row.get(0))?)
}

fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(Error::setup(format!("the master key `{}` cannot be read: {err}", path.display())).because(err)),
    };
    let Ok(key) = <[u8; KEY_BYTES]>::try_from(bytes) else {
        return Err(Error::setup(format!("the master key `{}` is damaged: it is not {KEY_BYTES} bytes long", path.display()))
            .hint("put the key file back from a backup"));
    };
    close_to_others(path)?;
    Ok(Some(key))
}

fn close_to_others(path: &Path) -> Result<()> {
    let closed = || -> std::io::Result<()> {
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
        }
        Ok(())
    };
    closed().map_err(|err| Error::setup(format!("the master key `{}` is open to others", path.display())).because(err))
}

fn create_key(data_dir: &Path, path: &PathBuf) -> Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).expect("the operating system has random bytes");
    let unfinished = beside(path, ".new");
    let write = || -> std::io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_dir(data_dir)
    };
    write().map_err(|err| Error::setup(format!("the master key `{}` cannot be written: {err}", path.display())).because(err))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::trial::*;
    use super::*;

    #[tokio::test]
    async fn a_missing_key_is_refused_and_not_made_again() {
        let (dir, store) = fresh();
        drop(store);
        let path = dir.path().join(NAME);

        fs::remove_file(&path).unwrap();

        refusal(dir.path(), &path);
        refusal(dir.path(), &path);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_wrong_or_cut_key_is_refused_and_the_right_one_opens_again() {
        let (dir, store, app) = with_app().await;
        store.replace_config(app.id.clone(), config(&[("A", "1")])).await.unwrap();
        drop(store);
        let path = dir.path().join(NAME);
        let right = fs::read(&path).unwrap();

        for wrong in [vec![7; KEY_BYTES], vec![], right[..31].to_vec()] {
            fs::write(&path, wrong).unwrap();
            refusal(dir.path(), &path);
        }
        fs::write(&path, right).unwrap();

        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.config(app.id).await.unwrap(), config(&[("A", "1")]));
    }

    #[tokio::test]
    async fn the_check_value_cannot_be_taken_away_to_slip_a_key_in() {
        let (dir, store, app) = with_app().await;
        store.replace_config(app.id, config(&[("A", "1")])).await.unwrap();
        drop(store);
        let path = dir.path().join(NAME);
        let conn = Connection::open(dir.path().join("mini.db")).unwrap();

        conn.execute("DELETE FROM meta WHERE key = 'key_check'", []).unwrap();
        fs::write(&path, [7; KEY_BYTES]).unwrap();

        refusal(dir.path(), &path);
    }

    #[test]
    fn a_first_start_that_was_cut_between_its_steps_goes_on() {
        let (dir, store) = fresh();
        drop(store);
        let conn = Connection::open(dir.path().join("mini.db")).unwrap();
        conn.execute("DELETE FROM meta WHERE key = 'key_check'", []).unwrap();

        Store::open(dir.path()).expect("cut before the check value");
        conn.execute("DELETE FROM meta WHERE key = 'key_check'", []).unwrap();
        fs::remove_file(dir.path().join(NAME)).unwrap();
        Store::open(dir.path()).expect("cut before the key");
    }

    #[test]
    fn the_key_is_closed_to_others() {
        let (dir, store) = fresh();
        drop(store);
        let path = dir.path().join(NAME);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();

        Store::open(dir.path()).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
