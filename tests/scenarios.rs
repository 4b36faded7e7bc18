//! Holds the table of scenarios in `tests/README.md` against the tests: a name in it is a test that there is.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The rows of the table: the scenario's number and the last column.
fn rows() -> Vec<(String, String)> {
    let readme = fs::read_to_string(root().join("tests/README.md")).unwrap();
    let cells = readme.lines().filter(|line| line.starts_with("| R")).map(|line| line.split(" | ").collect::<Vec<_>>());
    cells.map(|cells| (cells[0].trim_start_matches("| ").to_owned(), cells[2].trim_end_matches(" |").to_owned())).collect()
}

/// Tells whether a name such as `kills::*`, `logs::a_test` or `logs/trial.rs: a_test` is that of a test.
fn is_a_test(name: &str) -> bool {
    let (file, test) = match name.split_once("::") {
        Some((module, test)) => (root().join("tests/it").join(module).with_extension("rs"), test),
        None => name.split_once(": ").map(|(file, test)| (root().join("src").join(file), test)).unwrap(),
    };
    let source = fs::read_to_string(file).unwrap_or_default();
    source.contains("test]\n") && (test == "*" || source.contains(&format!("fn {test}(")))
}

#[test]
fn every_scenario_has_its_row() {
    let numbers: Vec<String> = rows().into_iter().map(|(number, _)| number).collect();

    assert_eq!(numbers, (1..=30).map(|number| format!("R{number}")).collect::<Vec<_>>());
}

#[test]
fn every_scenario_has_a_test_or_a_sentence_why_not() {
    for (number, tests) in rows() {
        assert!(tests.contains('`') || tests.starts_with("not tested: "), "{number}: {tests:?}");
    }
}

#[test]
fn every_test_of_the_table_is_there() {
    for (number, tests) in rows() {
        for name in tests.split('`').skip(1).step_by(2).filter(|name| name.contains("::") || name.contains(": ")) {
            assert!(is_a_test(name), "{number}: there is no test `{name}`");
        }
    }
}
