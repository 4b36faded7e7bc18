//! Holds the map of rooms in `src/lib.rs` against the code: adding an edge is a design decision, made here.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const L0: &[&str] = &["error", "failpoint", "model", "config", "source", "command"];
const L1: &[&str] = &["store", "engine", "git", "build", "route", "logs", "firewall", "backup", "acme"];

/// A room and the rooms it may import.
fn map() -> Vec<(&'static str, Vec<&'static str>)> {
    let below = |layers: &[&[&'static str]]| layers.concat();
    let mut map = vec![
        ("error", vec![]),
        ("failpoint", vec!["error"]),
        ("model", vec!["error"]),
        ("config", vec!["error", "model"]),
        ("source", vec!["error", "model"]),
        ("command", vec!["error", "model"]),
        ("deploy", below(&[L0, L1])),
        ("platform", below(&[L0, L1, &["deploy"]])),
        ("care", below(&[L0, L1, &["deploy"]])),
        ("ssh", below(&[L0, &["platform"]])),
        ("api", below(&[L0, &["platform"]])),
        ("socket", below(&[L0, &["platform"]])),
        ("proxy", vec!["error", "failpoint", "model", "route"]),
        ("cli", vec!["error", "model", "command", "config", "source"]),
        ("server", below(&[L0, L1, &["deploy", "platform", "care", "ssh", "api", "socket", "proxy"]])),
    ];
    map.extend(L1.iter().map(|room| (*room, L0.to_vec())));
    map
}

/// An outside crate and the only rooms that may say its name.
const OWNERS: &[(&str, &[&str])] = &[
    ("bollard", &["engine"]),
    ("git2", &["git"]),
    ("russh", &["ssh"]),
    ("rusqlite", &["store"]),
    ("hyper", &["proxy", "engine", "api", "cli"]),
    ("hyper_util", &["proxy", "engine", "api", "cli"]),
    ("form_urlencoded", &["api", "cli"]),
    ("ssh_key", &["model"]),
    ("clap", &["command", "config", "server", "firewall", "cli"]),
    ("tar", &["source", "backup"]),
    ("flate2", &["source"]),
    ("fail", &["failpoint"]),
    ("toml", &["config"]),
    ("instant_acme", &["acme"]),
];

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn source(room: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut files);
    files.retain(|path| !is_for_tests(path));
    assert!(!files.is_empty(), "room {room} is empty");
    files.into_iter().map(|path| (path.clone(), code_of(&fs::read_to_string(path).unwrap()))).collect()
}

/// Tests set their own stage, with whatever it takes; `#[cfg(test)]` keeps that out of the product.
fn is_for_tests(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs" | "trial.rs")))
}

/// Drops tests, and comments, which may name any room.
fn code_of(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    product.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn rooms_named_in(code: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        assert!(!rest.starts_with('{'), "`use crate::{{…}}` hides its rooms: write one line a room");
        rooms.insert(word(rest));
    }
    rooms
}

/// Tells whether `code` uses the crate: `name::` that is not the tail of a longer path or word.
fn says(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
        || code.contains(&format!("use {name};"))
}

#[test]
fn imports_point_down_only() {
    for (room, allowed) in map() {
        for (path, code) in source(room) {
            for named in rooms_named_in(&code) {
                let fine = named == room || allowed.contains(&named.as_str());
                assert!(fine, "{} imports `{named}`: room `{room}` may import {allowed:?}", path.display());
            }
        }
    }
}

#[test]
fn one_room_per_outside_crate() {
    for (room, _) in map() {
        for (path, code) in source(room) {
            for (name, owners) in OWNERS {
                assert!(!says(&code, name) || owners.contains(&room), "{} says `{name}`, which belongs to {owners:?}", path.display());
            }
        }
    }
}

#[test]
fn every_room_is_on_the_map() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let known: BTreeSet<String> = map().iter().map(|(room, _)| (*room).to_owned()).collect();
    let found: BTreeSet<String> = fs::read_dir(src)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();

    assert_eq!(known, found);
}

/// reliability: a shell that glues strings is how peers were broken into.
#[test]
fn no_shell_is_ever_started() {
    for (room, _) in map() {
        for (path, code) in source(room) {
            for shell in ["Command::new(\"sh\")", "Command::new(\"bash\")", "Command::new(\"/bin/sh\")"] {
                assert!(!code.contains(shell), "{} starts a shell", path.display());
            }
        }
    }
}
