//! `mini firewall apply|check|remove`: the words that root, or the service's unit as root, runs on the server.

use std::io::Write;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::{Firewall, Seen, in_words};
use crate::command::{Look, render_error};
use crate::config::{ServerArgs, Settings};
use crate::error::{Error, Result};

/// Keep apps off this machine's own ports
///
/// Packets from the networks of apps reach the port on which apps are served, and nothing else of this machine; and
/// nothing in 169.254.0.0/16, where clouds keep a machine's credentials. The internet is open to apps. Each server has
/// rules of its own, in iptables and ip6tables.
#[derive(Parser)]
#[command(name = "mini firewall", version, term_width = 80, hide_possible_values = true, arg_required_else_help = true)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Set the rules; setting them twice changes nothing (with firewall = "off": remove them)
    Apply(Box<ServerArgs>),
    /// Say whether they stand, and which are missing; exit code 1 when one is
    Check(Box<ServerArgs>),
    /// Take this server's rules away
    Remove(Box<ServerArgs>),
}

/// Flags that matter here. The others are taken as well, since the server's environment may hold them.
const SHOWN: [&str; 4] = ["data", "settings", "http", "https"];

/// Runs `mini firewall` and returns the exit code.
#[must_use]
pub fn main(words: &[String]) -> u8 {
    let mut line = Line::command()
        .mut_subcommands(|verb| verb.mut_args(|arg| if SHOWN.contains(&arg.get_id().as_str()) { arg } else { arg.hide(true) }));
    let words = std::iter::once("mini firewall").chain(words.iter().map(String::as_str));
    let parsed = line.try_get_matches_from_mut(words).and_then(|found| Line::from_arg_matches(&found));
    let verb = match parsed {
        Ok(line) => line.verb,
        Err(err) => {
            // Help goes to stdout with code 0, wrong words to stderr with code 2.
            let _ = err.print();
            return u8::try_from(err.exit_code()).unwrap_or(2);
        }
    };
    match run(&verb) {
        Ok(said) => {
            // A reader that went away is no error.
            let _ = writeln!(std::io::stdout(), "{said}");
            0
        }
        Err(err) => {
            eprint!("{}", render_error(&err, &Look::default()));
            err.exit_code()
        }
    }
}

fn run(verb: &Verb) -> Result<String> {
    let (Verb::Apply(args) | Verb::Check(args) | Verb::Remove(args)) = verb;
    let settings = Settings::resolve(args)?;
    let port = settings.http.port();
    if port == 0 && settings.firewall && !matches!(verb, Verb::Remove(_)) {
        return Err(Error::usage("which port apps are served on is not known before the server starts").hint("name it: --http :8080"));
    }
    let https = settings.https.as_ref().map(|https| https.listen.port()).filter(|port| *port != 0);
    let firewall = Firewall::of_any(&settings, std::iter::once(port).chain(https).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::setup("the runtime could not start").because(err))?;
    runtime.block_on(async {
        match verb {
            Verb::Apply(_) if settings.firewall => {
                let has_changed = firewall.apply().await?;
                Ok(format!("{}: {}", if has_changed { "applied" } else { "applied before" }, firewall.meaning()))
            }
            Verb::Check(_) if settings.firewall => Ok(match firewall.check().await? {
                Seen::Rules => format!("the rules stand: {}", firewall.meaning()),
                Seen::Note => "the rules were applied since this machine started; only root can look at them".to_owned(),
            }),
            Verb::Check(_) => Ok("off in the settings: apps may reach this machine's ports".to_owned()),
            Verb::Apply(_) | Verb::Remove(_) => {
                let off = if settings.firewall { "" } else { "off in the settings: " };
                Ok(format!("{off}{}", if firewall.remove().await? { "removed" } else { "there were no rules" }))
            }
        }
    })
}

// === impl Firewall ===

impl Firewall {
    fn meaning(&self) -> String {
        format!("from {} apps reach tcp {} of this machine, and nothing else of it", self.bridges.pattern(), in_words(&self.ports, " and "))
    }
}
