//! A command line without the flags that are the client's own.

use crate::command::end_of_own;
use crate::error::{Error, Result};

/// What was typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub words: Vec<String>,
    /// `--host NAME|URL`
    pub host: Option<String>,
    /// `-r/--remote NAME`: the git remote that names app and host.
    pub remote: Option<String>,
}

// === impl Line ===

impl Line {
    /// Takes `--host` and `-r/--remote` out, wherever they stand among our own words, and joins the nouns and verbs that are the
    /// client's. What follows `--`, or the program of `run`, is not ours.
    pub fn of(typed: &[String]) -> Result<Self> {
        let end = end_of_own(typed);
        let mut line = Line::default();
        let mut words = typed[..end].iter();
        while let Some(word) = words.next() {
            let (flag, attached) = word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value.to_owned())));
            let place = match flag {
                "--host" => &mut line.host,
                "--remote" => &mut line.remote,
                "-r" if attached.is_none() => &mut line.remote,
                _ => {
                    line.words.push(word.clone());
                    continue;
                }
            };
            let value = attached.or_else(|| words.next().cloned()).filter(|value| !value.is_empty());
            *place = Some(value.ok_or_else(|| Error::usage(format!("`{flag}` wants a name")).hint("see: mini --help"))?);
        }
        line.words.extend_from_slice(&typed[end..]);
        if let [noun @ ("config" | "hosts"), verb @ ("set-host" | "remove"), ..] =
            line.words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            let joined = format!("{noun}:{verb}");
            if joined != "config:remove" && joined != "hosts:set-host" {
                line.words.splice(..2, [joined]);
            }
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line::of(&shlex::split(text).unwrap()).unwrap()
    }

    #[test]
    fn the_clients_flags_stand_anywhere_but_behind_two_dashes() {
        let same = ["--host work logs -f", "logs --host=work -f", "logs -f --host work"];
        for text in same {
            assert_eq!((line(text).words, line(text).host), (vec!["logs".into(), "-f".into()], Some("work".into())), "{text}");
        }

        let run = line("run -r prod blog -- curl --host x");

        assert_eq!((run.words.len(), run.remote, run.host), (6, Some("prod".into()), None));
        assert_eq!(line("run --host work blog curl -r 5").words, ["run", "blog", "curl", "-r", "5"]);
        assert!(Line::of(&["logs".into(), "--host".into()]).is_err());
    }

    #[test]
    fn the_clients_nouns_and_verbs_may_be_two_words() {
        assert_eq!(line("config set-host box").words, ["config:set-host", "box"]);
        assert_eq!(line("hosts remove box").words, ["hosts:remove", "box"]);
        assert_eq!(line("config set A=1").words, ["config", "set", "A=1"]);
    }
}
