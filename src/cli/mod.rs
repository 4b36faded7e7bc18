//! The `mini` client: words about this machine are done here, all others become a call to the server that is meant.

mod completion;
mod deploy;
mod files;
mod help;
mod init;
mod line;
mod remote;
mod screen;
mod set_host;
mod sink;
mod ssh_files;
mod target;
mod terminal;
mod transport;
mod verbs;

use std::io::{IsTerminal, Write};
use std::path::Path;

use line::Line;
use remote::Remote;
use sink::Sink;
use target::{Environment, Target};
use transport::{Ask, Ending, Shown, Transport};
use verbs::{Parsed, Verb};

use crate::command::{
    Answer, AppSlot, Asked, Command, Look, VersionInfo, app_slot, parse_words, render_answer, render_error, unknown_word, with_app,
};
use crate::config::{Folders, Hosts};
use crate::error::{Error, Kind, Result};
use crate::model::AppName;

/// Does what the words say and returns the exit code. stdout is data, stderr is talk.
#[must_use]
pub fn run(words: &[String]) -> u8 {
    match ask(words) {
        Ok(code) => code,
        Err(err) => {
            print_to(&mut std::io::stderr(), &render_error(&err, &Look::default()));
            err.exit_code()
        }
    }
}

fn ask(words: &[String]) -> Result<u8> {
    let line = Line::of(words)?;
    if let Some(text) = help::asked_for(&line.words) {
        print_to(&mut std::io::stdout(), &text);
        return Ok(0);
    }
    match verbs::parse(&line.words)? {
        Parsed::Do(verb) => do_verb(*verb, &line),
        Parsed::Help(text) => {
            print_to(&mut std::io::stdout(), &text);
            Ok(0)
        }
        Parsed::Foreign => forward(&line),
    }
}

fn do_verb(verb: Verb, line: &Line) -> Result<u8> {
    match verb {
        Verb::Deploy(args) => deploy::deploy(args, line),
        Verb::SetHost { url, key, no_check, insecure_http } => {
            let new = set_host::NewHost { name: line.host.clone(), url, key, is_checked: !no_check, warns: !insecure_http };
            set_host::set_host(new, &Environment::read())
        }
        Verb::Hosts { json } => set_host::list(json),
        Verb::HostsRemove { name } => set_host::remove(&name),
        Verb::Completion { shell } => {
            print_to(&mut std::io::stdout(), &completion::script(shell));
            Ok(0)
        }
        Verb::Init { app } => {
            let hosts = Hosts::load()?;
            let target = Target::choose(line, &Environment::read(), &hosts, None)?;
            init::init(Path::new("."), app, line.remote.as_deref(), &hosts, &target.name)
        }
        Verb::Open { app, named } => {
            let remote = Remote::of(Path::new("."), line.remote.as_deref())?;
            let target = Target::choose(line, &Environment::read(), &Hosts::load()?, remote.as_ref())?;
            init::open(&target, app.or(named).or(remote.map(|remote| remote.app)).ok_or_else(which_app)?)
        }
    }
}

/// Sends a line to the server, with the folder's app where none was named.
fn forward(line: &Line) -> Result<u8> {
    let remote = Remote::of(Path::new("."), line.remote.as_deref())?;
    let target = Target::choose(line, &Environment::read(), &Hosts::load()?, remote.as_ref());
    let app = match (&remote, &target) {
        (Some(remote), _) => Some(remote.app.clone()),
        (None, Ok(target)) => deployed_from_here(target),
        (None, Err(_)) => None,
    };
    let words = filled(&line.words, app.as_ref());
    let (words, mut sink) = sink::open_sink(&words)?;
    let (words, source) = files::open_files(&words)?;
    let (command, json) = match parse_words(&words).map_err(|err| nearest(err, &words))? {
        Asked::Help(text) => {
            print_to(&mut std::io::stdout(), &text);
            return Ok(0);
        }
        Asked::Do { command, json } => (confirm(command)?, json),
    };
    let look = screen::look(json);
    let is_own_version = line.words.first().is_some_and(|word| word.starts_with('-'));
    let target = match target {
        _ if command == Command::Version && is_own_version => return Ok(own_version(&look)),
        // Without a server to ask, or on its own machine, it is this very program's.
        Err(_) | Ok(Target { transport: Transport::Socket(_), .. }) if command == Command::Version => return Ok(own_version(&look)),
        target => target?,
    };
    let input = command.reads_input().then(|| transport::of_reader(source));
    let terminal = if command.takes_terminal() { terminal::attached() } else { None };
    let ask = Ask { command, input, terminal };
    let mut show = |shown| match shown {
        Shown::Stdout(bytes) => write_data(&mut sink, &bytes),
        shown => screen::show(shown, &look),
    };
    let ending = target.transport.call(ask, &mut show)?;
    if let Ending::Code(0) = ending {
        sink.keep()?;
    }
    match ending {
        Ending::Code(code) | Ending::Interrupted(code) => Ok(code),
    }
}

