//! What root leaves in `/run` for a server that may not look at rules: which were applied since the machine started.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::model::limits::FIREWALL_ANSWER;

/// Emptied when the machine starts, as its rules are.
const FOLDER: &str = "/run/mini-firewall";
const RETRY: Duration = Duration::from_millis(10);

/// Returns eight hex digits that stand for a data dir: its server's rules bear them.
///
/// The instance's own id would not do: the rules are made before the first start, which makes it.
pub fn tag(data: &Path) -> String {
    let digest = digest(&SHA256, data.as_os_str().as_bytes());
    let first = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
    format!("{:08x}", u32::from_be_bytes(*first))
}

/// The note about one server's rules.
pub struct Note {
    path: PathBuf,
    text: String,
}

// === impl Note ===

impl Note {
    pub fn new(data: &Path, text: String) -> Self {
        Note { path: Path::new(FOLDER).join(tag(data)), text }
    }

    /// Tells whether rules with this text were applied.
    pub fn stands(&self) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
    }

    pub fn write(&self) -> Result<()> {
        let written = std::fs::write(&self.path, &self.text).and_then(|()| make_readable(&self.path, 0o644));
        written.map_err(|err| unwritable(&self.path, &err))
    }

    pub fn erase(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(unwritable(&self.path, &err)),
            _ => Ok(()),
        }
    }
}

/// The turn to change rules: between looking and changing nobody else does. Dropping it ends it.
pub struct Turn {
    _lock: File,
}

// === impl Turn ===

impl Turn {
    pub async fn take() -> Result<Self> {
        let path = Path::new(FOLDER).join("lock");
        let made = std::fs::create_dir_all(FOLDER).and_then(|()| make_readable(Path::new(FOLDER), 0o755));
        let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut lock = made.and_then(|()| open()).map_err(|err| unwritable(&path, &err))?;
        let deadline = Instant::now() + FIREWALL_ANSWER;
        while lock.try_lock().is_err() {
            if Instant::now() > deadline {
                return Err(Error::busy("another `mini` is changing the firewall rules").hint("try again"));
            }
            tokio::time::sleep(RETRY).await;
        }
        // For people who wonder who holds it.
        let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Turn { _lock: lock })
    }
}

/// The unit's `UMask=0077` holds for root's step as well.
fn make_readable(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

fn unwritable(path: &Path, err: &std::io::Error) -> Error {
    Error::failed(format!("{} cannot be written: {err}", path.display()))
}
