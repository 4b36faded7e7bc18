//! From a word and named arguments (JSON, or a URL's query) to a `Command`, through the grammar that typed words go through.

use clap::{ArgAction, FromArgMatches};
use serde::Serialize;
use serde_json::{Map, Value};

use super::catalog::word_of;
use super::vocabulary::Command;
use super::words::{Grammar, grammar, known_word, usage_named};
use crate::error::{Error, Result};

/// What one word is and takes, for routes and lists of words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WordInfo {
    /// As it is typed: `config:set`
    pub name: String,
    pub help: String,
    /// Whether it may read an input: a key, a value, an archive.
    pub reads_input: bool,
    pub arguments: Vec<ArgumentInfo>,
}

/// One argument of a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArgumentInfo {
    /// The field's name in JSON and in a query.
    pub name: String,
    pub help: String,
    pub kind: ArgumentKind,
    pub required: bool,
}

/// What an argument's JSON looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ArgumentKind {
    /// A string, or a number.
    Text,
    /// An array of these, or one alone.
    List,
    /// `true` or `false`
    Flag,
}

/// Returns every word that there is.
#[must_use]
pub fn vocabulary() -> Vec<WordInfo> {
    let grammar = built();
    let words = grammar.get_subcommands();
    words
        .map(|word| WordInfo {
            name: word.get_name().to_owned(),
            help: word.get_about().map(ToString::to_string).unwrap_or_default(),
            reads_input: Command::may_read_input(word.get_name()),
            arguments: arguments(word).map(info).collect(),
        })
        .collect()
}

/// Makes the command of `word` with these arguments; `null` and `false` mean left out, fields are named as [`vocabulary`] says.
///
/// Errors are those of typed words: `UnknownCommand`, or `Usage` for a field that is unknown or of the wrong type as well.
pub fn from_arguments(word: &str, given: Map<String, Value>) -> Result<Command> {
    let word = known_word(word)?;
    let mut grammar = by_name(&word);
    let mut line = vec!["mini".to_owned(), word.clone()];
    let described = find_word(&grammar, &word);
    for (field, value) in given {
        let arg = argument(described, &field)?;
        line.extend(as_words(arg, value)?);
    }
    let parsed = grammar.try_get_matches_from_mut(line).and_then(|mut matches| Grammar::from_arg_matches_mut(&mut matches));
    parsed.map(Grammar::into_command).map_err(|err| usage_named(&word, &err))
}

/// Holds a command that came ready-made to the grammar: what could not be typed is refused here too.
pub fn checked(command: &Command) -> Result<Command> {
    let value = serde_json::to_value(command).map_err(|err| Error::usage("this command cannot be said").because(err))?;
    let fields = value.as_object().and_then(|one| one.values().next()).and_then(Value::as_object).cloned();
    from_arguments(&word_of(command), fields.unwrap_or_default())
}

/// Turns the pairs of a query into arguments: what stands twice is a list, a flag needs no value.
pub fn arguments_of_query(word: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Result<Map<String, Value>> {
    let word = known_word(word)?;
    let grammar = built();
    let described = find_word(&grammar, &word);
    let mut given = Map::new();
    for (field, text) in pairs {
        let arg = argument(described, &field)?;
        let value = match (kind_of(arg), text.as_str()) {
            (ArgumentKind::Flag, "" | "1" | "true") => Value::Bool(true),
            (ArgumentKind::Flag, "0" | "false") => Value::Bool(false),
            (ArgumentKind::Flag, _) => return Err(wrong_type(arg, "another text")),
            (ArgumentKind::Text | ArgumentKind::List, _) => Value::String(text),
        };
        match given.get_mut(&field) {
            None => drop(given.insert(field, value)),
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Ok(given)
}

fn built() -> clap::Command {
    let mut grammar = grammar();
    grammar.build();
    grammar
}

/// The grammar with the positionals of `word` as options: values keep their names, and none can be taken for a flag.
fn by_name(word: &str) -> clap::Command {
    let named = |arg: clap::Arg| {
        if !arg.is_positional() {
            return arg;
        }
        let name = arg.get_id().to_string();
        arg.long(name).last(false).trailing_var_arg(false).allow_hyphen_values(true)
    };
    let mut grammar = grammar().mut_subcommand(word, |described| described.mut_args(named));
    grammar.build();
    grammar
}

fn find_word<'a>(grammar: &'a clap::Command, word: &str) -> &'a clap::Command {
    grammar.find_subcommand(word).expect("a known word is in the grammar")
}

/// The arguments that are the command's own: not `--help`, not `--json`.
fn arguments(word: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
    word.get_arguments().filter(|arg| !arg.is_global_set() && !matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpLong))
}

