//! Requests through the whole product: by every host name, in both directions, and over switches of releases.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Docker, Mini, Repo, Said, eventually, signal};

const ANSWER_TIME: Duration = Duration::from_secs(20);

pub fn connect(http: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(ANSWER_TIME)).unwrap();
    stream
}

fn with_app(flags: &[&str]) -> (Mini, Repo) {
    let mini = Mini::start_with(flags);
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    (mini, repo)
}

#[test]
fn an_app_has_its_hosts_and_an_unknown_one_has_a_page() {
    let (mini, _repo) = with_app(&["--domain", "apps.test"]);
    let port = mini.http.port();

    for host in ["blog.localhost", "blog.127.0.0.1.nip.io", "blog.127-0-0-1.nip.io", "blog.127-0-0-1.sslip.io", "blog.apps.test"] {
        for host in [host.to_owned(), format!("{host}:{port}"), host.to_uppercase()] {
            let answer = mini.get_host(&host, "/");
            assert_eq!((answer.status, answer.body.as_str()), (200, "<p>one</p>\n"), "{host}");
        }
    }
    for host in ["other.localhost", "a.blog.localhost", "blog.example.com", "blog.apps.test.evil", "blog"] {
        let answer = mini.get_host(host, "/");
        assert!(answer.status == 404 && answer.body.contains("There is no app at"), "{host}: {answer:?}");
    }
    let info = mini.local(&["apps:info", "blog"]).ok().stdout;
    assert!(info.contains(&format!("http://blog.apps.test:{port}\n")), "{info}");
    mini.finish();
}

#[test]
fn the_app_sees_who_asks_and_a_client_cannot_forge_it() {
    let (mini, _repo) = with_app(&[]);
    let mut stream = connect(mini.http);
    write!(
        stream,
        "GET /cgi-bin/env?a=b%20c HTTP/1.1\r\nHost: blog.localhost\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nX-Real-IP: 6.6.6.6\r\nX-Own: kept\r\nConnection: close\r\n\r\n"
    )
    .unwrap();

    let mut seen = String::new();
    stream.read_to_string(&mut seen).unwrap();

    for line in ["HTTP_X_FORWARDED_FOR=127.0.0.1\n", "HTTP_X_FORWARDED_PROTO=http\n", "HTTP_X_OWN=kept\n", "QUERY_STRING=a=b%20c\n"] {
        assert!(seen.contains(line), "{line:?} is not in {seen}");
    }
    assert!(seen.contains("HTTP_X_FORWARDED_HOST=blog.localhost\n") && seen.contains("HTTP_HOST=blog.localhost\n"), "{seen}");
    assert!(!seen.contains("6.6.6.6") && !seen.contains("evil"), "{seen}");
    mini.finish();
}

#[test]
fn an_answer_comes_as_it_is_made() {
    let (mini, _repo) = with_app(&[]);
    let mut stream = connect(mini.http);
    write!(stream, "GET /cgi-bin/stream HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n").unwrap();

    let mut seen = Vec::new();
    let mut first_at = None;
    let mut chunk = [0; 4096];
    loop {
        let length = stream.read(&mut chunk).unwrap();
        if length == 0 {
            break;
        }
        seen.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&seen);
        if first_at.is_none() && text.contains("first") {
            assert!(!text.contains("second"), "both lines came at once");
            first_at = Some(Instant::now());
        }
    }

    assert!(String::from_utf8_lossy(&seen).contains("second"));
    assert!(first_at.is_some_and(|at| at.elapsed() > Duration::from_millis(500)));
    mini.finish();
}

#[test]
fn fifty_megabytes_arrive_whole() {
    let (mini, _repo) = with_app(&[]);
    let body: Vec<u8> = (0..50_000_000_u32).map(|at| at.to_le_bytes()[(at % 3) as usize]).collect();
    let sum = Said::by(Command::new("md5sum"), &body).stdout;

    let mut stream = connect(mini.http);
    write!(stream, "POST /cgi-bin/upload HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
        .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();

    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("50000000 {sum}")), "{answer}");
    mini.finish();
}

#[test]
fn a_websocket_echoes_and_stays_open_over_a_push_of_another_app() {
    let mini = Mini::start();
    mini.anna.push(Repo::from_folder("tests/apps/websocket-echo").path(), mini.ssh, "echo", &["main"]).ok();
    let mut stream = open_websocket(mini.http);

    assert_eq!(echo(&mut stream, b"hello"), b"hello");
    mini.anna.push(Repo::from_folder("examples/hello").path(), mini.ssh, "other", &["main"]).ok();
    assert_eq!(echo(&mut stream, b"still there"), b"still there");
    assert_eq!(mini.get("echo", "/").body, "websocket-echo\n");
    drop(stream);
    mini.finish();
}

