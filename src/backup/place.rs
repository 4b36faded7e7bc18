//! The paths that a backup may have, each with the most bytes that may stand there.

use crate::model::AppId;
use crate::model::limits::{GIB, KIB, MIB};

/// The database, in a data dir as in a backup.
pub const DATABASE: &str = "mini.db";
/// The key under which config values are sealed.
pub const MASTER_KEY: &str = "master.key";
/// The server's own ssh key and its public half.
pub const HOST_KEY: &str = "host_key";
pub const HOST_KEY_PUBLIC: &str = "host_key.pub";
/// The settings file.
pub const SETTINGS: &str = "mini.toml";
/// The folders of the apps' logs and repositories.
pub const LOGS: &str = "logs";
pub const REPOSITORIES: &str = "repos";

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SEAL: &str = "end.json";

/// All of a backup together.
pub(super) const MAX_BYTES: u64 = 256 * GIB;
pub(super) const MAX_ENTRIES: u64 = 10_000_000;
pub(super) const MAX_MANIFEST_BYTES: u64 = 16 * MIB;

const MAX_DATABASE_BYTES: u64 = 64 * GIB;
const MAX_PACK_BYTES: u64 = 4 * GIB;
const MAX_OBJECT_BYTES: u64 = GIB;
/// Folders below `refs`; ours are three deep.
const MAX_REF_DEPTH: usize = 8;

/// Returns the folder of an app's repository within [`REPOSITORIES`].
#[must_use]
pub fn repository_folder(app: &AppId) -> String {
    format!("{app}.git")
}

/// Returns the most bytes that a file at `path` may have; `None` for a path that no backup has.
pub(super) fn limit_of(path: &str) -> Option<u64> {
    match path {
        DATABASE => Some(MAX_DATABASE_BYTES),
        MASTER_KEY | HOST_KEY | HOST_KEY_PUBLIC => Some(64 * KIB),
        SETTINGS => Some(MIB),
        _ => {
            let (folder, rest) = path.split_once('/')?;
            let (app, file) = rest.split_once('/')?;
            match folder {
                LOGS if is_app(app) => is_segment(file).then_some(GIB),
                REPOSITORIES if app.strip_suffix(".git").is_some_and(is_app) => git_limit(file),
                _ => None,
            }
        }
    }
}

/// What of a repository is its content: `config` and hooks are made anew, and `alternates` would reach out of it.
fn git_limit(file: &str) -> Option<u64> {
    match file {
        "packed-refs" | "shallow" => return Some(256 * MIB),
        _ => {}
    }
    if let Some(name) = file.strip_prefix("refs/") {
        return is_ref(name).then_some(4 * KIB);
    }
    let (folder, name) = file.strip_prefix("objects/")?.split_once('/')?;
    if folder == "pack" {
        let (id, end) = name.strip_prefix("pack-")?.split_once('.')?;
        return (is_hex(id, 40) && matches!(end, "pack" | "idx" | "rev")).then_some(MAX_PACK_BYTES);
    }
    (is_hex(folder, 2) && is_hex(name, 38)).then_some(MAX_OBJECT_BYTES)
}

fn is_ref(name: &str) -> bool {
    let fits = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.as_bytes().ends_with(b".lock")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    name.split('/').count() <= MAX_REF_DEPTH && name.split('/').all(fits)
}

fn is_app(id: &str) -> bool {
    id.parse::<AppId>().is_ok()
}

fn is_segment(file: &str) -> bool {
    file.strip_suffix(".log").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