fn argument<'a>(word: &'a clap::Command, field: &str) -> Result<&'a clap::Arg> {
    arguments(word).find(|arg| arg.get_id() == field).ok_or_else(|| unknown_field(word, field))
}

fn info(arg: &clap::Arg) -> ArgumentInfo {
    ArgumentInfo {
        name: arg.get_id().to_string(),
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
        kind: kind_of(arg),
        required: arg.is_required_set(),
    }
}

fn kind_of(arg: &clap::Arg) -> ArgumentKind {
    match arg.get_action() {
        ArgAction::SetTrue => ArgumentKind::Flag,
        ArgAction::Append => ArgumentKind::List,
        _ => ArgumentKind::Text,
    }
}

/// Writes an argument as options, one for each of its values.
fn as_words(arg: &clap::Arg, value: Value) -> Result<Vec<String>> {
    let name = arg.get_long().expect("every argument has a name here");
    match (kind_of(arg), value) {
        (_, Value::Null) | (ArgumentKind::Flag, Value::Bool(false)) => Ok(Vec::new()),
        (ArgumentKind::Flag, Value::Bool(true)) => Ok(vec![format!("--{name}")]),
        (ArgumentKind::List, Value::Array(all)) => all.into_iter().map(|value| option(arg, name, value)).collect(),
        (_, value) => Ok(vec![option(arg, name, value)?]),
    }
}

