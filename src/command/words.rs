//! From typed words to a `Command`: the grammar of COMMANDS, help, and what was probably meant.

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::vocabulary::Command;
use crate::error::{Error, Kind, Result};

/// What somebody asked for.
#[derive(Debug)]
pub enum Asked {
    /// A command, and whether to answer in JSON.
    Do { command: Command, json: bool },
    /// Help, ready to print.
    Help(String),
}

/// Words that hands know from elsewhere, and ours.
const ALIASES: &[(&str, &str)] = &[
    ("create", "apps:create"),
    ("destroy", "apps:destroy"),
    ("info", "apps:info"),
    ("apps:list", "apps"),
    ("ps:rebuild", "rebuild"),
    ("config:show", "config"),
    ("builds:list", "builds"),
    ("domains:list", "domains"),
    ("domains:report", "domains"),
    ("certs:list", "certs"),
    ("certs:report", "certs"),
    ("keys:list", "keys"),
    ("tokens:list", "tokens"),
    ("tokens:add", "tokens:create"),
    ("tokens:remove", "tokens:revoke"),
    ("registry:list", "registry"),
    ("ssh-keys", "keys"),
    ("ssh-keys:add", "keys:add"),
    ("ssh-keys:remove", "keys:remove"),
    ("stats", "top"),
    ("scale", "ps:scale"),
    ("restart", "ps:restart"),
    ("resource:limit", "limits:set"),
    ("releases:rollback", "rollback"),
    ("ps:exec", "enter"),
    ("git:rebuild", "rebuild"),
];

#[derive(Parser)]
#[command(
    name = "mini",
    disable_help_subcommand = true,
    disable_version_flag = true,
    subcommand_required = true,
    // Help must not depend on the width of the server's own terminal.
    term_width = 80,
    override_usage = "mini <COMMAND> [APP] [ARGUMENTS]",
    after_help = "The app comes first, or as -a/--app APP. \"config:set\" may be \"config set\".\nDeploy with: git push mini main"
)]
pub(super) struct Grammar {
    #[command(subcommand)]
    command: Command,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
}

// === impl Grammar ===

impl Grammar {
    pub(super) fn into_command(self) -> Command {
        self.command
    }
}

/// Parses the words of one command line; no words at all ask for help.
///
/// Errors are of kind `Usage` (exit 2) or `UnknownCommand` (exit 127), with the nearest words as the hint.
pub fn parse_words(words: &[String]) -> Result<Asked> {
    let words = normalise(words);
    match words.first().map(String::as_str) {
        None | Some("--help" | "-h") => return Ok(Asked::Help(help_of(None)?)),
        Some("help") => return Ok(Asked::Help(help_of(words.get(1..).filter(|rest| !rest.is_empty()))?)),
        Some("--version" | "-V") => return Ok(Asked::Do { command: Command::Version, json: false }),
        Some(word) if !is_known(word) => return Err(unknown(word)),
        Some(_) => {}
    }
    let line = std::iter::once("mini".to_owned()).chain(words.iter().cloned());
    let parsed = grammar().try_get_matches_from(line).and_then(|mut matches| Grammar::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(Grammar { command, json }) => Ok(Asked::Do { command, json }),
        Err(err) if err.kind() == ErrorKind::DisplayHelp => Ok(Asked::Help(err.to_string())),
        Err(err) => Err(usage_error(&words[0], &err)),
    }
}

/// The grammar, with the one thing to say about the argument that nearly every word has.
pub(super) fn grammar() -> clap::Command {
    let describe = |arg: clap::Arg| if arg.get_id() == "app" && arg.get_help().is_none() { arg.help("Name of the app") } else { arg };
    Grammar::command().mut_subcommands(|word| word.mut_args(describe))
}

/// Joins `noun verb`, resolves aliases and puts the value of `-a` where the app stands.
pub(super) fn normalise(words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    if words.first().is_some_and(|word| word == "help") {
        let rest = normalise(&words[1..]);
        return std::iter::once("help".to_owned()).chain(rest).collect();
    }
    if words.len() > 1 {
        let joined = format!("{}:{}", words[0], words[1]);
        if is_known(&joined) || ALIASES.iter().any(|(alias, _)| *alias == joined) {
            words.splice(..2, [joined]);
        }
    }
    if let Some(first) = words.first_mut()
        && let Some((_, ours)) = ALIASES.iter().find(|(alias, _)| alias == first)
    {
        *first = (*ours).to_owned();
    }
    let grammar = Grammar::command();
    if words.first().and_then(|word| grammar.find_subcommand(word)).and_then(app_argument).is_some() {
        move_app_to_front(&mut words);
    }
    words
}

