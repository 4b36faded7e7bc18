//! A server whose sockets somebody else holds: it can be restarted without a request that fails.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo, median_and_worst, proof, rounds};
use crate::traffic::{Load, ask, connect, echo, open_websocket, read_head};

const HOST: &str = "blog.localhost";

#[test]
fn restarts_under_load_fail_no_request() {
    let mut mini = Mini::start_on_held_sockets(&[]);
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let (ssh, http) = (mini.ssh, mini.http);
    let load = Load::start(http, HOST);

    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        assert!(mini.stop().success());
        mini.boot();
        assert_eq!((mini.ssh, mini.http), (ssh, http));
    }
    // The server that was restarted takes pushes on the same socket.
    repo.next("two");
    mini.anna.push(repo.path(), ssh, "blog", &["main"]).ok();

    let (served, failed) = load.stop();
    assert!(failed.is_empty(), "{} of {served} requests failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    assert!(served > 50, "only {served} requests were served");
    mini.finish();
}

/// One client that asks again and again over a new connection, and knows its longest wait for an answer.
pub struct Watch {
    stop: Arc<AtomicBool>,
    client: JoinHandle<(usize, Duration, Vec<String>)>,
}

impl Watch {
    pub fn start(http: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let client = std::thread::spawn(move || {
            let (mut served, mut worst, mut failed) = (0, Duration::ZERO, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                failed.extend(ask(None, http, HOST, false).err());
                (served, worst) = (served + 1, worst.max(begun.elapsed()));
                std::thread::sleep(Duration::from_millis(5));
            }
            (served, worst, failed)
        });
        Watch { stop, client }
    }

    /// Returns how often it asked, its longest wait and what failed.
    pub fn stop(self) -> (usize, Duration, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.client.join().unwrap()
    }
}

/// What takes its time, begun before a restart.
struct Open {
    websocket: TcpStream,
    events: TcpStream,
    short: TcpStream,
    long: TcpStream,
}

impl Open {
    fn all(http: SocketAddr) -> Self {
        let begin = |path: &str| {
            let mut stream = connect(http);
            write!(stream, "GET /cgi-bin/{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").unwrap();
            let head = read_head(&mut stream).unwrap();
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            stream
        };
        let mut websocket = open_websocket(http);
        assert_eq!(echo(&mut websocket, b"hello"), b"hello");
        Open { websocket, events: begin("events"), short: begin("download?2"), long: begin("download?100") }
    }

    /// Asserts that everything is at its end: what could finish did, the rest was closed where a client sees it.
    fn ended(mut self) {
        let mut rest = Vec::new();
        self.websocket.read_to_end(&mut rest).expect("the websocket is closed and not reset");
        assert!(rest.is_empty(), "{rest:?}");
        self.short.read_to_end(&mut rest).expect("a download that takes two seconds");
        assert_eq!(rest.len(), 2 * 10240);
        let cut = self.long.read_to_end(&mut rest);
        assert!(rest.len() < 100 * 10240, "{cut:?}");
        let mut told = Vec::new();
        self.events.read_to_end(&mut told).expect("the events are closed and not reset");
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("data: v1\n\n") && !told.ends_with("0\r\n\r\n"), "cut, and it looks whole: {told}");
    }
}

#[test]
fn restarts_with_everything_open_fail_no_request_and_nobody_waits_long() {
    let mut mini = Mini::start_on_held_sockets(&[]);
    mini.anna.push(Repo::from_folder("tests/apps/cgi").path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.push(Repo::from_folder("tests/apps/websocket-echo").path(), mini.ssh, "echo", &["main"]).ok();
    let http = mini.http;
    let (load, watch) = (Load::of_browsers(http, HOST), Watch::start(http));
    let (rounds, mut worst_start) = (rounds(3, 20), Duration::ZERO);

    for _ in 0..rounds {
        let open = Open::all(http);
        assert!(mini.stop().success());
        let begun = Instant::now();
        let first = std::thread::spawn(move || ask(None, http, HOST, false).map(|_| begun.elapsed()));
        mini.boot();
        worst_start = worst_start.max(first.join().unwrap().expect("the first answer of the new server"));
        open.ended();
    }

    let ((served, failed), (watched, worst, unseen)) = (load.stop(), watch.stop());
    let failed = [failed, unseen].concat();
    proof(
        "restarts",
        &[
            ("rounds", &rounds),
            ("requests", &(served + watched)),
            ("failed", &failed.len()),
            ("worst_gap_ms", &worst.as_millis()),
            ("worst_start_ms", &worst_start.as_millis()),
        ],
    );
    assert_eq!(failed, Vec::<String>::new(), "of {}", served + watched);
    // In quiet a fraction of a second: this machine has others to serve.
    assert!(worst < Duration::from_secs(4), "somebody waited {worst:?} for an answer");
    assert!(worst_start < Duration::from_secs(2), "the new server took {worst_start:?} to its first answer");
    mini.finish();
}

#[test]
fn a_new_server_answers_a_moment_after_its_start() {
    let mut mini = Mini::start_on_held_sockets(&[]);
    mini.anna.push(Repo::hello().path(), mini.ssh, "blog", &["main"]).ok();
    let (http, rounds, mut waits) = (mini.http, rounds(3, 20), Vec::new());

    for _ in 0..rounds {
        assert!(mini.stop().success());
        let begun = Instant::now();
        // The socket takes it while nobody is there.
        let first = std::thread::spawn(move || ask(None, http, HOST, false).map(|_| begun.elapsed()));
        mini.boot();
        waits.push(first.join().unwrap().expect("the first answer of the new server"));
    }

    let (median, worst) = median_and_worst(&waits);
    proof("starts", &[("rounds", &rounds), ("median_answer_ms", &median), ("worst_answer_ms", &worst)]);
    // In quiet 200 ms, the start of the program included.
    assert!(worst < 2000, "{waits:?}");
    mini.finish();
}

#[test]
fn an_open_tunnel_does_not_hold_a_restart() {
    let mut mini = Mini::start_on_held_sockets(&[]);
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let mut stream = TcpStream::connect(mini.http).unwrap();
    write!(stream, "GET /cgi-bin/stream HTTP/1.1\r\nHost: blog.localhost\r\n\r\n").unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();

    let begun = Instant::now();
    mini.stop();
    mini.boot();

    assert!(begun.elapsed() < Duration::from_secs(15), "the restart took {:?}", begun.elapsed());
    assert_eq!(mini.get("blog", "/").status, 200);
    mini.finish();
}

#[test]
fn a_socket_that_cannot_be_used_is_named() {
    let mut mini = Mini::start();
    mini.stop();
    let file = std::fs::File::create(mini.home().join("no-socket")).unwrap();

    let mut command = mini.server_command();
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "http");
    command_fds::CommandFdExt::fd_mappings(&mut command, vec![command_fds::FdMapping { parent_fd: file.into(), child_fd: 3 }]).unwrap();
    let said = crate::harness::Said::by(command, b"");

    said.fails(78, "the socket `http` that was handed over cannot be used");
    mini.boot();
    mini.finish();
}
