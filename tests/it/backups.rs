//! The worst day: a backup taken while everything goes on becomes a server again, or is refused and leaves nothing.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Mini, Person, Repo, Said, eventually, unique};

/// `mini restore FILE --data DIR` with more flags.
fn restore(backup: &Path, data: &Path, flags: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
    command.arg("restore").arg(backup).arg("--data").arg(data).args(flags).env_remove("MINI_DATA");
    Said::by(command, b"")
}

/// Backs a server up and returns where the file is.
fn back_up(mini: &Mini, name: &str) -> PathBuf {
    let path = mini.home().join(name);
    mini.local(&["backup", path.to_str().unwrap()]).ok();
    path
}

/// A server on what a backup holds.
fn restored(backup: &Path, restore_flags: &[&str], flags: &[&str]) -> Mini {
    let mut mini = Mini::unstarted(flags);
    restore(backup, &mini.data(), restore_flags).ok();
    mini.boot();
    mini
}

fn state(mini: &Mini, app: &str) -> String {
    let rows: Vec<serde_json::Value> = serde_json::from_str(&mini.local(&["apps", "--json"]).ok().stdout).unwrap();
    rows.iter().find(|row| row["name"] == app).unwrap()["state"].as_str().unwrap().to_owned()
}

/// What every restored server must be, whatever went on when its backup was taken.
fn assert_restores(backup: &Path, anna: &Person) {
    // Without an engine it can do nothing to the server that goes on.
    let mini = restored(backup, &["--new-instance"], &["--engine", "/nowhere/docker.sock"]);
    anna.ssh(mini.ssh, "whoami").ok();
    let apps = mini.apps();
    assert!(apps.contains(&"blog".to_owned()) && apps.contains(&"quiet".to_owned()), "{apps:?}");
    assert!(mini.local(&["config:get", "quiet", "KEY"]).ok().stdout.starts_with("value-"));
    assert_eq!(mini.local(&["config:get", "blog", "SECRET"]).ok().stdout, "s3cret\n");
    for app in apps {
        let Some(live) = mini.releases(&app).into_iter().find(|release| release["state"] == "live") else { continue };
        let folder = tempfile::tempdir().unwrap();
        anna.clone(folder.path(), mini.ssh, &app).ok();
        let git = |words: &[&str]| Said::by(with(anna.git(&folder.path().join("copy"), mini.ssh), words), b"").ok().stdout;
        assert_eq!(git(&["rev-parse", "HEAD"]).trim(), live["commit"].as_str().unwrap(), "{app}");
        git(&["fsck", "--strict"]);
    }
    for repo in fs::read_dir(mini.data().join("repos")).unwrap() {
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(repo.unwrap().path()).args(["fsck", "--connectivity-only"]);
        Said::by(git, b"").ok();
    }
    assert!(!mini.log().contains("could not be brought to what is live"), "{}", mini.log());
}

fn with(mut command: Command, words: &[&str]) -> Command {
    command.args(words);
    command
}

#[test]
fn every_backup_taken_while_pushes_changes_and_destroys_run_restores() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["config:set", "blog", "SECRET=s3cret"]).ok();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.local(&["apps:create", "quiet"]).ok();
    mini.local(&["config:set", "quiet", "KEY=value-0"]).ok();
    let at_work = AtomicUsize::new(3);
    let end = || at_work.fetch_sub(1, Ordering::SeqCst);

    let mut backups = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..3 {
                repo.next(&format!("page {number}"));
                mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
            }
            end();
        });
        scope.spawn(|| {
            for number in 0..30 {
                mini.local(&["config:set", "quiet", &format!("KEY=value-{number}")]).ok();
            }
            end();
        });
        scope.spawn(|| {
            let other = Repo::hello();
            for number in 0..3 {
                let name = format!("shop{number}");
                mini.anna.push(other.path(), mini.ssh, &name, &["main"]).ok();
                mini.local(&["apps:destroy", &name, "--confirm", &name]).ok();
            }
            end();
        });
        while at_work.load(Ordering::SeqCst) > 0 {
            backups.push(back_up(&mini, &format!("backup-{}", backups.len())));
        }
    });

    assert!(backups.len() > 3, "only {} backups were taken", backups.len());
    eventually("what was gathered for the backups to be gone", || {
        (!fs::read_dir(mini.data().join("tmp")).unwrap().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("backup-")))
            .then_some(())
    });
    for backup in &backups {
        let home = tempfile::tempdir().unwrap();
        let said = restore(backup, &home.path().join("data"), &[]).ok();
        assert!(!said.stderr.contains("warning"), "{}: {}", backup.display(), said.stderr);
    }
    // Some of them, from first to last, become servers.
    let every = backups.len().div_ceil(12);
    for backup in backups.iter().rev().step_by(every) {
        assert_restores(backup, &mini.anna);
    }
    // The server that went on has all that it had.
    assert_eq!(mini.get("blog", "/").status, 200);
    mini.finish();
}

