//! A panic in one place: that request or deploy fails, the server lives, and nothing stays locked or left.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::harness::{Mini, Repo, eventually};
use crate::whole::{hello, is_whole};

fn with_blog(failpoints: &str) -> (Mini, Repo) {
    let mut mini = Mini::start();
    let repo = hello("first");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    mini.stop();
    mini.may_panic = true;
    mini.boot_armed(failpoints);
    (mini, repo)
}

#[test]
fn a_panic_at_each_door_ends_one_request_and_the_next_is_served() {
    let (mini, repo) = with_blog("proxy::request=1*off->1*panic;ssh::session=1*panic;api::call=1*panic");
    let pid = mini.pid();
    let token = mini.token("ci --role admin");

    assert_eq!(mini.get("blog", "/").body, "first");
    let mut cut = TcpStream::connect(mini.http).unwrap();
    write!(cut, "GET / HTTP/1.1\r\nHost: blog.localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = cut.read_to_end(&mut answer);
    assert_eq!(String::from_utf8_lossy(&answer), "", "closed without an answer");
    assert_eq!(mini.get("blog", "/").body, "first");

    mini.anna.ssh(mini.ssh, "whoami").fails(1, "mini has a fault here; its log says more");
    assert!(mini.anna.ssh(mini.ssh, "whoami").ok().stdout.contains("anna"));

    assert_eq!(mini.call(&token, "whoami", &json!({})).status, 503);
    assert_eq!(mini.call(&token, "whoami", &json!({})).status, 200);

    assert_eq!(mini.log().matches("panicked at").count(), 3, "{}", mini.log());
    assert_eq!(mini.pid(), pid);
    is_whole(&mini, &repo.head(), "first");
    mini.finish();
}

#[test]
fn a_panic_in_a_deploy_fails_it_and_the_next_one_works() {
    let points = ["building::committed", "built::before", "starting::committed", "starting::created", "probing::answered"];
    let armed = points.map(|at| format!("{at}=1*panic")).join(";");
    let (mini, repo) = with_blog(&armed);
    let first = repo.head();

    for at in points {
        repo.next(at);
        mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).fails(1, "mini has a fault here; its log says more");
        is_whole(&mini, &first, "first");
    }

    let last = repo.next("last");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    is_whole(&mini, &last, "last");
    assert_eq!(mini.log().matches("panicked at").count(), points.len());
    mini.finish();
}

#[test]
fn a_panic_while_an_old_release_ends_leaves_it_to_the_next_resync() {
    let (mini, repo) = with_blog("draining::committed=1*panic");
    let second = repo.next("second");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    eventually("the panic", || mini.log().contains("panicked at").then_some(()));
    assert_eq!(mini.get("blog", "/").body, "second");

    let third = repo.next("third");
    mini.anna.push(repo.path(), mini.ssh, "blog", &["main"]).ok();
    assert_eq!(mini.get("blog", "/").body, "third");
    assert_ne!(second, third);

    is_whole(&mini, &third, "third");
    mini.finish();
}
