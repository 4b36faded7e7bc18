//! Where replies become visible: stdout is data, stderr is talk.

use std::io::IsTerminal;

use super::transport::Shown;
use super::{print_to, terminal, write_to};
use crate::command::{Look, render_answer, render_event};

/// Returns how things are to look here. Colours only decorate, and only a terminal (<https://no-color.org>).
#[must_use]
pub fn look(json: bool) -> Look {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let colour = std::io::stdout().is_terminal() && !set("NO_COLOR") && !is_dumb;
    Look { json, colour, width: terminal::size().map(|(cols, _)| cols as usize) }
}

/// Shows a part of a reply as it comes.
pub fn show(shown: Shown, look: &Look) {
    match shown {
        Shown::Value(answer) => print_to(&mut std::io::stdout(), &render_answer(&answer, look)),
        Shown::Event(event) => match render_event(&event, look) {
            (true, talk) => print_to(&mut std::io::stderr(), &talk),
            (false, data) => print_to(&mut std::io::stdout(), &data),
        },
        Shown::Stdout(bytes) => write_to(&mut std::io::stdout(), &bytes),
        Shown::Stderr(bytes) => write_to(&mut std::io::stderr(), &bytes),
        Shown::Sent => {}
    }
}
