//! Claims about packing, held against what the server makes of it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::super::{Budget, Context, EntryKind, respool};
use super::*;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

fn unpacked(context: &Context) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let show = |entry: super::super::ContextEntry| {
        let text = match entry.what {
            EntryKind::Folder => "folder".to_owned(),
            EntryKind::Link(target) => format!("-> {}", target.escape_ascii()),
            EntryKind::File { executable, content, .. } => {
                let mut text = String::new();
                content.read_to_string(&mut text).unwrap();
                format!("{executable} {text}")
            }
        };
        found.insert(entry.path.to_vec(), text);
        Ok(())
    };
    context.entries().unwrap().walk(show).unwrap();
    found
}

fn respooled(archive: &[u8]) -> BTreeMap<Vec<u8>, String> {
    let tmp = TempDir::new().unwrap();
    unpacked(respool(archive, tmp.path(), Budget::default(), &|| false).unwrap().whole())
}

#[test]
fn what_is_packed_arrives() {
    let folder = folder(&[("run", "#!"), ("data", "text")]);
    std::fs::set_permissions(folder.path().join("run"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    let long = [&b"\xff".repeat(120)[..], b"/", "ü".repeat(60).as_bytes()].concat();
    let mut packer = Packer::new(Vec::new());

    packer.add_dir("empty").unwrap();
    packer.add_file("run", &folder.path().join("run")).unwrap();
    packer.add_file("a\nb", &folder.path().join("data")).unwrap();
    packer.add_symlink("link", "./run").unwrap();
    packer.add_symlink("far", "x/".repeat(100)).unwrap();
    assert_eq!(packer.add_file(&long, &folder.path().join("data")).unwrap(), Packed::File { bytes: 4 });
    assert_eq!((packer.files(), packer.bytes()), (5, 10));
    let arrived = respooled(&packer.finish().unwrap());

    let wanted: [(&[u8], &str); 6] = [
        (b"empty", "folder"),
        (b"run", "true #!"),
        (b"a\nb", "false text"),
        (b"link", "-> ./run"),
        (&long, "false text"),
        (&long[..120], "folder"),
    ];
    for (path, what) in wanted {
        assert_eq!(arrived.get(path).map(String::as_str), Some(what), "{}", path.escape_ascii());
    }
    assert_eq!(arrived[&b"far"[..]], format!("-> {}", "x/".repeat(100)));
}

#[test]
fn the_same_files_are_the_same_archive_whenever_they_were_written() {
    let pack = || {
        let folder = folder(&[("a", "1")]);
        std::fs::File::open(folder.path().join("a")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let mut packer = Packer::new(Vec::new());
        packer.add_file("a", &folder.path().join("a")).unwrap();
        packer.add_symlink("b", "a").unwrap();
        packer.finish().unwrap()
    };

    assert_eq!(pack(), pack());
}

#[test]
fn what_is_no_file_is_told_and_not_packed() {
    let folder = folder(&[("a", "1")]);
    let (socket, fifo) = (folder.path().join("socket"), folder.path().join("fifo"));
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut packer = Packer::new(Vec::new());

    assert_eq!(packer.add_file("socket", &socket).unwrap(), Packed::LeftOut { kind: "a socket" });
    assert_eq!(packer.add_file("fifo", &fifo).unwrap(), Packed::LeftOut { kind: "a fifo" });
    assert_eq!(packer.add_file("null", Path::new("/dev/null")).unwrap(), Packed::LeftOut { kind: "a device" });
    packer.add_file("a", &folder.path().join("a")).unwrap();

    assert_eq!(respooled(&packer.finish().unwrap()).len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = folder(&[("a", "1")]);
    std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
    let refusal = |name: &str| Packer::new(Vec::new()).add_file(name, &folder.path().join(name)).unwrap_err().sentence().to_owned();

    assert_eq!(refusal("gone"), "`gone` could not be read: it is gone");
    assert_eq!(refusal("link"), "`link` changed while it was packed: it is no file");
    assert_eq!(refusal("."), "`.` changed while it was packed: it is no file");
}

#[test]
fn what_was_not_finished_is_visibly_cut() {
    let folder = folder(&[("a", "1")]);
    let tmp = TempDir::new().unwrap();
    // At each of these lengths the end mark would just fill a chunk, had it been written.
    for missing in [0, 512, 1024, 1536] {
        std::fs::write(folder.path().join("b"), vec![7; (512 << 10) - 1024 - 512 - missing]).unwrap();
        let mut sent = Vec::new();
        let mut packer = Packer::new(&mut sent);
        packer.add_file("a", &folder.path().join("a")).unwrap();
        packer.add_file("b", &folder.path().join("b")).unwrap();
        drop(packer);

        assert!(respool(sent.as_slice(), tmp.path(), Budget::default(), &|| false).is_err(), "{missing} missing");
    }
}

/// Changes the file when the first bytes of it come out.
struct Meddler<F: FnMut()>(F);

impl<F: FnMut()> Write for Meddler<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_while_it_is_packed_is_named() {
    let large = "x".repeat(2 << 20);
    let folder = folder(&[("shrinks", &large), ("grows", &large)]);
    let changed_to = |name: &str, size: u64| {
        let path = folder.path().join(name);
        let meddle = || File::options().write(true).open(&path).unwrap().set_len(size).unwrap();
        Packer::new(Meddler(meddle)).add_file(name, &path).unwrap_err().sentence().to_owned()
    };

    assert_eq!(changed_to("shrinks", 1 << 20), "`shrinks` became shorter while it was packed");
    assert_eq!(changed_to("grows", 3 << 20), "`grows` became longer while it was packed");
}

#[test]
fn a_connection_that_breaks_is_told_as_such() {
    let folder = folder(&[("a", &"x".repeat(2 << 20))]);
    let mut room = [0; 100];
    let mut packer = Packer::new(&mut room[..]);

    let err = packer.add_file("a", &folder.path().join("a")).unwrap_err();

    assert_eq!(err.sentence(), "the upload broke off");
}