#[test]
fn on_the_same_machine_the_restored_server_takes_over_and_goes_on() {
    let mut lost = Mini::start();
    let repo = Repo::hello();
    lost.anna.push(repo.path(), lost.ssh, "blog", &["main"]).ok();
    let page = lost.get("blog", "/").body;
    lost.anna.ssh(lost.ssh, "domains:add blog example.org").ok();
    let backup = back_up(&lost, "mini.backup");
    // Live when the machine's disk dies, and not in the backup.
    repo.next("later");
    lost.anna.push(repo.path(), lost.ssh, "blog", &["main"]).ok();
    lost.kill_9();

    let mini = restored(&backup, &[], &[]);

    eventually("the app to be back as it was", || (mini.get("blog", "/").body == page).then_some(()));
    eventually("what the backup does not know to be gone", || (mini.docker().containers().len() == 1).then_some(()));
    assert_eq!((mini.releases("blog").len(), mini.get_host("example.org", "/").body), (1, page));
    lost.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert_eq!(mini.get("blog", "/").status, 200);
    mini.finish();
}

#[test]
fn a_restored_server_of_another_identity_leaves_the_running_one_alone() {
    let mini = Mini::start();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let backup = back_up(&mini, "mini.backup");
    let before = (mini.docker().containers(), mini.docker().images(), mini.docker().networks());

    let mut other = restored(&backup, &["--new-instance"], &[]);
    eventually("the other server to have compared itself with the engine", || {
        (other.log().contains("a live release does not run") || state(&other, "blog") == "live").then_some(())
    });
    other.stop();

    assert_eq!((mini.docker().containers(), mini.docker().images(), mini.docker().networks()), before);
    assert_eq!(mini.get("blog", "/").status, 200);
    drop(other);
    mini.finish();
}

#[test]
fn apps_without_their_image_are_built_again_at_start() {
    let lost = Mini::start();
    let (one, two) = (Repo::hello(), Repo::building("true"));
    lost.anna.push(one.path(), lost.ssh, "one", &["main"]).ok();
    lost.anna.push(two.path(), lost.ssh, "two", &["main"]).ok();
    let kept = tempfile::tempdir().unwrap();
    let backup = kept.path().join("mini.backup");
    lost.local(&["backup", backup.to_str().unwrap()]).ok();
    lost.finish();

    let mini = restored(&backup, &[], &[]);

    for app in ["one", "two"] {
        eventually("the app to serve again", || (mini.get(app, "/").status == 200).then_some(()));
        let newest = &mini.releases(app)[0];
        assert_eq!(
            (newest["kind"].as_str(), newest["by"].as_str(), newest["state"].as_str()),
            (Some("rebuild"), Some("mini"), Some("live"))
        );
        assert!(mini.local(&["logs", app]).ok().stdout.contains("the image of v1 is gone: it is built again"));
    }
    mini.finish();
}

