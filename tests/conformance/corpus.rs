//! The corpus of the fuzzers: what they begin with, and the inputs that they found, by name. Each must hold what `tests/fuzz` checks.

use std::path::Path;

use super::checks::{check_connection, check_head, check_host};

#[test]
fn hosts_of_the_corpus_hold() {
    replay("host", check_host);
}

#[test]
fn heads_of_the_corpus_hold() {
    replay("head", check_head);
}

#[test]
fn connections_of_the_corpus_hold() {
    replay("connection", check_connection);
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let inputs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty());
    for input in inputs {
        println!("{}", input.display());
        check(&std::fs::read(&input).unwrap());
    }
}
