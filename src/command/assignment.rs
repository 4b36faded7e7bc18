//! `KEY=VALUE` as it is typed: a config variable, or one of a single run.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::ConfigName;

/// `KEY=VALUE` of `config:set`. The value may hold anything that an environment can: no NUL.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Assignment {
    pub name: ConfigName,
    pub value: String,
}

// === impl Assignment ===

impl Assignment {
    /// Tells whether the value is to be read from the input (`KEY=-`).
    #[must_use]
    pub fn is_from_input(&self) -> bool {
        self.value == "-"
    }
}

impl std::str::FromStr for Assignment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(Error::usage("this is not KEY=VALUE; a value with blanks wants quotes, over ssh two pairs: 'KEY=\"a b\"'"));
        };
        if value.contains('\0') {
            return Err(Error::usage("a value cannot hold a NUL byte"));
        }
        Ok(Assignment { name: name.parse()?, value: value.to_owned() })
    }
}

impl TryFrom<String> for Assignment {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Assignment> for String {
    fn from(assignment: Assignment) -> String {
        format!("{}={}", assignment.name, assignment.value)
    }
}

/// Shows the name alone: values are secrets.
impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=[redacted]", self.name)
    }
}