/// Returns the argument of a word that is its app, so that `-a APP` may stand for it anywhere: it comes first.
pub(super) fn app_argument(word: &clap::Command) -> Option<&clap::Arg> {
    word.get_positionals().next().filter(|arg| arg.get_id() == "app")
}

fn move_app_to_front(words: &mut Vec<String>) {
    let end = end_of_own(words);
    let Some(at) = words[..end].iter().position(|word| word == "-a" || word == "--app" || word.starts_with("--app=")) else { return };
    let app = match words[at].strip_prefix("--app=") {
        Some(app) => app.to_owned(),
        None if at + 1 < end => words.remove(at + 1),
        None => return,
    };
    words.remove(at);
    words.insert(1, app);
}

/// Returns where `mini`'s own words end: at `--`, and for `run` at the program, whose `-a` is its own.
#[must_use]
pub fn end_of_own(words: &[String]) -> usize {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    if words.first().is_none_or(|word| word != "run") {
        return end;
    }
    let (mut at, mut has_app) = (1, false);
    while at < end {
        match words[at].as_str() {
            "-e" | "--env" => at += 1,
            "-a" | "--app" => {
                has_app = true;
                at += 1;
            }
            flag if flag.starts_with('-') => has_app |= flag.starts_with("--app="),
            _ if has_app => return at,
            _ => has_app = true,
        }
        at += 1;
    }
    end
}

pub(super) fn is_known(word: &str) -> bool {
    Grammar::command().get_subcommands().any(|known| known.get_name() == word)
}

fn help_of(words: Option<&[String]>) -> Result<String> {
    let mut grammar = grammar();
    let Some(word) = words.and_then(|words| words.first()) else {
        return Ok(grammar.render_help().to_string());
    };
    grammar.build();
    match grammar.find_subcommand_mut(word) {
        Some(known) => Ok(known.render_help().to_string()),
        None => Err(unknown(word)),
    }
}

/// Returns the word itself, or the one of ours that it is an alias of. Errors: `UnknownCommand`, with the nearest words.
pub fn known_word(word: &str) -> Result<String> {
    let ours = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, ours)| ours);
    if is_known(ours) { Ok(ours.to_owned()) } else { Err(unknown(word)) }
}

/// As [`usage_error`], for arguments that were all given by name: those that are typed without one are shown as ever.
pub(super) fn usage_named(word: &str, err: &clap::Error) -> Error {
    let said = usage_error(word, err);
    let Some(described) = grammar().find_subcommand(word).cloned() else { return said };
    let names = described.get_positionals().map(|arg| format!("--{} <", arg.get_id()));
    let sentence = names.fold(said.sentence().to_owned(), |sentence, name| sentence.replace(&name, "<"));
    Error::new(said.kind(), sentence).maybe_hint(said.next_step())
}

fn unknown(word: &str) -> Error {
    unknown_word(word, &[])
}

/// Makes the error for a word that there is not: it names the nearest real ones, also of `others`, then how to get help.
#[must_use]
pub fn unknown_word(word: &str, others: &[&str]) -> Error {
    let shown: String = word.chars().take(60).collect();
    let grammar = Grammar::command();
    let names = grammar.get_subcommands().map(clap::Command::get_name).chain(ALIASES.iter().map(|(alias, _)| *alias));
    let names = names.chain(others.iter().copied());
    let mut near: Vec<(f64, &str)> =
        names.map(|name| (strsim::jaro_winkler(&shown, name), name)).filter(|(score, _)| *score > 0.8).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.dedup_by_key(|(_, name)| *name);
    let near: Vec<String> = near.iter().take(2).map(|(_, name)| format!("`{name}`")).collect();
    let hint = if near.is_empty() { "see: help".to_owned() } else { format!("did you mean {}? otherwise see: help", near.join(" or ")) };
    Error::new(Kind::UnknownCommand, format!("there is no command `{}`", shown.escape_debug())).hint(hint)
}

