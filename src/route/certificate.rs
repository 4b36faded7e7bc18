//! One certificate: a chain with its key, which were found to belong together.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::error::{Error, Result};
use crate::model::{HostName, Stamp};

/// A chain, its private key, and what its first certificate says of itself (RFC 5280). Clones share it.
#[derive(Clone, Debug)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Arc<[String]>,
    issuer: Arc<str>,
    not_before: Stamp,
    not_after: Stamp,
}

// === impl Certificate ===

impl Certificate {
    /// Reads a chain, the host's own certificate first, and its key, both in PEM (RFC 7468).
    ///
    /// # Errors
    /// Of kind `Usage`: one of them is not there or not readable, the key is of a kind that TLS does not know, or not this certificate's.
    pub fn parse(chain: &str, key: &str) -> Result<Certificate> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<std::result::Result<_, _>>()
            .map_err(|err| Error::usage("the certificate is not readable PEM").because(err))?;
        let own = chain
            .first()
            .ok_or_else(|| Error::usage("there is no certificate in this").hint("it begins with -----BEGIN CERTIFICATE-----"))?;
        let own = own.clone();
        let (_, facts) = X509Certificate::from_der(&own).map_err(|err| Error::usage("the certificate is damaged").because(err))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|err| {
            Error::usage("there is no private key in this").hint("it begins with -----BEGIN PRIVATE KEY-----").because(err)
        })?;
        let key =
            any_supported_type(&key).map_err(|err| Error::usage("the private key is of a kind that TLS does not know").because(err))?;
        // Compared by hand: rustls reads no certificate with a critical extension such as that of a challenge (RFC 8737 §3).
        if key.public_key().is_none_or(|own| own.as_ref() != facts.public_key().raw) {
            return Err(Error::usage("the private key is not this certificate's"));
        }
        let key = CertifiedKey::new(chain, key);
        let issuer = facts.issuer().iter_organization().chain(facts.issuer().iter_common_name()).find_map(|name| name.as_str().ok());
        Ok(Certificate {
            key: Arc::new(key),
            names: names_of(&facts).into(),
            issuer: issuer.unwrap_or("an unnamed issuer").into(),
            not_before: stamp(facts.validity().not_before.timestamp()),
            not_after: stamp(facts.validity().not_after.timestamp()),
        })
    }

    /// Returns the DNS names that it stands for, in lower case; `*.` stands for one label.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Tells whether it stands for a host, whatever the port (RFC 9525 §6.3).
    #[must_use]
    pub fn covers(&self, host: &HostName) -> bool {
        let Some(name) = host.name() else { return false };
        let below = name.split_once('.').map(|(_, rest)| rest);
        self.names.iter().any(|own| own == name || own.strip_prefix("*.").is_some_and(|rest| Some(rest) == below))
    }

    /// Returns who issued it, for people.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    #[must_use]
    pub fn not_before(&self) -> Stamp {
        self.not_before
    }

    /// Returns the moment from which on clients refuse it.
    #[must_use]
    pub fn not_after(&self) -> Stamp {
        self.not_after
    }

    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.not_after <= Stamp::now()
    }

    /// Returns what a handshake shows and signs with.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// The common name is no name of a host any more (RFC 9525 §2).
fn names_of(facts: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = facts.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

fn stamp(seconds: i64) -> Stamp {
    Stamp::from_millis(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{certificate, pem};
    use super::*;

    #[test]
    fn a_certificate_stands_for_its_names_and_no_others() {
        let certificate = certificate(&["example.com", "*.Example.org"]);
        let covers = |host: &str| certificate.covers(&host.parse().unwrap());

        assert_eq!(certificate.names(), ["example.com", "*.example.org"]);
        assert!(covers("EXAMPLE.com:8443") && covers("a.example.org"));
        assert!(!covers("www.example.com") && !covers("example.org") && !covers("a.b.example.org") && !covers("127.0.0.1"));
        assert!(!certificate.has_ended() && certificate.not_before() < Stamp::now());
    }

    #[test]
    fn a_certificate_of_a_challenge_is_taken_with_its_own_key_alone() {
        let mut challenge = rcgen::CertificateParams::new(vec!["example.com".to_owned()]).unwrap();
        challenge.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = challenge.self_signed(&key).unwrap().pem();

        assert_eq!(Certificate::parse(&chain, &key.serialize_pem()).unwrap().names(), ["example.com"]);
        assert!(Certificate::parse(&chain, &pem(&["example.com"]).1).is_err());
    }

    #[test]
    fn what_does_not_belong_together_or_is_not_there_is_refused_in_words() {
        let (chain, key) = pem(&["example.com"]);
        let (_, other_key) = pem(&["example.com"]);
        let refused = |chain: &str, key: &str| Certificate::parse(chain, key).unwrap_err().to_string();

        assert!(refused(&chain, &other_key).contains("not this certificate's"));
        assert!(refused("", &key).contains("no certificate"));
        assert!(refused(&key, &key).contains("no certificate"));
        assert!(refused(&chain, "").contains("no private key"));
        assert!(refused(&chain, &chain).contains("no private key"));
        assert!(refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key).contains("damaged"));
        assert!(refused("-----BEGIN CERTIFICATE-----\n%%\n", &key).contains("readable"));
    }
}
