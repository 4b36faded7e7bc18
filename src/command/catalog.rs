//! What the command line asks of the grammar: which words there are, and whether a line leaves its app out.

use super::Command;
use super::words::{app_argument, end_of_own, grammar, is_known, normalise};
use crate::model::AppName;

/// One word, for lists and completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordEntry {
    /// As it is typed: `config:set`
    pub name: String,
    /// What it does, in one line.
    pub about: String,
    /// Whether its first argument is an app.
    pub takes_app: bool,
    /// Its long flags, with their dashes.
    pub flags: Vec<String>,
}

/// Whether a line names its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppSlot {
    /// It does.
    Given,
    /// The word needs an app and none is there.
    Missing,
    /// The word is about no app, or there is no such word.
    None,
}

/// Returns every word that the server knows, in the order of the help.
#[must_use]
pub fn catalog() -> Vec<WordEntry> {
    let mut grammar = grammar();
    grammar.build();
    let entry = |word: &clap::Command| WordEntry {
        name: word.get_name().to_owned(),
        about: word.get_about().map(ToString::to_string).unwrap_or_default(),
        takes_app: needs_app(word),
        flags: word.get_arguments().filter_map(clap::Arg::get_long).map(|flag| format!("--{flag}")).collect(),
    };
    grammar.get_subcommands().map(entry).collect()
}

/// Returns the word that makes this command: `config:set`.
#[must_use]
pub fn word_of(command: &Command) -> String {
    let value = serde_json::to_value(command).expect("a command holds nothing that JSON cannot");
    let tag = match &value {
        serde_json::Value::Object(one) => one.keys().next().map(String::as_str),
        other => other.as_str(),
    };
    let tag = tag.unwrap_or_default();
    let word = tag.replacen('-', ":", 1);
    if is_known(&word) { word } else { tag.to_owned() }
}

/// Tells whether a line leaves out the app that its word needs.
///
/// What can be an app's name is taken for one: `config:get blog` never means the variable `blog` of the folder's app.
#[must_use]
pub fn app_slot(words: &[String]) -> AppSlot {
    let words = normalise(words);
    let mut grammar = grammar();
    grammar.build();
    let Some(word) = words.first().and_then(|word| grammar.find_subcommand(word)) else { return AppSlot::None };
    let own = &words[1..end_of_own(&words)];
    if !needs_app(word) || own.iter().any(|word| word == "--help" || word == "-h") {
        return AppSlot::None;
    }
    match first_positional(word, own) {
        None => AppSlot::Missing,
        Some(first) if first.parse::<AppName>().is_ok() => AppSlot::Given,
        // It cannot be an app, so it is what comes after one; a word that takes nothing else is told what was wrong with it.
        Some(_) if word.get_positionals().count() > 1 => AppSlot::Missing,
        Some(_) => AppSlot::Given,
    }
}

/// Puts the app where its word expects it.
#[must_use]
pub fn with_app(words: &[String], app: &AppName) -> Vec<String> {
    let mut words = normalise(words);
    words.insert(1, app.to_string());
    words
}

fn needs_app(word: &clap::Command) -> bool {
    app_argument(word).is_some_and(clap::Arg::is_required_set)
}

/// Finds the first word that is neither a flag nor a flag's value.
fn first_positional<'a>(word: &clap::Command, words: &'a [String]) -> Option<&'a str> {
    let mut words = words.iter().map(String::as_str);
    while let Some(next) = words.next() {
        if !next.starts_with('-') || next == "-" {
            return Some(next);
        }
        if waits_for_value(word, next) {
            words.next();
        }
    }
    None
}

