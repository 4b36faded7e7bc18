//! Reads an app's Procfile: one process type and its command a line.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::model::{ProcessTable, ProcessType};

/// The type whose command runs once before a release goes live.
const RELEASE: &str = "release";
/// Types that `mini` starts containers of by itself, and by which words.
const RESERVED: &[(&str, &str)] = &[("run", "run"), ("doctor", "doctor")];
/// What a shell does more with than passing it on as a word.
const SHELL_SYNTAX: &[char] = &['&', '|', ';', '<', '>', '(', ')', '`', '\\', '\n', '{', '}', '!', '#'];

/// Reads the process table of a source whose root holds `procfile`; without one the image's own command is `web`.
///
/// Lines are `type: command`, empty, or comments with `#`, as Heroku's (devcenter: "The Procfile"). Commands are run by `/bin/sh`.
pub fn process_table(procfile: Option<&[u8]>) -> Result<ProcessTable> {
    let Some(bytes) = procfile else { return Ok(ProcessTable::default()) };
    let text = std::str::from_utf8(bytes).map_err(|err| Error::failed("the `Procfile` is not UTF-8 text").because(err))?;
    let (mut processes, mut release) = (BTreeMap::new(), None);
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (kind, command) = parse(line).map_err(|err| at_line(index + 1, &err))?;
        if kind.as_str() == RELEASE {
            release = Some(command);
        } else if processes.insert(kind.clone(), Some(command)).is_some() {
            return Err(at_line(index + 1, &Error::usage(format!("`{kind}` is there twice"))));
        }
    }
    if processes.is_empty() && release.is_none() {
        return Err(Error::failed("the `Procfile` names no process").hint("write lines such as `web: npm start`, or remove the file"));
    }
    if processes.is_empty() {
        processes.insert(ProcessType::web(), None);
    }
    Ok(ProcessTable::new(processes, release))
}

fn at_line(number: usize, err: &Error) -> Error {
    let hint = err.next_step().unwrap_or("write lines such as `web: npm start`").to_owned();
    Error::failed(format!("the `Procfile` has an error on line {number}: {}", err.sentence())).hint(hint)
}

fn parse(line: &str) -> Result<(ProcessType, Vec<String>)> {
    let (kind, command) = line.split_once(':').ok_or_else(|| Error::usage(format!("`{}` is not `type: command`", line.escape_debug())))?;
    let (kind, command): (ProcessType, &str) = (kind.trim().parse()?, command.trim());
    if let Some((_, what)) = RESERVED.iter().find(|(name, _)| *name == kind.as_str()) {
        return Err(Error::usage(format!("`{kind}` is the name of what `mini {what}` starts")).hint("give the process type another name"));
    }
    if command.is_empty() {
        return Err(Error::usage(format!("`{kind}` has no command")));
    }
    Ok((kind, program(command)))
}

/// Returns the arguments of the shell that runs a command. A plain one takes the shell's place, so that SIGTERM reaches it.
fn program(command: &str) -> Vec<String> {
    let words_first = command.split_whitespace().next().unwrap_or_default();
    let line = if command.contains(SHELL_SYNTAX) || is_builtin(words_first) {
        command.to_owned()
    } else if words_first.contains('=') {
        format!("exec env {command}")
    } else {
        format!("exec {command}")
    };
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}

fn is_builtin(word: &str) -> bool {
    matches!(
        word,
        "exec" | "cd" | "." | "set" | "export" | "eval" | "if" | "for" | "while" | "until" | "case" | "trap" | "[" | "ulimit" | "umask"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Vec<String> {
        process_table(Some(text.as_bytes())).unwrap().types().map(ToString::to_string).collect()
    }

    fn line(command: &str) -> String {
        program(command)[2].clone()
    }

    #[test]
    fn a_source_without_a_procfile_runs_its_image_as_web() {
        assert_eq!(process_table(None).unwrap(), ProcessTable::default());
    }

    #[test]
    fn types_are_read_with_comments_blanks_and_windows_line_ends() {
        let text = "\u{feff}# mine\r\nweb: python app.py\r\n\r\n  worker_2 :  python  work.py -v \r\nrelease: ./migrate\r\n";

        let table = process_table(Some(text.as_bytes())).unwrap();

        assert_eq!(types(text), ["web", "worker_2"]);
        assert_eq!(table.command(&"worker_2".parse().unwrap()).unwrap()[2], "exec python  work.py -v");
        assert_eq!(table.release_command().unwrap()[2], "exec ./migrate");
        assert_eq!(types("release: ./migrate"), ["web"], "the image's own command");
    }

    #[test]
    fn a_plain_command_takes_the_shells_place_and_a_compound_one_does_not() {
        assert_eq!(line("gunicorn app:app -b 0.0.0.0:$PORT"), "exec gunicorn app:app -b 0.0.0.0:$PORT");
        assert_eq!(line("A=1 B='2 3' node x.js"), "exec env A=1 B='2 3' node x.js");
        for compound in ["cd x && npm start", "a | b", "exec ./x", "sleep 1; ./x", "trap x TERM", "echo `date`"] {
            assert_eq!(line(compound), compound);
        }
    }

    #[test]
    fn what_is_no_procfile_is_refused_with_its_line() {
        for (text, sentence) in [
            ("web npm start", "the `Procfile` has an error on line 1: `web npm start` is not `type: command`"),
            ("web: a\n\nWeb: b", "the `Procfile` has an error on line 3: `Web` is not a process type"),
            ("web:", "the `Procfile` has an error on line 1: `web` has no command"),
            ("web: a\nweb: b", "the `Procfile` has an error on line 2: `web` is there twice"),
            ("run: a", "the `Procfile` has an error on line 1: `run` is the name of what `mini run` starts"),
            ("doctor: a", "the `Procfile` has an error on line 1: `doctor` is the name of what `mini doctor` starts"),
            ("# only this\n", "the `Procfile` names no process"),
            ("", "the `Procfile` names no process"),
        ] {
            assert_eq!(process_table(Some(text.as_bytes())).unwrap_err().sentence(), sentence);
        }
        assert_eq!(process_table(Some(b"\xff")).unwrap_err().sentence(), "the `Procfile` is not UTF-8 text");
    }
}
