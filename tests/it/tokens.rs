//! The life of API keys, and what becomes of open calls when a key goes.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Mini, Person, Repo, Said, eventually, is_running, unique};

/// Sets when an API key expires, in milliseconds from now: nobody waits for a minute here.
fn expire(mini: &Mini, name: &str, from_now: i64) {
    let database = rusqlite::Connection::open(mini.data().join("mini.db")).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = i64::try_from(now.as_millis()).unwrap() + from_now;
    assert_eq!(database.execute("UPDATE tokens SET expires_at = ?2 WHERE name = ?1", rusqlite::params![name, at]).unwrap(), 1);
}

#[test]
fn a_key_is_shown_once_works_until_it_is_revoked_and_says_who_it_is() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();

    let made = mini.anna.ssh(mini.ssh, "tokens:create ci --app blog --role view --expires 90d --json").ok();
    let made: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let who = mini.call(token, "whoami", &json!({})).has_status(200).json();
    let listed = mini.local(&["tokens", "--json"]).ok().stdout;
    let rows: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let shown = mini.local(&["tokens"]).ok().stdout;
    let revoked = mini.local(&["tokens:revoke", id]).ok().stdout;

    assert_eq!(who, json!({"name": "ci", "role": "view", "apps": ["blog"], "fingerprint": null, "token": id}));
    assert!(!listed.contains(token) && rows[0]["last_used_at"].is_string() && rows[0]["created_by"] == "anna@test", "{listed}");
    assert!(shown.contains("in 89d") && shown.contains(id), "{shown}");
    assert_eq!(revoked, format!("Revoked API key `ci` ({id}).\n"));
    assert_eq!(mini.call(token, "whoami", &json!({})).problem(401)["detail"], "this API key is unknown or was revoked");
    assert!(!mini.log().contains(token), "the key stands in the log");
    mini.finish();
}

#[test]
fn what_cannot_be_made_or_revoked_is_said_so() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob", &bob.public_key()).ok();
    mini.token("ci");

    mini.local(&["tokens:create", "ci"]).fails(5, "another API key is already called `ci`");
    mini.local(&["tokens:create", "x", "--app", "nothing"]).fails(3, "app `nothing` does not exist");
    mini.local(&["tokens:create", "x", "--app", "blog", "--role", "admin"]).fails(2, "an admin reaches all apps");
    mini.local(&["tokens:create", "x", "--expires", "soon"]).fails(2, "`soon` is not a lifetime");
    mini.local(&["tokens:create", "-x"]).fails(2, "");
    mini.local(&["tokens:revoke", "x"]).fails(3, "there is no API key `x`");
    bob.ssh(mini.ssh, "tokens:create x").fails(4, "this needs an admin");
    mini.finish();
}

#[test]
fn an_expired_key_says_so_and_a_destroyed_app_leaves_a_key_without_apps() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["apps:create", "shop"]).ok();
    let (old, scoped) = (mini.token("old --expires 1d"), mini.token("carl --app blog"));

    expire(&mini, "old", -1);
    mini.local(&["apps:destroy", "blog", "--confirm", "blog"]).ok();

    assert_eq!(mini.call(&old, "whoami", &json!({})).problem(401)["detail"], "this API key has expired");
    assert!(mini.local(&["tokens"]).ok().stdout.contains("expired 0s ago"));
    assert_eq!(mini.call(&scoped, "apps", &json!({})).json(), json!([]));
    assert_eq!(mini.call(&scoped, "whoami", &json!({})).json()["apps"], json!([]));
    mini.call(&scoped, "apps:info", &json!({"app": "shop"})).problem(404);
    mini.finish();
}

#[test]
fn revoking_a_key_cuts_its_open_streams_and_nobody_elses() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    let (one, other) = (mini.token("one"), mini.token("other"));
    let follow = |token: &str| {
        let mut logs = mini.follow(token, "logs", &json!({"app": "blog", "follow": true}));
        logs.wait_for("200 OK");
        logs
    };
    let (cut, mut stays) = (follow(&one), follow(&other));

    mini.local(&["tokens:revoke", "one"]).ok();
    let begun = Instant::now();
    let lines = cut.finish().lines();

    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let end = &lines.last().unwrap()["end"];
    assert_eq!((&end["code"], &end["error"]["sentence"]), (&json!(4), &json!("your API key was revoked")), "{lines:?}");
    mini.local(&["config:set", "blog", "A=1"]).ok();
    stays.wait_for("Saved for");
    mini.finish();
}

#[test]
fn a_key_that_expires_ends_its_open_streams() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    let token = mini.token("short --expires 1d");
    expire(&mini, "short", 3000);

    let lines = mini.follow(&token, "logs", &json!({"app": "blog", "follow": true})).finish().lines();

    assert_eq!(lines.last().unwrap()["end"]["error"]["sentence"], "your API key has expired", "{lines:?}");
    mini.finish();
}

#[test]
fn a_word_that_waits_for_its_input_ends_with_its_key() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    let token = mini.token("ci --role admin");
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Transfer-Encoding", "chunked")];
    let key = bob.public_key();
    let half = mini.begin("POST", "/v1/keys:add?name=bob&role=admin", &headers, format!("{:x}\r\n{key}\r\n", key.len()).as_bytes());
    eventually("the call to be open", || mini.log().contains("asked over http command=\"keys:add\"").then_some(()));

    mini.local(&["tokens:revoke", "ci"]).ok();

    assert_eq!(half.finish().problem(403)["detail"], "your API key was revoked");
    assert!(!mini.local(&["keys"]).ok().stdout.contains("bob"));
    mini.finish();
}

#[test]
fn removing_an_ssh_key_ends_what_it_has_open() {
    let mini = Mini::start();
    mini.local(&["apps:create", "blog"]).ok();
    mini.local(&["config:set", "blog", "A=1"]).ok();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob", &bob.public_key()).ok();
    let line = bob.ssh_command(mini.ssh);
    let mut command = std::process::Command::new(&line[0]);
    command.args(&line[1..]).args(["mini@127.0.0.1", "logs blog -f"]);
    let mut logs = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(logs.stdout.take().unwrap());
    // A first line tells that the call is open.
    stdout.read_line(&mut String::new()).unwrap();

    mini.local(&["keys:remove", "bob"]).ok();
    let begun = Instant::now();
    let output = logs.wait_with_output().unwrap();

    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let said = Said { code: output.status.code().unwrap_or(-1), stdout: String::new(), stderr: String::from_utf8(output.stderr).unwrap() };
    said.fails(4, "your key was removed");
    mini.finish();
}

#[test]
fn removing_an_ssh_key_cancels_its_push_before_the_switch() {
    let mini = Mini::start();
    let bob = Person::new(mini.home(), "bob");
    mini.anna.ssh_with(mini.ssh, "keys:add bob", &bob.public_key()).ok();
    let marker = format!("600.{}", unique());
    let repo = Repo::building(&format!("sleep {marker}"));
    let mut push = bob.begin_push(repo.path(), mini.ssh, "hello", &["main"]);
    push.wait_for("Building image");

    mini.local(&["keys:remove", "bob"]).ok();
    let begun = Instant::now();
    push.finish().fails(1, "cancelled: your key was removed before the switch");

    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually("the build to end", || (!is_running(&marker)).then_some(()));
    mini.finish();
}