fn option(arg: &clap::Arg, name: &str, value: Value) -> Result<String> {
    match (kind_of(arg), value) {
        (ArgumentKind::Text | ArgumentKind::List, Value::String(text)) => Ok(format!("--{name}={text}")),
        (ArgumentKind::Text | ArgumentKind::List, Value::Number(number)) => Ok(format!("--{name}={number}")),
        (_, value) => Err(wrong_type(arg, type_of(&value))),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong_type(arg: &clap::Arg, given: &str) -> Error {
    let wanted = match kind_of(arg) {
        ArgumentKind::Text => "a string",
        ArgumentKind::List => "an array of strings",
        ArgumentKind::Flag => "true or false",
    };
    Error::usage(format!("`{}` is {wanted}, not {given}", arg.get_id()))
}

fn unknown_field(word: &clap::Command, field: &str) -> Error {
    let shown: String = field.chars().take(60).collect();
    let names: Vec<String> = arguments(word).map(|arg| format!("`{}`", arg.get_id())).collect();
    let err = Error::usage(format!("`{}` has no argument `{}`", word.get_name(), shown.escape_debug()));
    if names.is_empty() { err.hint("it takes none") } else { err.hint(format!("it has {}", names.join(", "))) }
}

/// A line for every word, with what it can take: a word without one fails the tests.
#[cfg(test)]
pub(super) const LINES: &[&str] = &[
    "apps",
    "top",
    "top blog",
    "apps:create",
    "apps:create blog",
    "apps:info blog",
    "apps:set blog deploy-branch=main",
    "apps:set blog basic-auth=anna:- deny=none",
    "apps:link blog db",
    "apps:unlink blog db",
    "apps:destroy blog --confirm blog",
    "apps:destroy blog",
    "ps blog",
    "ps:scale blog web=2 worker+1",
    "ps:scale blog",
    "ps:restart blog web.1",
    "ps:restart blog",
    "ps:stop blog",
    "ps:start blog",
    "limits blog",
    "limits:set blog memory=536870912 cpus=0.500",
    "domains blog",
    "domains:add blog example.com www.example.com",
    "domains:remove blog www.example.com",
    "certs blog",
    "certs:add blog example.com -",
    "certs:remove blog example.com",
    "certs:auto blog off",
    "storage blog",
    "storage:add blog data:/var/lib/data",
    "storage:remove blog data",
    "storage:remove blog data --delete --confirm data",
    "logs blog -f -n 5 -p web.1 -s app --since 1h",
    "logs blog",
    "config blog --show",
    "config:get blog KEY",
    "config:set blog A=-x B=- C='a b=c' D=--app=shop",
    "config:set blog --no-restart A=1",
    "config:unset blog A B",
    "releases blog -n 3",
    "releases:info blog v3",
    "releases:output blog v3",
    "explain blog",
    "builds blog -n 3",
    "builds:output 12 -f",
    "builds:cancel 12",
    "deploy blog",
    "deploy blog - --commit 0123456789abcdef0123456789abcdef01234567 -m 'a word' --no-cache",
    "deploy blog --image nginx:1.27",
    "run blog -d -e A=1 -- ls -la",
    "run blog -- ls",
    "enter blog web.1",
    "enter blog",
    "registry",
    "registry:login registry.example.com bot -",
    "registry:logout registry.example.com",
    "rollback blog v12",
    "rollback blog",
    "rebuild blog --no-cache",
    "keys",
    "keys:add anna - --role view --app blog --app shop",
    "keys:add",
    "keys:remove SHA256:x",
    "tokens",
    "tokens:create ci --role view --app blog --app shop --expires 90d",
    "tokens:create ci",
    "tokens:revoke ci",
    "backup - --without-key",
    "backup",
    "whoami",
    "status",
    "doctor",
    "prune",
    "prune --all",
    "version",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Asked, parse_words};
    use super::*;

    fn typed(line: &str) -> Command {
        match parse_words(&shlex::split(line).unwrap()) {
            Ok(Asked::Do { command, .. }) => command,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    /// What serde makes of a command: its arguments as a client would send them.
    fn fields(command: &Command) -> Map<String, Value> {
        match serde_json::to_value(command).unwrap() {
            Value::Object(one) => one.into_values().next().unwrap().as_object().unwrap().clone(),
            _ => Map::new(),
        }
    }

    fn given(word: &str, fields: &Value) -> Result<Command> {
        from_arguments(word, fields.as_object().unwrap().clone())
    }

    #[test]
    fn every_word_means_the_same_typed_and_in_json() {
        for line in LINES {
            let word = line.split(' ').next().unwrap();
            let command = typed(line);

            assert_eq!(from_arguments(word, fields(&command)).unwrap(), command, "{line}");
        }
    }

    #[test]
    fn every_word_has_a_line_and_says_what_it_is() {
        for word in vocabulary() {
            let lines = LINES.iter().filter(|line| line.split(' ').next() == Some(&word.name));
            let commands: Vec<Command> = lines.map(|line| typed(line)).collect();

            assert!(!commands.is_empty(), "`{}` has no line in this table", word.name);
            assert_eq!(commands.iter().any(Command::reads_input), word.reads_input, "`{}`", word.name);
            assert!(!word.help.is_empty() && word.arguments.iter().all(|arg| !arg.help.is_empty()), "`{}`", word.name);
            for command in &commands {
                let known: Vec<&str> = word.arguments.iter().map(|arg| arg.name.as_str()).collect();
                assert!(fields(command).keys().all(|field| known.contains(&field.as_str())), "{command:?}: {known:?}");
            }
        }
    }

    #[test]
    fn the_same_values_are_refused_in_the_same_sentences() {
        let cases = [
            ("logs ../x", "logs", json!({"app": "../x"})),
            ("logs blog -n x", "logs", json!({"app": "blog", "lines": "x"})),
            ("config:set blog A", "config:set", json!({"app": "blog", "assignments": ["A"]})),
            ("rollback blog 12", "rollback", json!({"app": "blog", "version": 12})),
            ("keys:add anna - --role king", "keys:add", json!({"name": "anna", "role": "king"})),
            ("keys:add anna /etc/passwd", "keys:add", json!({"name": "anna", "input": "/etc/passwd"})),
            ("logs", "logs", json!({})),
            ("config:set blog", "config:set", json!({"app": "blog", "assignments": []})),
            ("nonsense", "nonsense", json!({})),
        ];
        for (line, word, fields) in cases {
            let typed = parse_words(&shlex::split(line).unwrap()).unwrap_err();

            let named = given(word, &fields).unwrap_err();

            assert_eq!((named.kind(), named.sentence()), (typed.kind(), typed.sentence()), "{line}");
        }
    }

    #[test]
    fn no_value_becomes_a_flag() {
        for value in ["--follow", "-f", "--", "-", "--help", "--json"] {
            let err = given("logs", &json!({"app": value})).unwrap_err();
            assert!(err.sentence().contains("is not an app name"), "{value}: {err}");
        }
        let set = given("config:set", &json!({"app": "blog", "assignments": ["A=--help"]})).unwrap();
        assert_eq!(set, typed("config:set blog A=--help"));
    }

    #[test]
    fn what_is_unknown_or_of_another_type_is_named() {
        let cases = [
            ("apps", json!({"x": 1}), "`apps` has no argument `x`"),
            ("logs", json!({"app": "blog", "json": true}), "`logs` has no argument `json`"),
            ("logs", json!({"app": "blog", "help": true}), "`logs` has no argument `help`"),
            ("logs", json!({"app": ["blog"]}), "`app` is a string, not an array"),
            ("logs", json!({"app": "blog", "follow": "yes"}), "`follow` is true or false, not a string"),
            ("logs", json!({"app": true}), "`app` is a string, not true or false"),
            ("config:set", json!({"app": "blog", "assignments": [{}]}), "`assignments` is an array of strings, not an object"),
        ];
        for (word, fields, sentence) in cases {
            let err = given(word, &fields).unwrap_err();

            assert_eq!((err.exit_code(), err.sentence()), (2, sentence));
        }
    }

    #[test]
    fn null_and_false_are_left_out_and_aliases_are_known() {
        let logs = given("logs", &json!({"app": "blog", "follow": false, "lines": null})).unwrap();

        assert_eq!(logs, typed("logs blog"));
        assert_eq!(given("create", &json!({"app": "blog"})).unwrap(), typed("apps:create blog"));
    }

    #[test]
    fn a_query_gives_flags_lists_and_texts() {
        let pairs = [("app", "blog"), ("assignments", "A=1"), ("assignments", "B=2"), ("assignments", "C=3")];
        let query =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();

        let set = arguments_of_query("config:set", query(&pairs)).unwrap();
        let logs = arguments_of_query("logs", query(&[("app", "blog"), ("follow", ""), ("lines", "5")])).unwrap();

        assert_eq!(from_arguments("config:set", set).unwrap(), typed("config:set blog A=1 B=2 C=3"));
        assert_eq!(from_arguments("logs", logs).unwrap(), typed("logs blog -f -n 5"));
        for wrong in [&[("follow", "maybe")][..], &[("x", "1")], &[("app", "a1"), ("app", "b1")]] {
            assert!(arguments_of_query("logs", query(wrong)).and_then(|given| from_arguments("logs", given)).is_err(), "{wrong:?}");
        }
    }
}
