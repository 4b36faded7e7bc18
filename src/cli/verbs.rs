//! The words that are the client's alone: they are about this machine, its folders and its settings.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command::{WordEntry, usage_error};
use crate::config::HostUrl;
use crate::error::Result;
use crate::model::AppName;

use super::completion::Shell;

// Help texts are for a terminal: no backticks in them.
#[allow(clippy::doc_markdown)]
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Deploy a folder: pack it, build it, switch to it
    #[command(
        name = "deploy",
        after_help = "The app is -a APP, else the one of the git remote, else the one this folder was\nlast deployed to, else a new one with a friendly name.\nAlso: mini deploy APP --image REF, and: tar cz . | mini deploy APP -"
    )]
    Deploy(DeployArgs),
    /// Make the git remote "mini", for git push mini main
    #[command(name = "init")]
    Init {
        /// Name of the app; left out, the folder's name
        app: Option<AppName>,
    },
    /// Print an app's URL, and show it in a browser if there is one
    #[command(name = "open")]
    Open {
        /// Name of the app; left out, the one of the folder's git remote
        app: Option<AppName>,
        /// Name of the app
        #[arg(short = 'a', long = "app", value_name = "APP", conflicts_with = "app")]
        named: Option<AppName>,
    },
    /// Point this command line at a server: ssh://host:port or http(s)://host
    #[command(
        name = "config:set-host",
        after_help = "--host NAME gives it another name than \"mini\". The host that was set last is the one that is meant."
    )]
    SetHost {
        /// ssh://[user@]host[:port], http(s)://host[:port], or a host alone
        url: HostUrl,
        /// The API key for an http(s) address; - reads it from the input
        #[arg(long, value_name = "KEY|-")]
        key: Option<String>,
        /// Keep it without asking the server first
        #[arg(long)]
        no_check: bool,
        /// Send the key in clear without a warning
        #[arg(long)]
        insecure_http: bool,
    },
    /// List the servers that this command line knows
    #[command(name = "hosts")]
    Hosts {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget a server
    #[command(name = "hosts:remove")]
    HostsRemove {
        /// Its name in the list
        name: String,
    },
    /// Print what a shell needs to complete these words
    #[command(
        name = "completion",
        after_help = "bash: source <(mini completion bash)\nzsh:  source <(mini completion zsh)\nfish: mini completion fish | source"
    )]
    Completion {
        /// bash, zsh or fish
        shell: Shell,
    },
}

/// The arguments of `deploy` for a folder.
#[derive(Clone, Debug, clap::Args)]
pub struct DeployArgs {
    /// The folder; left out, the one you are in
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Name of the app
    #[arg(short = 'a', long, value_name = "APP")]
    pub app: Option<AppName>,
    /// What the release is to be called in the list of releases
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub message: Option<String>,
    /// Build every step anew
    #[arg(long)]
    pub no_cache: bool,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// What a line of the client's own words asks for.
#[derive(Debug)]
pub enum Parsed {
    Do(Box<Verb>),
    Help(String),
    /// The line is for the server.
    Foreign,
}

#[derive(Parser)]
#[command(name = "mini", disable_help_subcommand = true, subcommand_required = true, term_width = 80)]
struct Grammar {
    #[command(subcommand)]
    verb: Verb,
}

/// Reads a line that may be the client's. Errors: `Usage`.
pub fn parse(words: &[String]) -> Result<Parsed> {
    let Some(verb) = words.first().filter(|word| is_verb(word)) else { return Ok(Parsed::Foreign) };
    if verb == "deploy" && is_for_the_server(&words[1..]) {
        return Ok(Parsed::Foreign);
    }
    let line = std::iter::once("mini".to_owned()).chain(words.iter().cloned());
    let parsed = Grammar::command().try_get_matches_from(line).and_then(|mut matches| Grammar::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(Grammar { verb }) => Ok(Parsed::Do(Box::new(verb))),
        Err(err) if err.kind() == ErrorKind::DisplayHelp => Ok(Parsed::Help(err.to_string())),
        Err(err) => Err(usage_error(verb, &err)),
    }
}

/// Returns the help of a verb, or `None` for what is no verb of the client.
pub fn help_of(verb: &str) -> Option<String> {
    let mut grammar = Grammar::command();
    grammar.build();
    grammar.find_subcommand_mut(verb).map(|known| known.render_help().to_string())
}

/// Returns the client's words for lists and completion.
pub fn entries() -> Vec<WordEntry> {
    let mut grammar = Grammar::command();
    grammar.build();
    let entry = |verb: &clap::Command| WordEntry {
        name: verb.get_name().to_owned(),
        about: verb.get_about().map(ToString::to_string).unwrap_or_default(),
        takes_app: false,
        flags: verb.get_arguments().filter_map(clap::Arg::get_long).map(|flag| format!("--{flag}")).collect(),
    };
    grammar.get_subcommands().map(entry).collect()
}

fn is_verb(word: &str) -> bool {
    Grammar::command().get_subcommands().any(|verb| verb.get_name() == word)
}

/// An image and a piped archive are deployed without looking at any folder.
fn is_for_the_server(words: &[String]) -> bool {
    words.iter().any(|word| word == "-" || word == "--image" || word.starts_with("--image="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        parse(&shlex::split(line).unwrap()).unwrap()
    }

    #[test]
    fn deploy_is_about_a_folder_unless_an_image_or_the_input_is_named() {
        for line in ["deploy", "deploy .", "deploy -a blog ../x", "deploy --no-cache -m fix"] {
            assert!(matches!(parsed(line), Parsed::Do(_)), "{line}");
        }
        for line in [
            "deploy blog --image busybox",
            "deploy blog --image=busybox",
            "deploy blog -",
            "deploy - -a blog",
            "config blog",
            "config set A=1",
        ] {
            assert!(matches!(parsed(line), Parsed::Foreign), "{line}");
        }
    }

    #[test]
    fn wrong_arguments_are_one_sentence_that_holds_no_key() {
        for line in ["config:set-host", "config:set-host ftp://x", "completion tcsh", "init A_B", "deploy a b", "config:set-host --key"] {
            let err = parse(&shlex::split(line).unwrap()).unwrap_err();
            assert_eq!(err.exit_code(), 2, "{line}");
            assert!(!err.sentence().contains('\n') && err.next_step().is_some(), "{line}: {err}");
        }
    }

    #[test]
    fn help_fits_a_terminal() {
        for entry in entries() {
            let text = help_of(&entry.name).unwrap();
            for line in text.lines() {
                assert!(line.chars().count() <= 100 && line.trim_end() == line, "{}: {line}", entry.name);
            }
            assert!(!entry.about.is_empty());
        }
    }
}