#[test]
fn an_app_that_cannot_be_built_again_says_so_until_somebody_can() {
    let base = format!("mini-test-base-{}", unique());
    let docker = |words: &[&str]| Said::by(with(Command::new("docker"), words), b"").ok();
    docker(&["tag", "busybox", &base]);
    let lost = Mini::start();
    let repo = Repo::hello();
    let dockerfile = fs::read_to_string(repo.path().join("Dockerfile")).unwrap();
    let from = dockerfile.lines().find(|line| line.starts_with("FROM")).unwrap();
    repo.write("Dockerfile", &dockerfile.replace(from, &format!("FROM {base}")));
    repo.commit("on a base of its own");
    lost.anna.push(repo.path(), lost.ssh, "blog", &["main"]).ok();
    let kept = tempfile::tempdir().unwrap();
    let backup = kept.path().join("mini.backup");
    lost.local(&["backup", backup.to_str().unwrap()]).ok();
    lost.finish();
    docker(&["rmi", &base]);

    let mini = restored(&backup, &[], &[]);
    let logs = || mini.local(&["logs", "blog"]).ok().stdout;
    eventually("the rebuild to fail", || logs().contains("building it again failed").then_some(()));

    assert!(logs().contains("mini rebuild blog"), "{}", logs());
    assert_eq!(state(&mini, "blog"), "down: its image is gone");
    assert!(mini.local(&["status"]).ok().stdout.contains("mini rebuild blog"));
    docker(&["tag", "busybox", &base]);
    mini.local(&["rebuild", "blog"]).ok();
    assert_eq!((state(&mini, "blog").as_str(), mini.get("blog", "/").status), ("live", 200));
    assert!(!mini.local(&["status"]).ok().stdout.contains("mini rebuild"));
    mini.finish();
    docker(&["rmi", &base]);
}

/// A server with an app that has a config value and no release: nothing of it is in an engine.
fn with_config() -> (Mini, PathBuf) {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["config:set", "blog", "SECRET=s3cret"]).ok();
    let backup = back_up(&mini, "mini.backup");
    (mini, backup)
}

#[test]
fn a_backup_that_cannot_be_used_is_refused_and_leaves_nothing() {
    let (mini, backup) = with_config();
    let bytes = fs::read(&backup).unwrap();
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("new");
    let file = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle] ^= 1;
    std::os::unix::fs::symlink("/etc/passwd", home.path().join("host_key")).unwrap();
    let hostile = home.path().join("hostile");
    let manifest = Said::by(with(Command::new("tar"), &["-xOf", backup.to_str().unwrap(), "manifest.json"]), b"").ok().stdout;
    file("manifest.json", manifest.as_bytes());
    let folder = home.path().to_str().unwrap().to_owned();
    Said::by(with(Command::new("tar"), &["-C", &folder, "-cf", hostile.to_str().unwrap(), "manifest.json", "host_key"]), b"").ok();
    let wrong_key = file("wrong.key", &[7; 32]);

    for (backup, flags, code, sentence) in [
        (file("cut", &bytes[..middle]), vec![], 1, "the backup is damaged"),
        (file("short", &bytes[..bytes.len() - 2048]), vec![], 1, "the backup is damaged"),
        (file("flipped", &flipped), vec![], 1, "the backup is damaged"),
        (file("empty", b""), vec![], 1, "this is not a backup of mini"),
        (file("text", &b"hello\n".repeat(1000)), vec![], 1, "this is not a backup of mini"),
        (hostile, vec![], 1, "the backup holds `host_key`, which no backup of mini holds"),
        (home.path().join("missing"), vec![], 2, "cannot be read"),
        (backup.clone(), vec!["--key", wrong_key.to_str().unwrap()], 78, "the master key `master.key` is not the one"),
        (backup.clone(), vec!["--key", "/nowhere/master.key"], 2, "the master key `/nowhere/master.key` cannot be read"),
    ] {
        restore(&backup, &data, &flags).fails(code, sentence);
        assert!(!data.exists(), "{}: something is left", backup.display());
    }
    fs::create_dir(&data).unwrap();
    restore(&home.path().join("cut"), &data, &[]).fails(1, "the backup is damaged");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    fs::write(data.join("thesis.tex"), "mine").unwrap();
    restore(&backup, &data, &[]).fails(78, "is not empty");
    restore(&backup, &mini.data(), &[]).fails(78, "is not empty");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    mini.finish();
}

#[test]
fn a_backup_without_its_key_wants_the_key_and_what_comes_back_is_private() {
    let (mini, _) = with_config();
    let backup = mini.home().join("no-key.backup");
    let said = mini.local(&["backup", "--without-key", backup.to_str().unwrap()]).ok();
    assert!(said.stderr.contains("holds no master key"), "{}", said.stderr);
    let key = mini.data().join("master.key");
    let other = Mini::unstarted(&[]);

    restore(&backup, &other.data(), &[]).fails(1, "the backup holds no master key");
    assert!(!other.data().exists());
    let key = key.to_str().unwrap();
    let mut other = other;
    let said = restore(&backup, &other.data(), &["--new-instance", "--key", key]).ok();
    assert!(said.stdout.contains("Restored 1 app into") && said.stdout.contains("mini server --data"), "{}", said.stdout);
    other.boot();

    assert_eq!(other.local(&["config:get", "blog", "SECRET"]).ok().stdout, "s3cret\n");
    assert_eq!(fs::read(other.data().join("host_key")).unwrap(), fs::read(mini.data().join("host_key")).unwrap());
    let mut waiting = vec![other.data()];
    while let Some(path) = waiting.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        assert_eq!(about.mode() & 0o077, 0, "{} is open to others", path.display());
        if about.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    other.finish();
    mini.finish();
}

