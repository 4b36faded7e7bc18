//! The command line over HTTP, against servers that say what a test wants them to say.

use crate::harness::{Laptop, Scripted};

const LINES: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n";
const SERVER: (&str, &str) = (
    "/v1/server",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"name\":\"mini\",\"version\":\"9.9.9\",\"protocol\":1,\"ssh\":\"0.0.0.0:2222\",\
     \"host_key\":\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\"}",
);

fn lines(lines: &[&str]) -> String {
    format!("{LINES}{}\n", lines.join("\n"))
}

fn who() -> String {
    lines(&[r#"{"value":{"who-am-i":{"name":"ci","role":"deploy","apps":null,"fingerprint":null}}}"#, r#"{"end":{"code":0}}"#])
}

fn version() -> String {
    lines(&[r#"{"value":{"version":{"version":"9.9.9"}}}"#, r#"{"end":{"code":0}}"#])
}

fn problem(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n{body}")
}

/// A laptop and a server that it is to use, without asking first.
fn set(answers: &[(&str, &str)]) -> (Laptop, Scripted) {
    let (laptop, server) = (Laptop::with_ssh("false"), Scripted::start(answers));
    laptop.mini(&["config", "set-host", &format!("http://{}", server.address), "--key", "mini_s3cret", "--no-check"]).ok();
    (laptop, server)
}

#[test]
fn set_host_learns_the_ssh_door_and_keeps_its_key() {
    let server = Scripted::start(&[SERVER, ("/v1/whoami", &who()), ("/v1/version", &version())]);
    let laptop = Laptop::with_ssh("false");
    let url = format!("http://{}", server.address);
    let mut command = laptop.command(laptop.home(), &["config", "set-host", &url]);
    command.env("MINI_API_KEY", "mini_s3cret");

    let said = crate::harness::Said::by(command, b"").ok();

    assert!(said.stdout.starts_with(&format!("mini 9.9.9 answers at {url}: you are ci (deploy, all apps)")), "{said:?}");
    assert_eq!(said.stderr, "", "loopback is no place for a warning");
    assert!(laptop.read(".ssh/mini.conf").contains("HostName 127.0.0.1\n    Port 2222\n"));
    assert!(laptop.read(".ssh/mini_known_hosts").starts_with("mini-mini ssh-ed25519 AAAA"));
    assert!(laptop.read(".ssh/mini.conf").contains("HostKeyAlias mini-mini\n"));
    assert!(laptop.read(".config/mini/config.toml").contains("key = \"mini_s3cret\""));
    assert!(!laptop.mini(&["hosts", "--json"]).ok().stdout.contains("s3cret"));
    let asked = server.heard().into_iter().find(|request| request.starts_with("POST /v1/whoami")).unwrap().to_lowercase();
    assert!(asked.contains("authorization: bearer mini_s3cret") && asked.contains("accept: application/x-ndjson"), "{asked}");
}

#[test]
fn a_key_in_clear_to_another_machine_is_warned_about_once() {
    let laptop = Laptop::with_ssh("false");
    let set = |more: &[&str]| {
        let words = [&["config", "set-host", "http://mini.example.org", "--key", "x", "--no-check"], more].concat();
        laptop.mini(&words).ok().stderr
    };

    assert!(set(&[]).contains("in clear") && set(&[]).lines().count() == 1);
    assert_eq!(set(&["--insecure-http"]), "");
    laptop.mini(&["config", "set-host", "https://mini.example.org", "--no-check"]).fails(2, "which API key?");
}

#[test]
fn an_answer_without_its_end_is_no_success() {
    let (laptop, _server) = set(&[
        ("/v1/apps", &lines(&[r#"{"value":{"apps":[]}}"#])),
        ("/v1/whoami", &lines(&["<html>"])),
        ("/v1/status", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
        ("/v1/keys", ""),
    ]);

    laptop.mini(&["apps"]).fails(1, "was cut");
    laptop.mini(&["whoami"]).fails(1, "answers in words that this client does not know");
    laptop.mini(&["keys"]).fails(1, "was cut");
    assert_ne!(laptop.mini(&["status"]).code, 0);
}

#[test]
fn refusals_are_the_servers_own_sentences_and_codes() {
    let revoked = r#"{"type":"about:blank","status":401,"detail":"this API key was revoked","hint":"ask an admin for another","kind":"not-allowed","code":4}"#;
    let (laptop, server) = set(&[
        ("/v1/apps:info", &problem("404 Not Found", r#"{"detail":"app `blog` does not exist","kind":"not-found"}"#)),
        ("/v1/apps", &problem("401 Unauthorized", revoked)),
        ("/v1/releases", &lines(&[r#"{"end":{"code":5,"error":{"kind":"busy","sentence":"somebody else deploys","hint":"wait"}}}"#])),
    ]);

    laptop.mini(&["apps"]).fails(4, "mini: this API key was revoked\n      ask an admin for another\n");
    laptop.mini(&["apps:info", "blog"]).fails(3, "app `blog` does not exist");
    laptop.mini(&["releases", "blog"]).fails(5, "mini: somebody else deploys\n      wait\n");
    laptop.mini(&["whoami"]).fails(3, "did not come from mini");
    laptop.mini(&["run", "blog", "--", "ls"]).fails(2, "use ssh");
    assert!(!server.heard().iter().any(|request| request.contains("/v1/run")), "it was sent before it was refused");
    assert!(server.heard().iter().any(|request| request.contains("POST /v1/apps:info") && request.ends_with(r#"{"app":"blog"}"#)));
}

#[test]
fn a_folder_becomes_a_url_in_three_steps() {
    let released = r#"{"released":{"app":"blue-sky","version":"v1","url":"http://blue-sky.localhost","container":"CONTAINER"}}"#;
    let released = released.replace("CONTAINER", &"a".repeat(64));
    let deployed = lines(&[
        r#"{"stage":"sourced"}"#,
        r#"{"stage":"building"}"#,
        r#"{"talk":"       [1/2] FROM busybox"}"#,
        r#"{"stage":"built"}"#,
        r#"{"stage":"starting"}"#,
        r#"{"talk":"-----> Starting web.1"}"#,
        r#"{"stage":"probing"}"#,
        r#"{"stage":"live"}"#,
        &released,
        r#"{"talk":"=====> Released v1"}"#,
        r#"{"end":{"code":0}}"#,
    ]);
    let created = lines(&[r#"{"value":{"done":{"message":"Created app `blue-sky`.","app":"blue-sky"}}}"#, r#"{"end":{"code":0}}"#]);
    let (laptop, server) = set(&[("/v1/apps:create", &created), ("/v1/deploy", &deployed)]);
    let folder = laptop.folder("my-web-app");
    std::fs::write(folder.join("Dockerfile"), "FROM busybox\n").unwrap();
    std::fs::write(folder.join("index.html"), "x".repeat(2000)).unwrap();

    let first = laptop.mini_in(&folder, &["deploy", ".", "-m", "it's new"]).ok();
    let again = laptop.mini_in(&folder, &["deploy", "--json"]).ok();

    let talk = "[1/3] Packing source code… done (2 files, 2 KiB)\n[2/3] Building image \"blue-sky\"…\n       [1/2] FROM busybox\n[3/3] Starting container… done\n";
    assert_eq!((first.stderr.as_str(), first.stdout.as_str()), (talk, "http://blue-sky.localhost\n"));
    assert!(again.stdout.starts_with(r#"{"app":"blue-sky","version":"v1","url":"http://blue-sky.localhost""#), "{again:?}");
    let heard = server.heard();
    assert_eq!(
        heard.iter().filter(|request| request.starts_with("POST /v1/apps:create")).count(),
        1,
        "the second time the app is remembered"
    );
    assert!(heard[1].starts_with("POST /v1/deploy?app=blue-sky&message=it%27s+new HTTP/1.1"), "{}", heard[1]);
}

#[test]
fn a_deploy_that_fails_shows_what_was_said_and_what_is_next() {
    let failed = lines(&[
        r#"{"stage":"building"}"#,
        r#"{"stage":"starting"}"#,
        r#"{"talk":" !     it listens on 127.0.0.1:3000"}"#,
        r#"{"end":{"code":1,"error":{"kind":"failed","sentence":"the release did not answer"}}}"#,
    ]);
    let gone = problem("404 Not Found", r#"{"detail":"app `gone` does not exist","kind":"not-found"}"#);
    let (laptop, _server) = set(&[("/v1/deploy?app=blog", &failed), ("/v1/deploy?app=gone", &gone)]);
    let folder = laptop.folder("app");
    std::fs::write(folder.join("a"), "x").unwrap();

    let said = laptop.mini_in(&folder, &["deploy", "-a", "blog"]).fails(1, "mini: the release did not answer\n");

    let end = "[3/3] Starting container… failed\n !     it listens on 127.0.0.1:3000\nmini: the release did not answer\n      see more: mini logs blog\n";
    assert!(said.stderr.ends_with(end), "{}", said.stderr);
    laptop.mini_in(&folder, &["deploy", "-a", "gone"]).fails(3, "app `gone` does not exist");
}

#[test]
fn a_server_that_refuses_early_is_heard_before_all_is_sent() {
    let too_large = problem(
        "413 Content Too Large",
        r#"{"detail":"the source is larger than 1 GiB","kind":"failed","hint":"keep large files out of it"}"#,
    );
    let (laptop, _server) = set(&[("/v1/deploy", &too_large)]);
    let folder = laptop.folder("large");
    let noise: Vec<u8> = (0..32_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    std::fs::write(folder.join("noise"), noise).unwrap();

    let said = laptop.mini_in(&folder, &["deploy", "-a", "blog"]).fails(1, "mini: the source is larger than 1 GiB\n");

    assert!(!said.stderr.contains("done"), "{}", said.stderr);
}

#[test]
fn a_file_that_cannot_be_read_stops_everything_before_it_begins() {
    let (laptop, server) = set(&[]);
    let folder = laptop.folder("app");
    std::fs::write(folder.join(".dockerignore"), "a[").unwrap();

    laptop.mini_in(&folder, &["deploy", "-a", "blog"]).fails(1, "line 1 of `.dockerignore` is not a pattern");

    assert_eq!(server.heard(), Vec::<String>::new());
}
