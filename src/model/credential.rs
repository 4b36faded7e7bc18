//! Who may come in at an app's front door: a user's name, and what is kept of the password.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::error::{Error, Result};

const MAX_USER_BYTES: usize = 64;
const MAX_PASSWORD_BYTES: usize = 1024;

/// A user of basic authentication (RFC 7617): the name, and the SHA-256 of `user:password`, which is never kept itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    user: String,
    digest: [u8; 32],
}

// === impl Credential ===

impl Credential {
    /// Makes a user's credential. Errors: `Usage` for what cannot be sent by a browser, and for no password at all.
    pub fn new(user: &str, password: &Secret) -> Result<Credential> {
        let is_name =
            (1..=MAX_USER_BYTES).contains(&user.len()) && user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':' && byte != b',');
        if !is_name {
            return Err(Error::usage(format!("`{}` is not a user's name", user.escape_debug()))
                .hint(format!("write letters, digits and signs but `:` and `,`, at most {MAX_USER_BYTES}")));
        }
        let password = password.expose();
        if password.is_empty() || password.len() > MAX_PASSWORD_BYTES || password.contains(char::is_control) {
            return Err(Error::usage(format!("a password has 1 to {MAX_PASSWORD_BYTES} bytes on one line")));
        }
        Ok(Credential { user: user.to_owned(), digest: digest_of(format!("{user}:{password}").as_bytes()) })
    }

    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Tells whether `pair`, a user and a password with a colon between, is that of one of `all`; the time it takes does not tell of which.
    #[must_use]
    pub fn is_one_of(all: &[Credential], pair: &[u8]) -> bool {
        let digest = digest_of(pair);
        all.iter().fold(false, |is, one| is | verify_slices_are_equal(&digest, &one.digest).is_ok())
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[the credential of {}]", self.user)
    }
}

fn digest_of(pair: &[u8]) -> [u8; 32] {
    digest(&SHA256, pair).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(user: &str, password: &str) -> Result<Credential> {
        Credential::new(user, &Secret::new(password.to_owned()))
    }

    #[test]
    fn a_user_is_known_by_the_whole_pair() {
        let all = [credential("anna", "s3:cret").unwrap(), credential("ben", "geheimnis").unwrap()];

        assert!(Credential::is_one_of(&all, b"anna:s3:cret") && Credential::is_one_of(&all, b"ben:geheimnis"));
        for pair in ["anna:geheimnis", "anna:", "anna", "", "ANNA:s3:cret", "ben:geheimnis\n"] {
            assert!(!Credential::is_one_of(&all, pair.as_bytes()), "{pair}");
        }
        assert!(!Credential::is_one_of(&[], b":"));
    }

    #[test]
    fn the_password_is_kept_nowhere() {
        let one = credential("anna", "s3cret").unwrap();

        assert!(!format!("{one:?}{}", serde_json::to_string(&one).unwrap()).contains("s3cret"));
    }

    #[test]
    fn what_no_browser_sends_is_refused_and_not_repeated() {
        for (user, password) in [("", "x"), ("a:b", "x"), ("a b", "x"), ("a,b", "x"), ("anna", ""), ("anna", "geheim\nnis")] {
            let err = credential(user, password).unwrap_err();
            assert!(err.exit_code() == 2 && !err.sentence().contains("geheim"), "{err}");
        }
    }
}