#[test]
fn only_an_admin_takes_a_backup_and_only_into_a_file() {
    let (mini, _) = with_config();
    for role in ["view", "deploy"] {
        let person = Person::new(mini.home(), role);
        mini.local_with(&["keys:add", role, "-", "--role", role], &person.public_key()).ok();
        person.ssh(mini.ssh, "backup -").fails(4, "this needs an admin");
    }
    mini.anna.ssh(mini.ssh, "backup /etc/mini.backup").fails(2, "the server does not write files");
    let line = mini.anna.ssh_command(mini.ssh);
    let on_a_terminal = Said::by(with(with(Command::new(&line[0]), &["-tt"]), &words(&line[1..], "backup -")), b"");
    assert_eq!(on_a_terminal.code, 2, "{on_a_terminal:?}");
    assert!(on_a_terminal.stderr.contains("no text for a terminal"), "{on_a_terminal:?}");

    let path = mini.home().join("over-ssh.backup");
    let ssh = with(Command::new(&line[0]), &words(&line[1..], "backup")).stdin(Stdio::null()).stdout(File::create(&path).unwrap()).output();
    let ssh = ssh.unwrap();

    assert!(ssh.status.success() && String::from_utf8_lossy(&ssh.stderr).contains("holds every secret"), "{ssh:?}");
    let mut other = Mini::unstarted(&[]);
    let mut from_input = Command::new(env!("CARGO_BIN_EXE_mini"));
    from_input.args(["restore", "-", "--new-instance"]).env("MINI_DATA", other.data());
    Said::by(from_input, &fs::read(&path).unwrap()).ok();
    other.boot();
    assert_eq!(other.local(&["config:get", "blog", "SECRET"]).ok().stdout, "s3cret\n");
    other.finish();
    let there = mini.home().join("mini.backup");
    assert_eq!(fs::metadata(&there).unwrap().permissions().mode() & 0o777, 0o600);
    mini.local(&["backup", there.to_str().unwrap()]).fails(2, "is there already");
    mini.local(&["backup", there.to_str().unwrap(), "--force"]).ok();
    mini.local(&["backup", "/nowhere/mini.backup"]).fails(1, "cannot be written");
    mini.finish();
}

fn words<'a>(line: &'a [String], last: &'a str) -> Vec<&'a str> {
    line.iter().map(String::as_str).chain(["mini@127.0.0.1", last]).collect()
}

#[test]
fn a_reader_that_does_not_read_costs_no_memory_and_one_that_leaves_ends_the_backup() {
    let (mini, _) = with_config();
    let id = rusqlite::Connection::open(mini.data().join("mini.db"))
        .and_then(|conn| conn.query_row("SELECT id FROM apps", [], |row| row.get::<_, String>(0)))
        .unwrap();
    let segment = mini.data().join("logs").join(id).join("00000001.log");
    fs::create_dir_all(segment.parent().unwrap()).unwrap();
    File::create(&segment).unwrap().set_len(200 << 20).unwrap();
    let gathered = || {
        let tmp = fs::read_dir(mini.data().join("tmp")).unwrap().flatten();
        tmp.filter(|entry| entry.file_name().to_string_lossy().starts_with("backup-")).count()
    };
    let before = mini.peak_memory_mib();

    let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
    command.arg("backup").env("MINI_DATA", mini.data()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = command.spawn().unwrap();
    client.stdout.as_mut().unwrap().read_exact(&mut vec![0; 1 << 20]).unwrap();
    assert_eq!(gathered(), 1);
    client.kill().unwrap();
    client.wait().unwrap();

    eventually("the backup to end", || (gathered() == 0).then_some(()));
    assert!(mini.peak_memory_mib() < before + 48, "{} MiB after {before}", mini.peak_memory_mib());
    mini.finish();
}
