//! A domain of an app's owner's own, such as `www.example.com`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::HostName;
use crate::error::{Error, Result};

/// Names that lead to this server by themselves, whoever asks: no app can have one of them, or one below.
const EVERYBODYS: [&str; 3] = ["localhost", "nip.io", "sslip.io"];

/// A DNS name of at least two labels, lower case, without a trailing dot, that is nobody's by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

// === impl Domain ===

impl Domain {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns it as requests name it.
    #[must_use]
    pub fn host(&self) -> HostName {
        self.0.parse().expect("a domain was made from a host name")
    }

    /// Tells whether it is `zone`, or one label before it.
    #[must_use]
    pub fn is_just_below(&self, zone: &str) -> bool {
        match self.0.strip_suffix(zone) {
            Some("") => true,
            Some(front) => front.strip_suffix('.').is_some_and(|label| !label.contains('.')),
            None => false,
        }
    }

    fn is_everybodys(&self) -> bool {
        let is_it_or_below = |zone: &str| self.0.strip_suffix(zone).is_some_and(|front| front.is_empty() || front.ends_with('.'));
        EVERYBODYS.into_iter().any(is_it_or_below)
    }
}

impl FromStr for Domain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str, next: &str| Error::usage(format!("`{}` {why}", text.escape_debug())).hint(next.to_owned());
        if !text.is_ascii() {
            return Err(wrong("has letters that DNS does not carry", "write it as DNS has it, in punycode: xn--…"));
        }
        if text.contains('*') {
            return Err(wrong("is a wildcard, and mini serves none", "add each name that is meant: www.example.com"));
        }
        let not_one = || wrong("is not a domain", "write a name such as www.example.com, without http:// and without a port");
        let host: HostName = text.parse().map_err(|_| not_one())?;
        let Some(name) = host.name() else {
            return Err(wrong("is an address, and addresses lead to mini itself", "point a name at it: www.example.com"));
        };
        let domain = Domain(name.to_owned());
        if host.port().is_some() || (!name.contains('.') && !domain.is_everybodys()) {
            return Err(not_one());
        }
        if domain.is_everybodys() {
            return Err(wrong(
                "leads here by itself and cannot be given to an app",
                "every app answers at APP.localhost and APP.IP.nip.io",
            ));
        }
        Ok(domain)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Domain {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> String {
        domain.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_written_in_one_way() {
        for (text, written) in [
            ("Example.COM.", "example.com"),
            ("www.xn--bcher-kva.example", "www.xn--bcher-kva.example"),
            ("a.b.c.example.org", "a.b.c.example.org"),
            ("mynip.io", "mynip.io"),
            ("localhost.example.com", "localhost.example.com"),
        ] {
            let domain: Domain = text.parse().unwrap();
            assert_eq!((domain.as_str(), domain.host().to_string().as_str()), (written, written), "{text}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused_and_told_why() {
        for (text, why) in [
            ("", "is not a domain"),
            ("example", "is not a domain"),
            ("example.com:80", "is not a domain"),
            ("http://example.com", "is not a domain"),
            ("example.com/x", "is not a domain"),
            ("a_b.example.com", "is not a domain"),
            ("a..example.com", "is not a domain"),
            ("*.example.com", "is a wildcard"),
            ("bücher.example", "has letters that DNS does not carry"),
            ("203.0.113.9", "is an address"),
            ("[::1]", "is an address"),
            ("localhost", "leads here by itself"),
            ("blog.localhost", "leads here by itself"),
            ("a.b.localhost", "leads here by itself"),
            ("NIP.io", "leads here by itself"),
            ("blog.203.0.113.9.nip.io", "leads here by itself"),
            ("sslip.io", "leads here by itself"),
        ] {
            let err = text.parse::<Domain>().unwrap_err();
            assert!(err.exit_code() == 2 && err.sentence().contains(why) && err.next_step().is_some(), "{text}: {err}");
        }
    }

    #[test]
    fn just_below_is_one_label() {
        let is = |name: &str| name.parse::<Domain>().unwrap().is_just_below("example.com");

        assert!(is("example.com") && is("blog.example.com"));
        assert!(!is("a.blog.example.com") && !is("myexample.com") && !is("example.org"));
    }
}
