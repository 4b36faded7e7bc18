//! A server whose sockets somebody else holds: it can be restarted without a request that fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Mini, Repo};
use crate::traffic::Load;

#[test]
fn restarts_under_load_fail_no_request() {
    let mut mini = Mini::start_on_held_sockets(&[]);
    let repo = Repo::from_folder("tests/apps/cgi");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    let (ssh, http) = (mini.ssh, mini.http);
    let load = Load::start(http, "blog.localhost");

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
