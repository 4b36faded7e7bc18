//! Every kind of change, again and again, on apps that are asked all the while: by new and by kept connections, downloads, websockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo, eventually, proof, rounds};
use crate::traffic::{Load, connect, open_websocket, read_head, try_echo};

/// What a drained release gives a websocket, less what a busy machine takes.
const TUNNEL_TIME: Duration = Duration::from_secs(25);

/// A client that does one thing over and over, and returns how often and what went wrong.
struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Client {
    fn start(http: SocketAddr, once: fn(SocketAddr, &AtomicBool) -> Result<(), String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut done, mut failed) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                failed.extend(once(http, &stopped).err());
                done += 1;
            }
            (done, failed)
        });
        Client { stop, thread }
    }

    fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn download(http: SocketAddr, _: &AtomicBool) -> Result<(), String> {
    let mut stream = connect(http);
    write!(stream, "GET /cgi-bin/download?4 HTTP/1.1\r\nHost: blog.localhost\r\nConnection: close\r\n\r\n")
        .map_err(|err| err.to_string())?;
    let head = read_head(&mut stream).map_err(|err| format!("download: {err}"))?;
    let mut body = Vec::new();
    let read = stream.read_to_end(&mut body);
    match (head.starts_with("HTTP/1.1 200 "), body.len()) {
        (true, 40960) => Ok(()),
        (_, length) => Err(format!("download: {head} and {length} bytes, {read:?}")),
    }
}

/// Talks over one websocket until it is closed, which is too early before its release has had its time to drain.
fn talk(http: SocketAddr, stop: &AtomicBool) -> Result<(), String> {
    let begun = Instant::now();
    let mut websocket: TcpStream = open_websocket(http);
    while !stop.load(Ordering::Relaxed) {
        match try_echo(&mut websocket, b"still there?") {
            Ok(_) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) if begun.elapsed() >= TUNNEL_TIME => return Ok(()),
            Err(err) => return Err(format!("a websocket was cut after {:?}: {err}", begun.elapsed())),
        }
    }
    Ok(())
}

#[test]
fn no_request_fails_over_deploys_rollbacks_scales_and_restarts() {
    let mini = Mini::start();
    let (repo, chat) = (Repo::from_folder("tests/apps/cgi"), Repo::from_folder("tests/apps/websocket-echo"));
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.anna.push(chat.path(), mini.ssh, "echo", &["main"]).ok();
    let loads = [Load::start(mini.http, "blog.localhost"), Load::start(mini.http, "echo.localhost")];
    let clients = [Client::start(mini.http, download), Client::start(mini.http, talk)];
    let (deploys, others) = (rounds(3, 50), rounds(1, 20));

    let (mut told, mut told_of_none) = (0, 0);
    let mut say = |words: &str| {
        let said = mini.anna.ssh(mini.ssh, words).ok();
        told += said.stderr.matches(" requests served meanwhile, ").count();
        told_of_none += said.stderr.matches(" requests served meanwhile, 0 failed").count();
    };
    for number in 0..deploys {
        repo.next(&format!("page {number}"));
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
        if number < others {
            say(&format!("ps:scale blog web={}", 2 - number % 2));
            say("ps:restart blog");
            say("rollback blog");
            say("ps:restart echo");
        }
    }

    let loads = loads.map(Load::stop);
    let clients = clients.map(Client::stop);
    let served: usize = loads.iter().chain(&clients).map(|(served, _)| served).sum();
    let failed: Vec<String> = loads.into_iter().chain(clients).flat_map(|(_, failed)| failed).collect();
    proof(
        "churn",
        &[
            ("rounds", &deploys),
            ("deploys", &deploys),
            ("rollbacks", &others),
            ("scales", &others),
            ("restarts", &(2 * others)),
            ("requests", &served),
            ("failed", &failed.len()),
        ],
    );
    assert_eq!(failed, Vec::<String>::new(), "of {served}");
    // One that only ends processes may be too quick for a request to be served meanwhile.
    assert!(told >= 3 * others && told == told_of_none, "{told_of_none} of {told} changes say that none failed");
    eventually("the old processes to be gone", || (mini.docker().containers().len() <= 3).then_some(()));
    mini.finish();
}
