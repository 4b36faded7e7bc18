//! The certificates by which this server is known, and what it shows a certificate authority that asks: read by every handshake without a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::Certificate;
use crate::model::HostName;

/// The table of certificates; clones share it. Only room `deploy` and what orders certificates change it.
#[derive(Clone, Default)]
pub struct Certificates {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// By domain, or by `*.` and the rest of one.
    hosts: ArcSwap<HashMap<String, Certificate>>,
    /// By domain: what a challenge of TLS-ALPN-01 is answered with (RFC 8737).
    challenges: ArcSwap<HashMap<String, Certificate>>,
    /// Of HTTP-01: each token's key authorization (RFC 8555 §8.3).
    tokens: ArcSwap<HashMap<String, String>>,
    /// Changes are one at a time: each copies a table, changes the copy and publishes it.
    writing: Mutex<()>,
}

// === impl Certificates ===

impl Certificates {
    /// Makes these all the certificates there are, in one step; of two for a domain the last one counts.
    pub fn publish(&self, certificates: Vec<(String, Certificate)>) {
        let _one_at_a_time = self.writing();
        self.shared.hosts.store(Arc::new(certificates.into_iter().collect()));
    }

    /// Finds the certificate for a name that a handshake asks for, in lower case: its own, else that of `*.` and its parent.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Certificate> {
        let hosts = self.shared.hosts.load();
        let parent = || name.split_once('.').and_then(|(_, parent)| hosts.get(&format!("*.{parent}")));
        hosts.get(name).or_else(parent).cloned()
    }

    /// Tells whether a host has a certificate that clients take.
    #[must_use]
    pub fn has(&self, host: &HostName) -> bool {
        host.name().and_then(|name| self.find(name)).is_some_and(|certificate| !certificate.has_ended())
    }

    /// Answers an authority's request for `token` with its key authorization, whatever the host.
    pub fn set_token(&self, token: &str, key_authorization: &str) {
        self.change(&self.shared.tokens, |tokens| drop(tokens.insert(token.to_owned(), key_authorization.to_owned())));
    }

    pub fn remove_token(&self, token: &str) {
        self.change(&self.shared.tokens, |tokens| drop(tokens.remove(token)));
    }

    /// Returns a token's key authorization.
    #[must_use]
    pub fn token(&self, token: &str) -> Option<String> {
        self.shared.tokens.load().get(token).cloned()
    }

    /// Answers an authority's handshakes of `acme-tls/1` for a domain with this certificate.
    pub fn set_challenge(&self, domain: &str, certificate: Certificate) {
        self.change(&self.shared.challenges, |challenges| drop(challenges.insert(domain.to_owned(), certificate)));
    }

    pub fn remove_challenge(&self, domain: &str) {
        self.change(&self.shared.challenges, |challenges| drop(challenges.remove(domain)));
    }

    /// Returns the certificate that answers an authority's challenge for a domain.
    #[must_use]
    pub fn challenge(&self, domain: &str) -> Option<Certificate> {
        self.shared.challenges.load().get(domain).cloned()
    }

    fn change<T: Clone>(&self, table: &ArcSwap<T>, with: impl FnOnce(&mut T)) {
        let _one_at_a_time = self.writing();
        let mut next = T::clone(&table.load());
        with(&mut next);
        table.store(Arc::new(next));
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::certificate;
    use super::*;

    #[test]
    fn a_name_is_found_by_itself_before_its_parents_wildcard() {
        let table = Certificates::default();
        let (exact, wild) = (certificate(&["a.example.com"]), certificate(&["*.example.com"]));
        table.publish(vec![("a.example.com".into(), exact.clone()), ("*.example.com".into(), wild.clone())]);
        let found = |name: &str| table.find(name).map(|certificate| Arc::clone(certificate.key()));

        assert!(Arc::ptr_eq(&found("a.example.com").unwrap(), exact.key()));
        assert!(Arc::ptr_eq(&found("b.example.com").unwrap(), wild.key()));
        assert!(found("example.com").is_none() && found("a.b.example.com").is_none());
        assert!(table.has(&"A.example.com:443".parse().unwrap()) && !table.has(&"127.0.0.1".parse().unwrap()));

        table.publish(Vec::new());
        assert!(found("a.example.com").is_none());
    }

    #[test]
    fn challenges_are_there_until_they_are_removed() {
        let table = Certificates::default();

        table.set_token("t", "t.print");
        table.set_challenge("example.com", certificate(&["example.com"]));
        assert_eq!(table.token("t").as_deref(), Some("t.print"));
        assert!(table.challenge("example.com").is_some() && table.find("example.com").is_none());

        table.remove_token("t");
        table.remove_challenge("example.com");
        assert!(table.token("t").is_none() && table.challenge("example.com").is_none());
    }
}
