//! Help for both kinds of words: those of this machine and those of the server.

use std::fmt::Write;

use super::verbs;
use crate::command::{WordEntry, catalog};

/// Nouns under the heading where somebody would look for them; what is in no group comes last.
const GROUPS: &[(&str, &[&str])] = &[
    ("Deploying", &["rebuild", "releases", "rollback", "builds", "explain", "git"]),
    ("Apps and processes", &["apps", "ps", "limits", "maintenance"]),
    ("Looking and running", &["logs", "run", "enter", "top", "stats", "events"]),
    ("Config, domains, storage", &["config", "domains", "certs", "storage"]),
    ("People and host", &["keys", "tokens", "registry", "whoami", "status", "doctor", "backup", "restore", "prune", "version"]),
];

/// Returns the help that a line asks for, as far as it is the client's to give.
#[must_use]
pub fn asked_for(words: &[String]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["help" | "--help" | "-h"] => Some(overview()),
        ["help", noun @ ("config" | "hosts"), verb] => verbs::help_of(&format!("{noun}:{verb}")),
        ["help", verb] => verbs::help_of(verb),
        _ => None,
    }
}

fn overview() -> String {
    let ours = verbs::entries();
    let theirs: Vec<WordEntry> = catalog().into_iter().filter(|word| ours.iter().all(|verb| verb.name != word.name)).collect();
    let width = ours.iter().chain(&theirs).map(|word| word.name.len()).max().unwrap_or(0);
    let mut text = "git push mini main, or mini deploy: get a URL\n\nUsage: mini <COMMAND> [APP] [ARGUMENTS]\n".to_owned();
    text += &section("On this machine", ours.iter(), width);
    for (title, nouns) in GROUPS {
        text += &section(title, theirs.iter().filter(|word| nouns.contains(&noun_of(word))), width);
    }
    let in_no_group = |word: &&WordEntry| GROUPS.iter().all(|(_, nouns)| !nouns.contains(&noun_of(word)));
    text += &section("More", theirs.iter().filter(in_no_group), width);
    text += "\nEverywhere:\n";
    for (flag, about) in [
        (
            "-a, --app APP",
            "The app, when it does not come first; in a folder with a git remote\n                     \"mini\" both may be left out",
        ),
        ("--host NAME|URL", "Another server than the one set last (or MINI_HOST, MINI_API_KEY)"),
        ("-r, --remote NAME", "Another git remote than \"mini\""),
        ("--json", "Answer in JSON"),
    ] {
        let _ = writeln!(text, "  {flag:<17}  {about}");
    }
    text += "\n\"config:set\" may be \"config set\". More on a word: mini help WORD\n";
    text += "On the server's own machine: mini server, mini firewall, mini restore, mini proxy; each has --help\n";
    text
}

fn section<'a>(title: &str, words: impl Iterator<Item = &'a WordEntry>, width: usize) -> String {
    let lines = words.fold(String::new(), |mut lines, word| {
        let _ = writeln!(lines, "  {:<width$}  {}", word.name, word.about);
        lines
    });
    if lines.is_empty() { lines } else { format!("\n{title}:\n{lines}") }
}

fn noun_of(word: &WordEntry) -> &str {
    word.name.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_stands_in_the_overview_once() {
        let text = overview();

        for word in catalog().iter().chain(&verbs::entries()) {
            let lines = text.lines().filter(|line| line.strip_prefix("  ").is_some_and(|line| line.split(' ').next() == Some(&word.name)));
            assert_eq!(lines.count(), 1, "{}", word.name);
        }
        assert!(!text.contains("\nMore:"), "a word without a group:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn the_clients_words_have_help_and_others_are_the_servers() {
        let asked = |line: &str| asked_for(&shlex::split(line).unwrap());

        assert!(asked("help deploy").unwrap().contains("[PATH]"));
        assert!(asked("help config set-host").unwrap().contains("--insecure-http"));
        assert!(asked("help config:set-host").is_some() && asked("").is_some());
        assert!(asked("help logs").is_none() && asked("logs").is_none() && asked("help nonsense").is_none());
    }
}
