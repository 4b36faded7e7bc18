use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::error::Result;
use crate::model::{InstanceId, Stamp};

const APP: &str = "0123456789abcdef";

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        mini: "0.1.0".into(),
        schema: 2,
        instance: InstanceId::random(),
        taken_at: Stamp::now(),
        holds_master_key: true,
        apps: vec![ManifestApp { id: APP.parse().unwrap(), name: "blog".parse().unwrap() }],
    }
}

/// A data dir with something at every kind of place.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let id = "ab".repeat(20);
    let places = [
        "mini.db".to_owned(),
        "host_key".to_owned(),
        format!("logs/{APP}/00000001.log"),
        format!("repos/{APP}.git/refs/heads/main"),
        format!("repos/{APP}.git/objects/{}/{}", &id[..2], &id[2..]),
        format!("repos/{APP}.git/objects/pack/pack-{id}.pack"),
    ];
    for (number, place) in places.iter().enumerate() {
        let path = dir.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{place}\n").repeat(1 + 20 * number)).unwrap();
    }
    dir
}

fn backup_of(dir: &Path) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &manifest()).unwrap();
    writer.add_file(DATABASE, &dir.join(DATABASE)).unwrap();
    writer.add_file(HOST_KEY, &dir.join(HOST_KEY)).unwrap();
    writer.add_folder(REPOSITORIES, &dir.join(REPOSITORIES)).unwrap();
    writer.add_folder(LOGS, &dir.join(LOGS)).unwrap();
    writer.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> Result<(tempfile::TempDir, Manifest)> {
    let dir = tempfile::tempdir().unwrap();
    let manifest = unpack(bytes, dir.path())?;
    Ok((dir, manifest))
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                waiting.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A tar of our manifest and then of these entries, without the checks of our writer.
fn tar_of(entries: &[(&[u8], tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let text = serde_json::to_vec(&manifest()).unwrap();
    let all = std::iter::once((&b"manifest.json"[..], tar::EntryType::Regular, text.as_slice())).chain(entries.iter().copied());
    for (path, kind, content) in all {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o777);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn what_is_backed_up_comes_back_private_and_as_it_was() {
    let dir = filled();

    let (back, manifest) = unpacked(&backup_of(dir.path())).unwrap();

    assert_eq!(manifest.apps[0].name.as_str(), "blog");
    assert_eq!(files(back.path()), files(dir.path()));
    let mode = |path: &str| fs::metadata(back.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("mini.db"), mode("repos")), (0o600, 0o700));
}

#[test]
fn a_log_that_shrinks_while_it_is_read_does_not_shift_what_follows() {
    struct Cutting(std::path::PathBuf, Vec<u8>);
    impl Write for Cutting {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // The log's header is written: its size is settled.
            if String::from_utf8_lossy(bytes).contains("00000001.log") {
                fs::write(&self.0, "cut\n").unwrap();
            }
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = filled();
    let log = dir.path().join(format!("logs/{APP}/00000001.log"));

    let mut writer = Writer::new(Cutting(log.clone(), Vec::new()), &manifest()).unwrap();
    writer.add_folder(LOGS, &dir.path().join(LOGS)).unwrap();
    writer.add_file(DATABASE, &dir.path().join(DATABASE)).unwrap();
    let (back, _) = unpacked(&writer.finish().unwrap().1).unwrap();

    let text = fs::read_to_string(back.path().join(format!("logs/{APP}/00000001.log"))).unwrap();
    assert_eq!(text.trim_end_matches('\n'), "cut");
    assert_eq!(fs::read(back.path().join(DATABASE)).unwrap(), fs::read(dir.path().join(DATABASE)).unwrap());
}

#[test]
fn a_backup_cut_anywhere_is_refused() {
    let bytes = backup_of(filled().path());
    // Two empty blocks end a tar: they hold nothing, and the seal stands before them.
    let whole = bytes.len() - 1024;

    for cut in (0..whole).step_by(1021).chain([whole - 1, whole - 600]) {
        assert!(unpacked(&bytes[..cut]).is_err(), "cut at {cut} of {whole}");
    }
    unpacked(&bytes[..whole]).unwrap();
}

#[test]
fn a_flipped_byte_is_refused_or_harmless() {
    let dir = filled();
    let bytes = backup_of(dir.path());
    let mut refused = 0;

    for at in (0..bytes.len()).step_by(97) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x20;
        match unpacked(&flipped) {
            Err(_) => refused += 1,
            // The padding of a block, which says nothing.
            Ok((back, _)) => assert_eq!(files(back.path()), files(dir.path()), "at {at}"),
        }
    }

    assert!(refused > 50, "only {refused} were refused");
}

#[test]
fn what_is_no_file_or_has_no_place_is_refused() {
    use tar::EntryType;
    let repo = format!("repos/{APP}.git/");
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("mini.db");
    let mut hostile: Vec<(String, EntryType)> = [
        "../mini.db",
        "./mini.db",
        "repos/../mini.db",
        "/mini.db",
        "mini.db/x",
        "mini.db/",
        "",
        "mini.sock",
        "lock",
        "master.key.new",
        "hooks/pre-receive",
        "logs/x.log",
        "logs/0123456789abcdef/../x.log",
        "logs/0123456789abcdef/x",
        "repos/x.git/refs/heads/main",
        absolute.to_str().unwrap(),
    ]
    .iter()
    .map(|path| ((*path).to_owned(), EntryType::Regular))
    .collect();
    for inside in [
        "config",
        "HEAD",
        "hooks/update",
        "objects/info/alternates",
        "refs/heads/../../config",
        "refs/heads/.x",
        "refs/heads/main.lock",
        "refs/heads/",
        "refs//main",
        "objects/ab/../x",
        "objects/pack/pack-x.pack",
        "objects/tmp_objdir-incoming-x/y",
    ] {
        hostile.push((format!("{repo}{inside}"), EntryType::Regular));
    }
    let kinds = [EntryType::Symlink, EntryType::Link, EntryType::Directory, EntryType::Fifo, EntryType::Char, EntryType::GNUSparse];
    hostile.extend(kinds.into_iter().map(|kind| ("mini.db".to_owned(), kind)));
    hostile.extend([EntryType::GNULongName, EntryType::XHeader].map(|kind| ("mini.db".to_owned(), kind)));

    for (path, kind) in &hostile {
        let dir = tempfile::tempdir().unwrap();
        let err = unpack(tar_of(&[(path.as_bytes(), *kind, b"")]).as_slice(), dir.path()).unwrap_err();

        assert!(err.sentence().contains("holds"), "{path} {kind:?}: {err}");
        assert_eq!(files(dir.path()), [], "{path}");
    }
    assert_eq!(files(outside.path()), []);
}

#[test]
fn a_file_that_is_there_twice_or_too_large_or_behind_the_end_is_refused() {
    use tar::EntryType::Regular;
    let twice = tar_of(&[(b"mini.db", Regular, b"1"), (b"mini.db", Regular, b"2")]);
    let large = tar_of(&[(b"host_key", Regular, &vec![0; 65 << 10])]);
    let mut behind = backup_of(filled().path());
    behind.truncate(behind.len() - 1024);
    behind.extend(tar_of(&[]));

    for (bytes, why) in [(twice, "twice"), (large, "too large"), (behind, "manifest.json")] {
        let err = unpacked(&bytes).err().unwrap();

        assert!(err.sentence().contains(why), "{err}");
    }
}

#[test]
fn something_else_and_a_newer_format_are_told_apart() {
    let newer = tar_of(&[]);
    let newer = String::from_utf8(newer).unwrap().replace("\"format\":1", "\"format\":2").into_bytes();

    let err = unpacked(&newer).err().unwrap();
    assert!(err.sentence().contains("format 2") && err.next_step().is_some(), "{err}");
    for other in [&b""[..], b"hello", &[0; 4096]] {
        assert!(unpacked(other).is_err());
    }
}
