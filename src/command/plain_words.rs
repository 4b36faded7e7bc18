//! Arguments that are plain words: the `-` for an input or an output, a text of one line, on and off.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Whether something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnOff {
    On,
    Off,
}

impl FromStr for OnOff {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "on" => Ok(OnOff::On),
            "off" => Ok(OnOff::Off),
            _ => Err(Error::usage(format!("`{}` is neither on nor off", word.escape_debug()))),
        }
    }
}

/// Parses the `-` that stands for the input. The sentence is for those who named a file of their own machine over ssh.
pub(super) fn only_the_input(word: &str) -> Result<String> {
    if word == "-" { Ok(word.to_owned()) } else { Err(Error::usage("the server does not read files: pipe it")) }
}

/// Parses a text of at most 200 characters that stands in lists.
pub(super) fn one_line(word: &str) -> Result<String> {
    const MAX_CHARS: usize = 200;
    if word.is_empty() || word.chars().any(char::is_control) || word.chars().count() > MAX_CHARS {
        return Err(Error::usage(format!("this is not one line of 1 to {MAX_CHARS} characters")));
    }
    Ok(word.to_owned())
}

/// Parses the `-` that stands for the output, as [`only_the_input`].
pub(super) fn only_the_output(word: &str) -> Result<String> {
    if word == "-" {
        return Ok(word.to_owned());
    }
    Err(Error::usage("the server does not write files: take what it sends").hint("ssh mini backup - > FILE"))
}