/// Opens a websocket of the app `echo`.
pub fn open_websocket(http: SocketAddr) -> TcpStream {
    let mut stream = connect(http);
    write!(
        stream,
        "GET /chat HTTP/1.1\r\nHost: echo.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    stream
}

/// Sends a masked text frame of under 126 bytes and reads the frame that comes back (RFC 6455, section 5).
pub fn echo(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    try_echo(stream, text).unwrap()
}

/// As [`echo`], for a websocket that may be closed.
pub fn try_echo(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mask = [1, 2, 3, 4];
    let length = u8::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 0x80 | length];
    frame.extend(mask);
    frame.extend(text.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    stream.write_all(&frame)?;
    let mut back = vec![0; 2 + text.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(back[..2], [0x81, length]);
    Ok(back.split_off(2))
}

#[test]
fn an_app_that_is_killed_is_a_502_and_one_without_a_release_a_503() {
    let (mini, _repo) = with_app(&[]);
    mini.local(&["apps:create", "empty"]).ok();

    let none_yet = mini.get("empty", "/");
    assert!(none_yet.status == 503 && none_yet.body.contains("empty"), "{none_yet:?}");
    let killed = mini.get("blog", "/cgi-bin/die");
    assert!(killed.status == 502 && killed.body.contains("The app blog"), "{killed:?}");
    eventually("the engine to start it again", || (mini.get("blog", "/").status == 200).then_some(()));

    let container = mini.docker().containers().remove(0);
    let pid = Docker::inspect(&container, "{{.State.Pid}}").parse().unwrap();
    signal(pid, "STOP");
    let mut stream = connect(mini.http);
    write!(stream, "GET / HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n").unwrap();
    signal(pid, "KILL");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    eventually("the engine to start it again", || (mini.get("blog", "/").status == 200).then_some(()));
    mini.finish();
}

#[test]
fn a_request_in_flight_ends_on_the_release_that_took_it() {
    let (mini, repo) = with_app(&[]);
    let http = mini.http;
    let slow = std::thread::spawn(move || {
        let mut stream = connect(http);
        write!(stream, "GET /cgi-bin/slow?4 HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        (answer, Instant::now())
    });
    std::thread::sleep(Duration::from_millis(100));

    repo.write("www/index.html", "two");
    repo.commit("two");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let switched = Instant::now();
    assert_eq!(mini.get("blog", "/").body, "two");

    let (answer, ended) = slow.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("v1\n"), "{answer}");
    assert!(ended > switched, "the switch came too late to prove anything");
    mini.finish();
}

#[test]
fn no_request_fails_over_pushes_a_config_change_and_a_rollback() {
    let (mini, repo) = with_app(&[]);
    let load = Load::start(mini.http, "blog.localhost");

    let mut told = Vec::new();
    for number in 2..=4 {
        repo.write("www/index.html", &format!("page {number}"));
        repo.commit(&format!("page {number}"));
        told.push(mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok().remote().join("\n"));
    }
    told.push(mini.anna.ssh(mini.ssh, "config:set blog A=1").ok().stderr);
    told.push(mini.anna.ssh(mini.ssh, "rollback blog v2").ok().stderr);
    eventually("the old releases to be gone", || (mini.docker().containers().len() == 1).then_some(()));

    let (served, failed) = load.stop();
    assert_eq!(failed, Vec::<String>::new(), "of {served}");
    assert!(served > 100, "{served} requests prove nothing");
    for (number, text) in told.iter().enumerate() {
        let line = text.lines().find(|line| line.contains("Switched to")).unwrap();
        let version = number + 2;
        assert!(line.starts_with(&format!("-----> Switched to v{version}: ")), "{line}");
        assert!(line.ends_with(" requests served meanwhile, 0 failed"), "{line}");
    }
    mini.finish();
}

#[test]
fn no_request_fails_over_three_uploads() {
    let (mini, repo) = with_app(&[]);
    let load = Load::start(mini.http, "blog.localhost");

    for number in 2..=4 {
        repo.write("www/index.html", &format!("page {number}"));
        let said = mini.anna.upload(&repo, mini.ssh, "blog").ok().stderr;
        let line = said.lines().find(|line| line.contains("Switched to")).unwrap();
        assert!(line.starts_with(&format!("-----> Switched to v{number}: ")) && line.ends_with(", 0 failed"), "{line}");
    }
    eventually("the old releases to be gone", || (mini.docker().containers().len() == 1).then_some(()));

    let (served, failed) = load.stop();
    assert_eq!(failed, Vec::<String>::new(), "of {served}");
    assert!(served > 100, "{served} requests prove nothing");
    assert_eq!(mini.get("blog", "/").body, "page 4");
    mini.finish();
}

/// Eight clients, half of which keep their connection, until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<std::thread::JoinHandle<(usize, Vec<String>)>>,
}

/// Asks once, perhaps over a connection that is kept; gives it back if it may be used again.
type Ask = fn(Option<TcpStream>, SocketAddr, &str, bool) -> Result<Option<TcpStream>, String>;

impl Load {
    pub fn start(http: SocketAddr, host: &'static str) -> Self {
        Self::asking(ask, http, host)
    }

    /// Clients that ask once more, on a new connection, where a kept one was closed without a byte of an answer.
    pub fn of_browsers(http: SocketAddr, host: &'static str) -> Self {
        Self::asking(ask_as_browser, http, host)
    }

    fn asking(ask: Ask, http: SocketAddr, host: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number: usize| {
            let stop = stop.clone();
            std::thread::spawn(move || ask_until(ask, &stop, http, host, number.is_multiple_of(2)))
        };
        let clients = (0..8).map(client).collect();
        Load { stop, clients }
    }

    /// Returns how many were answered and what went wrong with the others.
    pub fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let results = self.clients.into_iter().map(|client| client.join().unwrap());
        results.fold((0, Vec::new()), |(served, mut failed), (more, wrong)| {
            failed.extend(wrong);
            (served + more, failed)
        })
    }
}

