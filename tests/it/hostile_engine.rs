//! An engine's socket that turns hostile while the server runs: only what needs the engine fails, soon and in words.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo, eventually};

/// How the socket behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// As the engine behind it.
    Honest,
    Hangs,
    /// Closes without a word.
    Closes,
    /// Says these bytes to everything, and closes.
    Says(&'static str),
    /// Answers everything with this status and body.
    Answers(&'static str, &'static str),
    /// As the engine behind it, for so many bytes of each answer.
    CutsAfter(u64),
}

const TRUNCATED: Manner =
    Manner::Says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{\"Version\": \"20.10\", \"ApiVe");
const NONSENSE: Manner = Manner::Says("SSH-2.0-dockerd\r\n");
const BROKEN: Manner = Manner::Answers("500 Internal Server Error", "{\"message\":\"out of spirits\"}");
/// Well-formed and untrue: there is nothing, whatever is asked for.
const LIES: [Manner; 3] = [
    Manner::Answers("200 OK", "{}"),
    Manner::Answers("200 OK", "[]"),
    Manner::Answers("404 Not Found", "{\"message\":\"never heard of that\"}"),
];

/// A socket in front of the engine's own.
struct Between {
    manner: Arc<Mutex<Manner>>,
    /// What is open, to be cut when the manner changes.
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Between {
    /// Listens until the test's process ends.
    fn listen(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let between = Between { manner: Arc::new(Mutex::new(Manner::Honest)), open: Arc::default() };
        let (manner, open) = (between.manner.clone(), between.open.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let manner = *manner.lock().unwrap();
                open.lock().unwrap().push(client.try_clone().unwrap());
                std::thread::spawn(move || behave(client, manner));
            }
        });
        between
    }

    fn becomes(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn behave(mut client: UnixStream, manner: Manner) {
    match manner {
        Manner::Closes => {}
        Manner::Answers(status, body) => {
            let _ = client.read(&mut [0; 4096]);
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = client.write_all((head + body).as_bytes());
        }
        // Whatever it is asked; until the manner changes.
        Manner::Hangs => drop(std::io::copy(&mut client, &mut std::io::sink())),
        Manner::Says(bytes) => {
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(bytes.as_bytes());
        }
        Manner::Honest => relay(&client, u64::MAX),
        Manner::CutsAfter(bytes) => relay(&client, bytes),
    }
    // Its clone is kept.
    let _ = client.shutdown(Shutdown::Both);
}

fn relay(mut client: &UnixStream, bytes: u64) {
    let mut engine = UnixStream::connect(engine()).unwrap();
    let (mut asked, mut to_engine) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut asked, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut Read::by_ref(&mut engine).take(bytes), &mut client);
    let _ = engine.shutdown(Shutdown::Both);
}

/// The socket of the engine that all tests use.
fn engine() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").into()
}

/// Runs a word and fails when it takes longer than patience lasts.
fn soon<T>(what: &str, word: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let said = word();
    assert!(begun.elapsed() < Duration::from_secs(20), "{what} took {:?}", begun.elapsed());
    said
}

#[test]
fn whatever_the_engine_says_people_are_answered_and_apps_served() {
    let mut mini = Mini::start();
    mini.stop();
    let socket = mini.home().join("engine.sock");
    let between = Between::listen(&socket);
    mini.flags = vec!["--engine".into(), socket.display().to_string()];
    mini.boot();
    let repo = Repo::hello();
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();
    let live = mini.get("hello", "/").body;

    let manners = [Manner::Hangs, Manner::Closes, BROKEN, TRUNCATED, NONSENSE, Manner::CutsAfter(0), Manner::CutsAfter(300)];
    for manner in manners.into_iter().chain(LIES) {
        repo.next(&format!("{manner:?}"));
        between.becomes(manner);

        soon("whoami", || mini.anna.ssh(mini.ssh, "whoami").ok());
        soon("status", || mini.local(&["status"]).ok());
        soon("ps", || mini.local(&["ps", "hello"]));
        let said = soon("a push", || mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]));

        assert!(said.stderr.contains("pre-receive hook declined"), "{manner:?}: {said:?}");
        let told = said.remote();
        println!("{manner:?}: {told:?}");
        assert!(told.iter().any(|line| line.starts_with(" !     ")), "{manner:?}: {told:?}");
        assert_eq!(told.last().unwrap(), " !     nothing was changed: v1 keeps serving", "{manner:?}");
        assert_eq!(mini.get("hello", "/").body, live, "{manner:?}");
    }
    between.becomes(Manner::Honest);
    mini.anna.push(repo.path(), mini.ssh, "hello", &["main"]).ok();

    assert_eq!(mini.get("hello", "/").body, format!("{:?}", LIES[2]));
    eventually("the container of what is live, and no other", || (mini.docker().containers().len() == 1).then_some(()));
    mini.stop();
    mini.flags.clear();
    mini.boot();
    mini.finish();
}
