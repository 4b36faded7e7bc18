//! The only place that opens the files people name: the server never reads them.

use std::fs::File;
use std::io::{IsTerminal, Read};

use crate::error::{Error, Result};

/// What is sent as the command's input.
pub type Source = Box<dyn Read + Send>;

/// Replaces the FILE of `keys:add NAME FILE` by `-` and opens it; every other command gets the standard input.
pub fn open_files(words: &[String]) -> Result<(Vec<String>, Source)> {
    let mut words = words.to_vec();
    let verb_words = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["keys" | "ssh-keys", "add", ..] => 2,
        ["keys:add" | "ssh-keys:add", ..] => 1,
        _ => return Ok((words, Box::new(std::io::stdin()))),
    };
    let Some(at) = second_positional(&words, verb_words) else {
        let unattended = !std::io::stdin().is_terminal() || words.iter().any(|word| word == "--help" || word == "-h");
        return if unattended { Ok((words, Box::new(std::io::stdin()))) } else { Err(no_key()) };
    };
    let source: Source = if words[at] == "-" {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(&words[at]).map_err(|err| Error::usage(format!("the file `{}` cannot be read: {err}", words[at])))?;
        "-".clone_into(&mut words[at]);
        Box::new(file)
    };
    Ok((words, source))
}

fn no_key() -> Error {
    Error::usage("which key?").hint("mini keys add anna ~/.ssh/id_ed25519.pub, or pipe it in")
}

/// Finds the second word that is neither a flag nor a flag's value.
fn second_positional(words: &[String], from: usize) -> Option<usize> {
    let mut seen = 0;
    let mut at = from;
    while at < words.len() {
        match words[at].as_str() {
            "--role" | "--app" => at += 1,
            flag if flag.starts_with("--") => {}
            _ => {
                seen += 1;
                if seen == 2 {
                    return Some(at);
                }
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(line: &str) -> Result<(Vec<String>, Source)> {
        open_files(&shlex::split(line).unwrap())
    }

    #[test]
    fn the_file_is_opened_here_and_a_dash_travels() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pub");
        std::fs::write(&path, "ssh-ed25519 AAAA").unwrap();

        let (words, mut source) = open(&format!("keys add --role admin anna {}", path.display())).unwrap();

        let mut text = String::new();
        source.read_to_string(&mut text).unwrap();
        assert_eq!(words, ["keys", "add", "--role", "admin", "anna", "-"]);
        assert_eq!(text, "ssh-ed25519 AAAA");
    }

    #[test]
    fn a_missing_file_is_named() {
        let err = open("keys:add anna /nowhere/key.pub").err().unwrap();

        assert!(err.sentence().contains("/nowhere/key.pub"), "{err}");
    }
}
