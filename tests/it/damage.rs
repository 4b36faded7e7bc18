//! A database that cannot be used: exit 78, its path, what is wrong, and how to get back.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::harness::Mini;
use crate::startup::{ends, server};

#[test]
fn a_damaged_database_stops_the_start_and_says_the_way_back() {
    type Damage = (&'static str, fn(&Path), &'static str);
    let rows: [Damage; 6] = [
        ("overwritten pages", |db| write_at(db, &[0xa7; 4096], 4096), "is damaged: "),
        ("zero length", |db| fs::write(db, "").unwrap(), "is empty"),
        ("random bytes", |db| fs::write(db, vec![0x5a; 30000]).unwrap(), "is damaged: file is not a database"),
        ("a folder", |db| fs::remove_file(db).and_then(|()| fs::create_dir(db)).unwrap(), "is not a file"),
        ("gone", |db| fs::remove_file(db).unwrap(), "is missing"),
        ("a newer schema", |db| sql(db, "UPDATE meta SET value = 99 WHERE key = 'min_reader'"), "needs a newer mini"),
    ];
    let mut mini = Mini::start();
    mini.stop();
    for (what, damage, sentence) in rows {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        copy(&mini.data(), &data);
        damage(&data.join("mini.db"));

        let said = ends(server(&data, &[])).fails(78, sentence);

        let lines: Vec<&str> = said.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{what}: {}", said.stderr);
        assert!(lines[0].contains(data.join("mini.db").to_str().unwrap()), "{what}: {}", said.stderr);
        let way = if what == "a newer schema" { "install the newer mini" } else { "mini restore BACKUP --data" };
        assert!(lines[1].contains(way), "{what}: {}", said.stderr);
    }
    mini.boot();
    mini.finish();
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn write_at(path: &Path, bytes: &[u8], at: u64) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn sql(db: &Path, text: &str) {
    rusqlite::Connection::open(db).unwrap().execute_batch(text).unwrap();
}

#[test]
fn a_database_that_cannot_be_written_stops_the_start() {
    let mut mini = Mini::start();
    mini.stop();
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = home.path().join("data");
    copy(&mini.data(), &data);
    fs::set_permissions(data.join("mini.db"), fs::Permissions::from_mode(0o400)).unwrap();
    let mut command = server(&data, &[]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Root writes to read-only files: the server runs as somebody else.
        let program = home.path().join("mini");
        fs::copy(env!("CARGO_BIN_EXE_mini"), &program).unwrap();
        assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(&data).status().unwrap().success());
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(command.get_args()).env_remove("MINI_DATA");
        command = other;
    }

    let said = ends(command).fails(78, "cannot be opened: Permission denied");

    assert!(said.stderr.contains("writable for the user that runs mini"), "{}", said.stderr);
    mini.boot();
    mini.finish();
}

#[test]
fn each_of_ten_overwritten_places_stops_the_start() {
    let mut mini = Mini::start();
    for number in 0..20 {
        mini.local(&["apps:create", &format!("n{number}")]).ok();
        mini.local(&["config:set", &format!("n{number}"), &format!("TEXT={}", "x".repeat(3000))]).ok();
    }
    mini.stop();
    let length = fs::metadata(mini.data().join("mini.db")).unwrap().len();

    for place in 0..10 {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        copy(&mini.data(), &data);
        let at = (length - 4096) / 9 * place;
        write_at(&data.join("mini.db"), &[0xa7; 4096], at);

        let said = ends(server(&data, &["--engine", "/nowhere"]));

        assert_eq!(said.code, 78, "at {at}: {said:?}");
        let lines: Vec<&str> = said.stderr.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains(data.join("mini.db").to_str().unwrap()), "at {at}: {said:?}");
        assert!(lines[1].contains("mini restore BACKUP --data"), "at {at}: {said:?}");
    }

    mini.boot();
    mini.finish();
}
