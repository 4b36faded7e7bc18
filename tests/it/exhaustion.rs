//! More connections than anybody needs, and fewer descriptors than the server needs: it bears both and recovers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo, eventually, proof, rounds};
use crate::traffic::{ask, connect, read_head};

const HOST: &str = "hello.localhost";

/// Lets this process, and servers that it starts, have as many files open as they may.
fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.map_or(usize::MAX, |most| most.try_into().unwrap())
}

/// A connection over which a page was got, and which is kept.
fn kept(http: SocketAddr) -> TcpStream {
    ask(None, http, HOST, true).unwrap().expect("a connection that is kept")
}

/// The memory that the server has now.
fn memory_mib(mini: &Mini) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", mini.pid())).unwrap();
    let now = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    now.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

fn files(mini: &Mini) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", mini.pid())).unwrap().count()
}

/// The second-worst of a hundred requests.
fn worst_but_one(http: SocketAddr) -> Duration {
    let mut took: Vec<Duration> = (0..100)
        .map(|_| {
            let begun = Instant::now();
            ask(None, http, HOST, false).unwrap();
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[98]
}

#[test]
fn idle_connections_cost_little_and_hold_nobody_up() {
    // The server counts two files for each, its client's and its app's.
    let may_have = (raise_open_files() - 1000) / 2;
    assert!(may_have >= 2000, "this shell may not open enough files: ulimit -Hn");
    let wanted = rounds(2000, 10_000).min(may_have);
    let mini = Mini::start_with(&["--per-address", "0"]);
    mini.anna.push(Repo::hello().path(), mini.ssh, "hello", &["main"]).ok();
    let (alone, before, files_before) = (worst_but_one(mini.http), memory_mib(&mini), files(&mini));

    let begun = Instant::now();
    let http = mini.http;
    let clients: Vec<_> = (0..4).map(|_| std::thread::spawn(move || (0..wanted / 4).map(|_| kept(http)).collect::<Vec<_>>())).collect();
    let mut idle: Vec<TcpStream> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let opened = begun.elapsed();
    let with = memory_mib(&mini);
    // The first ones may have been idle for too long.
    assert!(ask(idle.pop(), mini.http, HOST, true).unwrap().is_some());
    let beside = worst_but_one(mini.http);

    proof(
        "idle_connections",
        &[
            ("connections", &wanted),
            ("opened_ms", &opened.as_millis()),
            ("memory_before_mib", &before),
            ("memory_mib", &with),
            ("p99_alone_ms", &alone.as_millis()),
            ("p99_beside_ms", &beside.as_millis()),
        ],
    );
    // What is not optimised is larger.
    let most_bytes_each = if cfg!(debug_assertions) { 25_000 } else { 15_000 };
    let most = (most_bytes_each * wanted as u64) >> 20;
    assert!(with - before <= most, "{before} MiB before, {with} MiB with {wanted} connections, {most} MiB more at most");
    drop(idle);
    eventually("the server to let go of them", || (files(&mini) < files_before + 50).then_some(()));
    mini.finish();
}

/// Sends a request to no app, for which the server opens nothing.
fn is_answered(stream: &mut TcpStream) {
    write!(stream, "GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n").unwrap();
    let head = read_head(stream).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 404 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
}

#[test]
fn a_server_without_descriptors_keeps_whom_it_has_and_recovers() {
    let mini = Mini::start_with(&["--per-address", "0"]);
    mini.anna.push(Repo::hello().path(), mini.ssh, "hello", &["main"]).ok();
    let mut early = connect(mini.http);
    is_answered(&mut early);
    let limit = |files: usize| {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &mini.pid().to_string(), &format!("--nofile={files}:")]);
        assert!(command.status().unwrap().success());
    };
    let before = files(&mini);

    limit(before + 16);
    let crowd: Vec<TcpStream> = (0..200).map(|_| connect(mini.http)).collect();
    let ssh_crowd: Vec<TcpStream> = (0..5).map(|_| connect(mini.ssh)).collect();
    eventually("no descriptor to be left", || (files(&mini) >= before + 16).then_some(()));
    eventually("the lack to be told", || mini.log().contains("Too many open files").then_some(()));
    for _ in 0..10 {
        is_answered(&mut early);
        std::thread::sleep(Duration::from_millis(50));
    }
    drop((crowd, ssh_crowd));

    eventually("new clients to be served", || ask(None, mini.http, HOST, false).is_ok().then_some(()));
    eventually("people to be let in", || (mini.anna.ssh(mini.ssh, "whoami").code == 0).then_some(()));
    mini.local(&["whoami"]).ok();
    is_answered(&mut early);
    let complaints = mini.log().lines().filter(|line| line.contains("Too many open files")).count();
    assert!(complaints < 2000, "the loops did not sleep: {complaints} lines");
    println!("proof: descriptors limit={} clients=205 complaints={complaints}", before + 16);
    // What follows makes and destroys.
    limit(1024);
    mini.finish();
}
