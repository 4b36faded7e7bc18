//! The command line on the server's own machine: words become a call over the private socket.

mod files;
mod transport;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use crate::command::{Answer, Asked, Command, Look, parse_words, render_answer, render_error, render_event};
use crate::config::default_data_dir;
use crate::error::{Error, Result};

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
    let (words, input) = files::open_files(words)?;
    let (command, json) = match parse_words(&words)? {
        Asked::Help(text) => {
            print_to(&mut std::io::stdout(), &text);
            if words.iter().all(|word| matches!(word.as_str(), "help" | "--help" | "-h")) {
                print_to(&mut std::io::stdout(), LOCAL_WORDS);
            }
            return Ok(0);
        }
        Asked::Do { command: Command::Version, json } => {
            let answer = Answer::Version(crate::command::VersionInfo { version: env!("CARGO_PKG_VERSION").into() });
            print_to(&mut std::io::stdout(), &render_answer(&answer, &Look::plain(json)));
            return Ok(0);
        }
        Asked::Do { command, json } => (confirm(command)?, json),
    };
    let socket = data_dir()?.join("mini.sock");
    let look = Look::plain(json);
    let mut show = |received: transport::Shown| match received {
        transport::Shown::Value(answer) => print_to(&mut std::io::stdout(), &render_answer(&answer, &look)),
        transport::Shown::Event(event) => match render_event(&event, &look) {
            (true, talk) => print_to(&mut std::io::stderr(), &talk),
            (false, data) => print_to(&mut std::io::stdout(), &data),
        },
        transport::Shown::Stdout(bytes) => write_to(&mut std::io::stdout(), &bytes),
        transport::Shown::Stderr(bytes) => write_to(&mut std::io::stderr(), &bytes),
    };
    transport::call(&socket, command, input, &mut show)
}

const LOCAL_WORDS: &str = "\nOn the server's own machine:\n  mini server   Run the server (see: mini server --help)\n  mini firewall Keep apps off the machine (see: mini firewall --help)\n  MINI_DATA     Environment: the data folder of the server that is meant\n";

fn data_dir() -> Result<PathBuf> {
    match std::env::var_os("MINI_DATA").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(dir.into()),
        None => default_data_dir(),
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

fn print_to(stream: &mut impl Write, text: &str) {
    write_to(stream, text.as_bytes());
}

/// A reader that went away, as in `mini logs | head`, is no error worth a word.
fn write_to(stream: &mut impl Write, bytes: &[u8]) {
    if stream.write_all(bytes).and_then(|()| stream.flush()).is_err() {
        std::process::exit(0);
    }
}