/// Tells whether the value of this flag, or of the last of these short flags, is the next word.
fn waits_for_value(word: &clap::Command, flag: &str) -> bool {
    let takes_value = |arg: &clap::Arg| arg.get_action().takes_values();
    if let Some(long) = flag.strip_prefix("--") {
        let is_it = |arg: &&clap::Arg| arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|names| names.contains(&long));
        return !long.contains('=') && word.get_arguments().find(is_it).is_some_and(takes_value);
    }
    let mut letters = flag.chars().skip(1);
    let is_it = |letter| move |arg: &&clap::Arg| arg.get_short() == Some(letter);
    let first_valued = letters.find(|&letter| word.get_arguments().find(is_it(letter)).is_some_and(takes_value));
    // `-n5` brings its value along.
    first_valued.is_some() && letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::arguments::LINES;
    use super::super::{Asked, parse_words};
    use super::*;

    fn words(line: &str) -> Vec<String> {
        shlex::split(line).unwrap()
    }

    /// Lines as they are typed in a folder whose remote names `blog`, and what they mean in full.
    const CASES: &[(&str, &str)] = &[
        ("logs", "logs blog"),
        ("logs -f", "logs blog -f"),
        ("logs -n 5", "logs blog -n 5"),
        ("logs -fn 5", "logs blog -fn 5"),
        ("logs -fn5", "logs blog -fn5"),
        ("logs --num 5", "logs blog --num 5"),
        ("logs --num=5", "logs blog --num=5"),
        ("logs shop", "logs shop"),
        ("logs -n 5 shop", "logs shop -n 5"),
        ("logs -a shop", "logs shop"),
        ("logs --app=shop -f", "logs shop -f"),
        ("ps", "ps blog"),
        ("top", "top"),
        ("top shop", "top shop"),
        ("stats -a shop", "top shop"),
        ("apps:info", "apps:info blog"),
        ("info", "apps:info blog"),
        ("apps:set deploy-branch=main", "apps:set blog deploy-branch=main"),
        ("apps set deploy-branch=main", "apps:set blog deploy-branch=main"),
        ("apps:set shop deploy-branch=main", "apps:set shop deploy-branch=main"),
        ("apps:destroy", "apps:destroy blog"),
        ("apps:destroy --confirm blog", "apps:destroy blog --confirm blog"),
        ("apps:create", "apps:create"),
        ("config", "config blog"),
        ("config --show", "config blog --show"),
        ("config shop", "config shop"),
        ("config:get KEY", "config:get blog KEY"),
        ("config get KEY", "config:get blog KEY"),
        ("config:get shop KEY", "config:get shop KEY"),
        ("config:get -a shop key", "config:get shop key"),
        ("config:set A=1", "config:set blog A=1"),
        ("config set A=1 B=2", "config:set blog A=1 B=2"),
        ("config:set shop A=1", "config:set shop A=1"),
        ("config:unset KEY OTHER", "config:unset blog KEY OTHER"),
        ("config:unset shop KEY", "config:unset shop KEY"),
        ("domains", "domains blog"),
        ("domains:add example.com", "domains:add blog example.com"),
        ("domains:add shop example.com", "domains:add shop example.com"),
        ("certs", "certs blog"),
        ("certs:add example.com -", "certs:add blog example.com -"),
        ("certs:add shop example.com -", "certs:add shop example.com -"),
        ("certs:auto off", "certs:auto off"),
        ("releases", "releases blog"),
        ("releases -n 3", "releases blog -n 3"),
        ("releases list", "releases list"),
        ("rollback", "rollback blog"),
        ("rollback v3", "rollback blog v3"),
        ("rollback shop", "rollback shop"),
        ("rollback shop v3", "rollback shop v3"),
        ("rebuild --no-cache", "rebuild blog --no-cache"),
        ("run -- ls -a", "run blog -- ls -a"),
        ("run shop ls -a x", "run shop ls -a x"),
        ("run -e A=1 -- ls", "run blog -e A=1 -- ls"),
        ("enter", "enter blog"),
        ("enter web.1", "enter blog web.1"),
        ("enter shop web.1", "enter shop web.1"),
        ("enter shop", "enter shop"),
        ("ps:rebuild", "rebuild blog"),
        ("deploy -", "deploy blog -"),
        ("deploy shop -", "deploy shop -"),
        ("deploy --image busybox:1", "deploy blog --image busybox:1"),
        ("deploy -m fix -", "deploy blog - -m fix"),
        ("deploy shop --image busybox", "deploy shop --image busybox"),
        ("apps", "apps"),
        ("keys", "keys"),
        ("keys:add anna -", "keys:add anna -"),
        ("keys:remove anna", "keys:remove anna"),
        ("whoami", "whoami"),
        ("status", "status"),
        ("prune --all", "prune --all"),
        ("version", "version"),
    ];

    #[test]
    fn the_folders_app_fills_the_gap_and_nothing_else() {
        let app: AppName = "blog".parse().unwrap();
        for (typed, meant) in CASES {
            let typed_words = words(typed);
            let filled = if app_slot(&typed_words) == AppSlot::Missing { with_app(&typed_words, &app) } else { typed_words };

            let (ours, full) = (parse_words(&filled), parse_words(&words(meant)));

            match (ours, full) {
                (Ok(Asked::Do { command: ours, .. }), Ok(Asked::Do { command: full, .. })) => assert_eq!(ours, full, "{typed}"),
                (ours, full) => assert!(ours.is_err() && full.is_err(), "{typed}: {ours:?}, {full:?}"),
            }
        }
    }

    #[test]
    fn what_could_be_an_app_is_not_taken_for_something_else() {
        for line in ["config:get key", "config:unset key", "logs ../x", "logs --help", "nonsense", "", "help logs"] {
            assert_ne!(app_slot(&words(line)), AppSlot::Missing, "{line}");
        }
    }

    #[test]
    fn every_command_knows_its_word() {
        for line in LINES {
            let typed = words(line);

            let Ok(Asked::Do { command, .. }) = parse_words(&typed) else { panic!("`{line}` is no command") };

            assert_eq!(word_of(&command), typed[0]);
        }
    }

    #[test]
    fn the_catalog_has_every_word_with_its_flags() {
        let all = catalog();
        let logs = all.iter().find(|word| word.name == "logs").unwrap();

        assert!(logs.takes_app && logs.flags.contains(&"--follow".to_owned()), "{logs:?}");
        assert!(all.iter().all(|word| !word.about.is_empty()));
        assert!(!all.iter().find(|word| word.name == "apps:create").unwrap().takes_app);
    }
}
