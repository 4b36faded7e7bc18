//! Holds the list of failpoints against the code: a test that arms one which is nowhere would prove nothing.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mini::failpoint::NAMES;

const MARK: &str = "failpoint!(\"";

/// Collects the names that are marked below a folder.
fn marked_in(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            marked_in(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            names.extend(text.split(MARK).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
}

fn marked() -> Vec<String> {
    let mut names = Vec::new();
    marked_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    names
}

#[test]
fn every_failpoint_of_the_list_is_in_the_code_and_the_reverse() {
    let listed: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let marked: BTreeSet<String> = marked().into_iter().collect();

    assert_eq!(listed.difference(&marked).collect::<Vec<_>>(), Vec::<&String>::new(), "listed, and nowhere in src");
    assert_eq!(marked.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "in src, and not listed");
}

#[test]
fn a_name_is_a_story_and_a_moment_and_stands_in_the_list_once() {
    for name in NAMES {
        let (story, moment) = name.split_once("::").unwrap();
        assert!([story, moment].iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')), "{name}");
        assert_eq!(NAMES.iter().filter(|other| *other == name).count(), 1, "{name} is listed twice");
    }
}