fn ask_until(ask: Ask, stop: &AtomicBool, http: SocketAddr, host: &str, keeps: bool) -> (usize, Vec<String>) {
    let (mut served, mut failed) = (0, Vec::new());
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let answer = ask(kept.take(), http, host, keeps);
        match answer {
            Ok(stream) => {
                served += 1;
                kept = stream;
            }
            Err(why) => failed.push(why),
        }
        // The machine has two cores, and they have to build meanwhile.
        std::thread::sleep(Duration::from_millis(10));
    }
    (served, failed)
}

/// One GET; gives the connection back if it may be used again.
pub fn ask(kept: Option<TcpStream>, http: SocketAddr, host: &str, keeps: bool) -> Result<Option<TcpStream>, String> {
    let is_reused = kept.is_some();
    let mut stream = kept.map_or_else(|| TcpStream::connect(http), Ok).map_err(|err| format!("connect: {err}"))?;
    stream.set_read_timeout(Some(ANSWER_TIME)).unwrap();
    let connection = if keeps { "keep-alive" } else { "close" };
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n")
        .map_err(|err| format!("{err} after 0 bytes (reused: {is_reused})"))?;
    let head = read_head(&mut stream).map_err(|err| format!("{err} (reused: {is_reused})"))?;
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let length: usize = length.ok_or_else(|| format!("no length: {head}"))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|err| format!("body: {err}"))?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("{head}{}", String::from_utf8_lossy(&body)));
    }
    Ok((keeps && !lower.contains("connection: close")).then_some(stream))
}

/// What a browser does: a kept connection that was closed while nothing was asked over it is no failure (RFC 9110, section 9.2.2).
fn ask_as_browser(kept: Option<TcpStream>, http: SocketAddr, host: &str, keeps: bool) -> Result<Option<TcpStream>, String> {
    let is_open = |stream: &TcpStream| {
        let mut byte = [0];
        stream.set_nonblocking(true).unwrap();
        let peeked = stream.peek(&mut byte);
        stream.set_nonblocking(false).unwrap();
        peeked.is_err_and(|err| err.kind() == std::io::ErrorKind::WouldBlock)
    };
    let is_reused = kept.is_some();
    match ask(kept.filter(is_open), http, host, keeps) {
        // Closed in the moment in which it was asked.
        Err(why) if is_reused && why.ends_with("after 0 bytes (reused: true)") => ask(None, http, host, keeps),
        answer => answer,
    }
}

pub fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = stream.read_exact(&mut byte);
        read.map_err(|err| std::io::Error::new(err.kind(), format!("{err} after {} bytes", head.len())))?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