/// Says what was wrong with the arguments of `word` in one sentence, of kind `Usage`.
#[must_use]
pub fn usage_error(word: &str, err: &clap::Error) -> Error {
    // Our own parsers say it better than clap, which repeats the whole argument: it may be a secret.
    if let Some(ours) = std::error::Error::source(err).and_then(|source| source.downcast_ref::<Error>()) {
        let hint = ours.next_step().map_or_else(|| format!("see: help {word}"), str::to_owned);
        return Error::usage(ours.sentence()).hint(hint);
    }
    let text = err.to_string();
    let sentence = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let sentence = sentence.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    // clap repeats what was typed as it came.
    let shown = |c: char| if matches!(c, '\'' | '"' | '\\') { c.to_string() } else { c.escape_debug().to_string() };
    let sentence: String = sentence.chars().map(shown).collect();
    Error::usage(sentence).hint(format!("see: help {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked> {
        parse_words(&shlex::split(line).unwrap())
    }

    fn command(line: &str) -> Command {
        match parse(line) {
            Ok(Asked::Do { command, .. }) => command,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    #[test]
    fn spaces_colons_aliases_and_flags_mean_the_same() {
        let same = [
            ("config:set blog A=1", "config set blog A=1"),
            ("config:set blog A=1", "config:set -a blog A=1"),
            ("config:set blog A=1", "config:set A=1 --app blog"),
            ("config:set blog A=1", "config set A=1 --app=blog"),
            ("apps:create blog", "create blog"),
            ("apps:create blog", "apps create blog"),
            ("apps:create blog", "apps:create -a blog"),
            ("apps", "apps list"),
            ("keys:add anna -", "ssh-keys:add anna -"),
            ("keys:add anna - --app blog --role view", "keys add anna - --role view --app blog"),
            ("logs blog -f -n 5", "logs -fn5 -a blog"),
            ("logs blog --follow", "logs blog -t"),
            ("tokens:create ci --app blog --expires 90d", "tokens create ci --expires 90d --app blog"),
            ("rebuild blog", "ps:rebuild blog"),
            ("config blog --show", "config:show blog --show"),
            ("deploy blog --image nginx", "deploy --image nginx -a blog"),
            ("registry:login a.b c -", "registry login A.b c -"),
        ];

        for (one, other) in same {
            assert_eq!(command(one), command(other), "`{one}` and `{other}`");
        }
    }

    #[test]
    fn an_unknown_word_names_its_neighbours() {
        let err = parse("confg:set blog A=1").unwrap_err();

        assert_eq!(err.exit_code(), 127);
        assert!(err.next_step().unwrap().contains("`config:set`"), "{err:?}");
    }

    #[test]
    fn wrong_arguments_are_a_sentence_and_exit_2() {
        for line in [
            "logs",
            "logs blog extra",
            "logs ../x",
            "config:set blog",
            "config:set blog A",
            "rollback blog 12",
            "keys:add anna /etc/passwd",
            "run blog",
            "run blog --",
            "run blog -e A ls",
            "run blog -x ls",
            "enter blog WEB",
            "enter blog web.1 ls",
            "logs blog -p Web",
            "logs blog -s nonsense",
            "logs blog --since yesterday",
            "deploy",
            "deploy blog ./src",
            "deploy blog - --image nginx",
            "deploy blog --image nginx --no-cache",
            "deploy blog --image UPPER",
            "registry:login a.b c secret",
            "backup /var/backups/mini",
        ] {
            let err = parse(line).unwrap_err();
            assert_eq!(err.exit_code(), 2, "`{line}`: {err}");
            assert!(!err.sentence().contains('\n'), "{err}");
        }
        let raw = parse("logs 'b\u{202e}log\r'").unwrap_err();
        assert!(raw.sentence().starts_with(r"`b\u{202e}log\r` is not an app name"), "{raw}");
    }

    #[test]
    fn a_wrong_assignment_does_not_repeat_its_value() {
        let err = parse("config:set blog MY-KEY=s3cret").unwrap_err();

        assert!(err.sentence().contains("MY-KEY") && !format!("{err:?}").contains("s3cret"), "{err:?}");
    }

    #[test]
    fn help_is_there_in_every_form() {
        for line in ["", "help", "--help", "help logs", "logs --help", "help config set", "help create"] {
            assert!(matches!(parse(line), Ok(Asked::Help(_))), "`{line}`");
        }
        assert!(parse("help nonsense").is_err());
    }

    #[test]
    fn help_fits_a_terminal_and_leaves_nothing_unsaid() {
        let words: Vec<String> = Grammar::command().get_subcommands().map(|word| word.get_name().to_owned()).collect();

        for line in words.iter().map(|word| format!("help {word}")).chain(["help".to_owned()]) {
            let Ok(Asked::Help(text)) = parse(&line) else { panic!("`{line}` is no help") };
            for shown in text.lines() {
                assert!(shown.chars().count() <= 80, "`{line}`: {shown}");
                assert_eq!(shown.trim_end(), shown, "`{line}`: an argument without a word");
            }
        }
    }

    #[test]
    fn a_command_survives_its_own_json() {
        let asked = command("config:set blog A=1 B=-");

        let json = serde_json::to_string(&asked).unwrap();

        assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), asked);
        assert!(!format!("{asked:?}").contains("A=1"), "a value stands in the debug print");
    }
}
