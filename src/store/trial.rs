//! What the tests of this room share: a store in a fresh data dir, and the nouns to fill it with.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use tempfile::TempDir;

use super::{App, ConfigValues, GoLive, NewDeploy, NewKey, NewRelease, Release, Store};
use crate::error::{Error, Kind};
use crate::model::{
    CommitId, ContainerId, ImageId, ProcessTable, ProcessType, PublicKey, ReleaseKind, Revision, Role, Scope, Secret, Version,
};

pub(super) const CANARY: &str = "canary-5b1f7c";

const ANNA: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqt anna@laptop";

pub(super) fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

pub(super) async fn with_app() -> (TempDir, Store, App) {
    let (dir, store) = fresh();
    let app = store.create_app(crate::model::AppId::random(), "blog".parse().unwrap(), "anna".into()).await.unwrap();
    (dir, store, app)
}

/// Tells whether [`CANARY`] stands in a file of the data dir.
pub(super) fn holds_canary(dir: &Path) -> bool {
    let files = fs::read_dir(dir).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()))
}

pub(super) fn config(pairs: &[(&str, &str)]) -> ConfigValues {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), Secret::new((*value).to_owned()))).collect()
}

pub(super) fn image(digit: char) -> ImageId {
    format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap()
}

pub(super) fn container(digit: char) -> ContainerId {
    digit.to_string().repeat(64).parse().unwrap()
}

pub(super) fn commit() -> CommitId {
    "8e6f2c1".repeat(6)[..40].parse().unwrap()
}

pub(super) fn new_release(digit: char, pairs: &[(&str, &str)]) -> NewRelease {
    NewRelease {
        kind: ReleaseKind::Push,
        revision: Some(Revision::pushed(commit())),
        image: image(digit),
        image_tag: format!("mini/blog:{digit}"),
        by: "anna".into(),
        description: "Deploy 8e6f2c1".into(),
        config: config(pairs),
        port: 5000,
        process_table: ProcessTable::default(),
    }
}

pub(super) fn new_deploy(app: &App) -> NewDeploy {
    NewDeploy { app: app.id.clone(), kind: ReleaseKind::Push, commit: Some(commit()), by: "anna".into(), message: None }
}

/// Begins a release and makes it live.
pub(super) async fn live(store: &Store, app: &App, digit: char, pairs: &[(&str, &str)]) -> Version {
    let version = store.begin_release(app.id.clone(), new_release(digit, pairs)).await.unwrap().version;
    store.go_live(app.id.clone(), version, GoLive::default()).await.unwrap();
    version
}

/// Begins a release with an address.
pub(super) async fn placed(store: &Store, app: &App, address: [u8; 4]) -> Release {
    let version = store.begin_release(app.id.clone(), new_release('a', &[])).await.unwrap().version;
    let process = store.begin_process(app.id.clone(), version, ProcessType::web(), 1).await.unwrap();
    store.place_process(process.id, Ipv4Addr::from(address)).await.unwrap();
    store.release(app.id.clone(), version).await.unwrap()
}

/// A valid public key that differs by `number`.
pub(super) fn key(number: u8, comment: &str) -> PublicKey {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let mut blob = engine.decode(ANNA.split(' ').nth(1).unwrap()).unwrap();
    *blob.last_mut().unwrap() = number;
    PublicKey::parse(&format!("ssh-ed25519 {} {comment}", engine.encode(blob))).unwrap()
}

pub(super) fn new_key(name: &str, number: u8, role: Role, scope: Scope) -> NewKey {
    NewKey { name: name.parse().unwrap(), key: key(number, name), role, scope }
}

/// Opens a store that must refuse, with exit code 78 and one line that names `path`.
pub(super) fn refusal(dir: &Path, path: &Path) -> Error {
    let err = Store::open(dir).err().expect("the store opened");
    assert_eq!((err.kind(), err.exit_code()), (Kind::Setup, 78), "{err:?}");
    assert!(err.sentence().contains(path.to_str().unwrap()), "{err}");
    assert!(!err.sentence().contains('\n'), "{err}");
    err
}

/// Copies the files of a data dir as a power loss would leave them: whatever is open stays open.
pub(super) fn snapshot(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        // The `-shm` file is an index that dies with its processes.
        if entry.file_type().unwrap().is_file() && !entry.file_name().to_str().unwrap().ends_with("-shm") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}
