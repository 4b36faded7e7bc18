//! The settings by which certificates are ordered.

use std::path::PathBuf;
use std::time::Duration;

use super::{ServerArgs, Switch};
use crate::error::{Error, Result};
use crate::model::limits::ORDER_PAUSE;

/// Let's Encrypt, where browsers take the certificates.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// From whom certificates are ordered, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The URL of the authority's directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// Where the authority may write to, without `mailto:`.
    pub contact: Option<String>,
    /// The root that the authority's own server is checked with, in PEM; else those of this machine.
    pub ca: Option<PathBuf>,
    /// At which age a certificate is renewed; else past two thirds of its life.
    pub renew_after: Option<Duration>,
    /// Between one order and the next there is at least this.
    pub pause: Duration,
}

// === impl AcmeSettings ===

impl AcmeSettings {
    /// Puts flags over the file over the defaults; `None` where nothing is to be ordered. Errors are of kind `Setup`.
    pub(super) fn resolve(args: &ServerArgs, file: &ServerArgs) -> Result<Option<Self>> {
        let text = |flag: &Option<String>, file: &Option<String>| flag.clone().or_else(|| file.clone());
        let directory = text(&args.acme_directory, &file.acme_directory).map_or_else(|| Ok(LETS_ENCRYPT.to_owned()), parse_directory)?;
        let contact = text(&args.acme_contact, &file.acme_contact).map(|contact| parse_contact(&contact)).transpose()?;
        if args.acme.or(file.acme) == Some(Switch::Off) {
            return Ok(None);
        }
        Ok(Some(AcmeSettings {
            directory,
            contact,
            ca: args.acme_ca.clone().or_else(|| file.acme_ca.clone()),
            renew_after: args.acme_renew_after.or(file.acme_renew_after).map(|span| span.0),
            pause: args.acme_pause.or(file.acme_pause).map_or(ORDER_PAUSE, |span| span.0),
        }))
    }
}

fn parse_directory(url: String) -> Result<String> {
    // An order in the clear would let anyone on the way put in a certificate of his own.
    if url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
        Ok(url)
    } else {
        Err(Error::setup(format!("--acme-directory `{}` is not an https:// URL", url.escape_debug()))
            .hint(format!("for example: --acme-directory {LETS_ENCRYPT}")))
    }
}

fn parse_contact(contact: &str) -> Result<String> {
    let address = contact.strip_prefix("mailto:").unwrap_or(contact);
    match address.split_once('@') {
        Some((name, host)) if !name.is_empty() && host.contains('.') && address.is_ascii() && !address.contains([' ', ',', '?']) => {
            Ok(address.to_owned())
        }
        _ => Err(Error::setup(format!("--acme-contact `{}` is not a mail address", contact.escape_debug()))
            .hint("for example: --acme-contact anna@example.org")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: &ServerArgs) -> Result<Option<AcmeSettings>> {
        AcmeSettings::resolve(args, &ServerArgs::default())
    }

    #[test]
    fn without_a_word_lets_encrypt_is_asked_and_off_asks_nobody() {
        let settings = resolve(&ServerArgs::default()).unwrap().unwrap();

        assert_eq!((settings.directory.as_str(), settings.contact, settings.pause), (LETS_ENCRYPT, None, ORDER_PAUSE));
        assert_eq!(resolve(&ServerArgs { acme: Some(Switch::Off), ..ServerArgs::default() }).unwrap(), None);
    }

    #[test]
    fn a_directory_in_the_clear_and_a_contact_that_is_no_address_are_refused() {
        for url in ["http://ca.example.org/directory", "https://", "ca.example.org", "https://a b"] {
            let err = resolve(&ServerArgs { acme_directory: Some(url.into()), ..ServerArgs::default() }).unwrap_err();
            assert!(err.exit_code() == 78 && err.sentence().starts_with("--acme-directory `"), "{url}: {err}");
        }
        let contact = |text: &str| resolve(&ServerArgs { acme_contact: Some(text.into()), ..ServerArgs::default() });
        for text in ["anna", "@example.org", "anna@here", "anna@example.org,ben@example.org"] {
            assert_eq!(contact(text).unwrap_err().exit_code(), 78, "{text}");
        }
        assert_eq!(contact("mailto:anna@example.org").unwrap().unwrap().contact.as_deref(), Some("anna@example.org"));
    }
}
