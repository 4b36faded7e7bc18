//! What was acknowledged is on the disk: looked at through the server's system calls, and after losses of power.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Mini, Moments, eventually, proof, rounds, signal, unique};

/// Follows the server's threads until it ends; tells of calls on files by name.
fn strace(mini: &Mini, trace: &Path) -> std::process::Child {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "4096", "-e", "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg", "-o"]).arg(trace);
    let child = command.args(["-p", &mini.pid().to_string()]).stderr(Stdio::null()).spawn().unwrap();
    let is_traced = || {
        let mut threads = fs::read_dir(format!("/proc/{}/task", mini.pid())).unwrap().flatten();
        threads.all(|thread| fs::read_to_string(thread.path().join("status")).is_ok_and(|status| !status.contains("TracerPid:\t0\n")))
    };
    eventually("strace at all threads", || is_traced().then_some(()));
    child
}

/// The lines at which a sync of the file that ends in `name` was over.
fn synced(trace: &[&str], name: &str) -> Vec<usize> {
    let is_sync = |line: &str| (line.contains("fdatasync(") || line.contains("fsync(")) && line.contains(name);
    let begun = trace.iter().enumerate().filter(|(_, line)| is_sync(line));
    let over = |(at, line): (usize, &&str)| {
        let thread = line.split(' ').next().unwrap().to_owned() + " ";
        let resumed = |line: &&str| line.starts_with(&thread) && line.contains("sync resumed>");
        if line.contains("<unfinished") { trace[at..].iter().position(resumed).map(|after| at + after) } else { Some(at) }
    };
    begun.filter_map(over).filter(|at| trace[*at].ends_with("= 0")).collect()
}

#[test]
fn a_change_is_synced_before_it_is_acknowledged() {
    let mut mini = Mini::start();
    let trace = mini.home().join("trace");
    let (token, name) = (mini.token("ci --role admin"), format!("a{}", unique()));
    let mut strace = strace(&mini, &trace);

    let made = mini.call(&token, "apps:create", &serde_json::json!({"app": name}));

    mini.stop();
    strace.wait().unwrap();
    let text = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(made.status < 300 && made.body.contains(&name), "{made:?}");
    let is_reply = |line: &&str| line.contains("HTTP/1.1 200 OK") && line.contains(&format!("Created app `{name}`"));
    let is_written = |line: &&str| line.contains("/mini.db-wal>") && line.contains("pwrite64(") && line.contains(&name);
    let reply = lines.iter().position(is_reply).unwrap_or_else(|| panic!("no reply in {text}"));
    let written = lines.iter().position(is_written).unwrap_or_else(|| panic!("not written in {text}"));
    let synced = synced(&lines, "/mini.db-wal>");
    assert!(
        synced.iter().any(|at| (written..reply).contains(at)),
        "written at {written}, replied at {reply}, synced at {synced:?}: {text}"
    );
    mini.boot();
    mini.finish();
}

/// What is in a database after its log was cut to `bytes`: whole, and the names of its apps.
fn after_power_loss(db: &Path, wal: &[u8], bytes: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mini.db");
    fs::copy(db, &path).unwrap();
    fs::write(folder.path().join("mini.db-wal"), &wal[..bytes]).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok", "cut to {bytes} of {}", wal.len());
    let mut names = db.prepare("SELECT name FROM apps WHERE name LIKE 'n%' ORDER BY name").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_log_torn_at_any_byte_keeps_a_whole_prefix_and_an_untorn_one_all_that_was_acknowledged() {
    let mini = Mini::start();
    let (copies, cuts, acknowledged) = (rounds(4, 40), rounds(25, 200), AtomicUsize::new(0));
    let is_over = AtomicUsize::new(0);
    let (mut shorter, mut emptied) = (0, 0);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if is_over.load(Ordering::SeqCst) > 0 {
                    break;
                }
                mini.local(&["apps:create", &format!("n{number:04}")]).ok();
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        });
        for (seed, moment) in (0..copies as u64).zip(Moments::within(Duration::from_millis(300), 20_261_124)) {
            std::thread::sleep(moment);
            let (db, wal) = (mini.home().join("copy.db"), mini.data().join("mini.db-wal"));
            let known = acknowledged.load(Ordering::SeqCst);
            signal(mini.pid(), "STOP");
            fs::copy(mini.data().join("mini.db"), &db).unwrap();
            let wal = fs::read(wal).unwrap_or_default();
            signal(mini.pid(), "CONT");

            let whole = after_power_loss(&db, &wal, wal.len());
            assert!(whole.len() >= known, "{known} apps were acknowledged, and there are {whole:?}");
            for cut in Moments::within(Duration::from_millis(wal.len() as u64 + 1), seed).take(cuts) {
                let left = after_power_loss(&db, &wal, usize::try_from(cut.as_millis()).unwrap());
                assert_eq!(left, whole[..left.len()], "not a prefix");
                shorter += usize::from(left.len() < whole.len());
                emptied += usize::from(left.is_empty());
            }
        }
        is_over.store(1, Ordering::SeqCst);
    });

    proof("torn_wal", &[("copies", &copies), ("cuts", &(copies * cuts)), ("shorter", &shorter), ("emptied", &emptied)]);
    assert!(shorter > 0 && emptied < copies * cuts, "cuts that take nothing or all prove nothing");
    mini.finish();
}

#[test]
fn a_server_starts_on_a_torn_log() {
    let mut mini = Mini::start();
    for number in 0..5 {
        mini.local(&["apps:create", &format!("n{number}")]).ok();
    }
    mini.kill_9();
    let wal = mini.data().join("mini.db-wal");
    let length = fs::metadata(&wal).unwrap().len();
    assert!(length > 4096, "{length} bytes of log are nothing to tear");

    File::options().write(true).open(&wal).unwrap().set_len(length - 1000).unwrap();
    mini.boot();

    let apps = mini.apps();
    assert!(apps.len() >= 4 && apps.iter().zip(0..).all(|(name, number)| *name == format!("n{number}")), "{apps:?}");
    mini.local(&["apps:create", "after"]).ok();
    mini.finish();
}
