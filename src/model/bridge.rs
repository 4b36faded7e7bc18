//! How the host's bridges of app networks are called, so that firewall rules match them and nothing else.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::AppId;
use crate::error::{Error, Result};

/// The longest name of a network interface (`IFNAMSIZ` with its closing NUL).
const MAX_NAME: usize = 15;
/// Leaves six digits of the app's id.
const MAX_PREFIX: usize = 9;

/// How the bridges of one server's app networks begin: `mini-`, unless the settings say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BridgePrefix(String);

// === impl BridgePrefix ===

impl BridgePrefix {
    /// Returns the name of an app's bridge: the prefix and as many digits of the app's random id as fit, 10 for `mini-`.
    ///
    /// Ids are random over all servers of a machine (40 bits are left), and the engine refuses a name that is taken: two apps
    /// never share a bridge.
    #[must_use]
    pub fn bridge(&self, app: &AppId) -> String {
        format!("{}{}", self.0, &app.as_str()[..MAX_NAME - self.0.len()])
    }

    /// Tells whether this can be the name of one of these bridges.
    #[must_use]
    pub fn is_of(&self, name: &str) -> bool {
        let digits = name.strip_prefix(self.0.as_str());
        digits.is_some_and(|digits| name.len() == MAX_NAME && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    }

    /// Returns what matches all of them in iptables(8): `mini-+`.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{}+", self.0)
    }
}

impl Default for BridgePrefix {
    fn default() -> Self {
        BridgePrefix("mini-".to_owned())
    }
}

impl FromStr for BridgePrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_plain = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_plain && text.ends_with('-') && (2..=MAX_PREFIX).contains(&text.len()) {
            Ok(BridgePrefix(text.to_owned()))
        } else {
            Err(Error::usage(format!("`{}` cannot begin the names of bridges", text.escape_debug()))
                .hint("2 to 9 lower-case letters, digits and -, with a - at the end, such as mini-"))
        }
    }
}

impl TryFrom<String> for BridgePrefix {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for BridgePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_has_a_name_that_linux_takes_and_its_pattern_matches() {
        let app: AppId = "0123456789abcdef".parse().unwrap();

        for (prefix, name) in [("mini-", "mini-0123456789"), ("t1a2b3-", "t1a2b3-01234567"), ("abcdefgh-", "abcdefgh-012345")] {
            let prefix: BridgePrefix = prefix.parse().unwrap();
            assert_eq!(prefix.bridge(&app), name);
            assert!(prefix.bridge(&app).starts_with(prefix.pattern().trim_end_matches('+')));
        }
        for text in ["", "-", "eth", "abcdefghi-", "Mini-", "mini+", "-mini", "9p-", "a b", "a/b"] {
            assert!(text.parse::<BridgePrefix>().is_err(), "{text:?}");
        }
    }
}
