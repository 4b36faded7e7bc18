//! API keys: made once, shown once, recognised by their shape without a store.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::TokenId;
use crate::error::{Error, Result};

/// An API key: `mini_`, an id of 8, a secret of 43 and a check of 6 letters and digits; 62 characters in all.
///
/// The secret holds 256 random bits. The check is the CRC-32 (as in zip, RFC 1952 §8) of all that stands before it, in base 62
/// (`0-9A-Za-z`), highest digit first: scanners know a leaked key from a look-alike, and typos are found without the store.
/// `Debug` shows the id alone, and `==` takes the same time wherever two keys differ.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

const PREFIX: &str = "mini_";
const ID: usize = 8;
/// The least number of base-62 digits that hold 256 bits.
const SECRET: usize = 43;
/// The least number of base-62 digits that hold 32 bits.
const CHECK: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

// === impl Token ===

impl Token {
    /// Makes a new random key.
    #[must_use]
    pub fn random() -> Self {
        let body = format!("{PREFIX}{}", random_digits(ID + SECRET));
        let check = check_of(&body);
        Token(body + &check)
    }

    /// Returns the public half: what people and logs may see.
    #[must_use]
    pub fn id(&self) -> TokenId {
        self.0[PREFIX.len()..PREFIX.len() + ID].parse().expect("a key's id is letters and digits")
    }

    /// Returns the SHA-256 of the whole key, which is what is kept of it. 256 random bits need no slow hash.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&SHA256, self.0.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Tells whether `kept` is this key's digest, in a time that does not tell where they differ.
    #[must_use]
    pub fn has_digest(&self, kept: &[u8]) -> bool {
        verify_slices_are_equal(&self.digest(), kept).is_ok()
    }

    /// Gives the key away: every use is a place to ask who reads it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Draws base-62 digits, each as likely as the others: of 256 values the last 8 would favour some.
fn random_digits(count: usize) -> String {
    let mut digits = String::with_capacity(count);
    while digits.len() < count {
        let mut bytes = [0; 64];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has random bytes");
        let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        digits.extend(fair.take(count - digits.len()));
    }
    digits
}

fn check_of(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut check = [b'0'; CHECK];
    for digit in check.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    check.map(char::from).iter().collect()
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_shaped = text.len() == PREFIX.len() + ID + SECRET + CHECK
            && text.strip_prefix(PREFIX).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()));
        if !is_shaped {
            return Err(Error::usage("this is not an API key").hint("it is mini_ and 57 letters and digits, as `tokens:create` shows it"));
        }
        let (body, check) = text.split_at(text.len() - CHECK);
        if check_of(body) != check {
            return Err(Error::usage("this API key has a typo").hint("copy it again, whole"));
        }
        Ok(Token(text.to_owned()))
    }
}

impl TryFrom<String> for Token {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Token> for String {
    fn from(token: Token) -> String {
        token.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.has_digest(&other.digest())
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mini_{}…", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that are out there must stay keys: this one was made by hand.
    const KNOWN: &str = "mini_abcdefgh0123456789012345678901234567890123456789012";

    #[test]
    fn a_new_key_is_read_back_and_no_two_are_alike() {
        let (one, other) = (Token::random(), Token::random());

        let read: Token = one.expose().parse().unwrap();

        assert_eq!(one.expose().len(), 62);
        assert!(read == one && one != other && read.id() == one.id());
        assert!(one.has_digest(&one.digest()) && !other.has_digest(&one.digest()) && !one.has_digest(&[]));
    }

    #[test]
    fn the_check_is_the_crc_of_the_rest() {
        let crc = crc32fast::hash(KNOWN.as_bytes());
        let digit = |at: u32| char::from(DIGITS[(crc / 62_u32.pow(at) % 62) as usize]);
        let check: String = (0..6).rev().map(digit).collect();

        let token: Token = format!("{KNOWN}{check}").parse().unwrap();

        assert_eq!(token.id().as_str(), "abcdefgh");
    }

    #[test]
    fn a_typo_is_found_wherever_it_is() {
        let token = Token::random();
        for at in PREFIX.len()..62 {
            let mut typo = token.expose().as_bytes().to_vec();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };

            let err = String::from_utf8(typo).unwrap().parse::<Token>().unwrap_err();

            assert_eq!(err.sentence(), "this API key has a typo", "at {at}");
        }
    }

    #[test]
    fn what_has_another_shape_is_no_key() {
        let token = Token::random();
        let key = token.expose();
        for text in ["", "mini_", &key[1..], &key[..61], &format!("{key}0"), &key.replace("mini_", "mimi_"), &format!("é{}", &key[2..])] {
            assert_eq!(text.parse::<Token>().unwrap_err().sentence(), "this is not an API key", "{text:?}");
        }
    }

    #[test]
    fn nothing_of_the_secret_is_printed() {
        let token = Token::random();

        let printed = format!("{token:?}");

        assert_eq!(printed, format!("mini_{}…", token.id()));
    }
}