fn own_version(look: &Look) -> u8 {
    let answer = Answer::Version(VersionInfo { version: env!("CARGO_PKG_VERSION").into() });
    print_to(&mut std::io::stdout(), &render_answer(&answer, look));
    0
}

/// Returns the app that this folder was last deployed to with `mini deploy`.
fn deployed_from_here(target: &Target) -> Option<AppName> {
    let here = std::fs::canonicalize(".").ok()?;
    Folders::load().ok()?.app_of(&target.name, &here).cloned()
}

/// Names the folder's app where the line leaves it out. Without one the grammar says what is missing.
fn filled(words: &[String], app: Option<&AppName>) -> Vec<String> {
    match (app_slot(words), app) {
        (AppSlot::Missing, Some(app)) => with_app(words, app),
        _ => words.to_vec(),
    }
}

fn which_app() -> Error {
    Error::usage("which app?").hint("name it: mini open APP\nor let this folder's git remote name it: mini init APP")
}

/// An unknown word may be near to one of the client's own.
fn nearest(err: Error, words: &[String]) -> Error {
    let ours = verbs::entries();
    let ours: Vec<&str> = ours.iter().map(|verb| verb.name.as_str()).collect();
    match words.first() {
        Some(word) if err.kind() == Kind::UnknownCommand && word != "help" => unknown_word(word, &ours),
        _ => err,
    }
}

/// Asks for the app's name before it is destroyed, if somebody is there to ask.
fn confirm(command: Command) -> Result<Command> {
    let Command::AppsDestroy { app, confirm: None } = command else { return Ok(command) };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(Command::AppsDestroy { app, confirm: None });
    }
    print_to(&mut std::io::stderr(), &format!("This destroys `{app}` with its releases, config, logs and repository. Type its name: "));
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed).map_err(|err| Error::failed("the terminal could not be read").because(err))?;
    let confirm = typed.trim().parse().map_err(|_| Error::failed("not destroyed: this is not its name"))?;
    Ok(Command::AppsDestroy { app, confirm: Some(confirm) })
}

/// One line of data.
fn say(line: &str) {
    print_to(&mut std::io::stdout(), &format!("{line}\n"));
}

/// One line of talk.
fn talk(line: &str) {
    print_to(&mut std::io::stderr(), &format!("{line}\n"));
}

fn print_to(stream: &mut impl Write, text: &str) {
    write_to(stream, text.as_bytes());
}

/// A disk that takes no more ends the program: the server would send the rest for nothing.
fn write_data(sink: &mut Sink, bytes: &[u8]) {
    match sink {
        Sink::Stdout => write_to(&mut std::io::stdout(), bytes),
        Sink::File(beside) => {
            if let Err(err) = beside.write(bytes) {
                print_to(&mut std::io::stderr(), &render_error(&err, &Look::default()));
                std::process::exit(err.exit_code().into());
            }
        }
    }
}

/// A reader that went away, as in `mini logs | head`, is no error worth a word.
fn write_to(stream: &mut impl Write, bytes: &[u8]) {
    if stream.write_all(bytes).and_then(|()| stream.flush()).is_err() {
        std::process::exit(0);
    }
}
