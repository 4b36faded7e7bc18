//! The proof that a domain leads to this server, and where it is shown while the authority looks.

use instant_acme::{ChallengeHandle, ChallengeType};
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use crate::error::{Error, Result};

/// What an authority wants to find.
#[derive(Clone, Debug)]
pub enum Proof {
    /// HTTP-01 (RFC 8555 §8.3): `/.well-known/acme-challenge/{token}` on port 80 answers with `key_authorization`.
    Token { token: String, key_authorization: String },
    /// TLS-ALPN-01 (RFC 8737): a handshake of `acme-tls/1` for `domain` shows this certificate.
    Handshake { domain: String, chain_pem: String, key_pem: String },
}

/// Who shows proofs to whoever asks.
pub trait Showcase: Sync {
    fn show(&self, proof: &Proof) -> Result<()>;

    /// Takes back what was shown.
    fn hide(&self, proof: &Proof);
}

/// A proof that is shown until this is dropped, whatever ends the order.
pub(super) struct Shown<'a> {
    proof: Proof,
    showcase: &'a dyn Showcase,
}

// === impl Proof ===

impl Proof {
    /// Makes the proof that a challenge wants.
    pub(super) fn of(challenge: &ChallengeHandle<'_>) -> Result<Self> {
        let key_authorization = challenge.key_authorization();
        if challenge.r#type == ChallengeType::Http01 {
            return Ok(Proof::Token { token: challenge.token.clone(), key_authorization: key_authorization.as_str().to_owned() });
        }
        let domain = challenge.identifier().to_string();
        certificate(&domain, key_authorization.digest().as_ref())
            .map(|(chain_pem, key_pem)| Proof::Handshake { domain, chain_pem, key_pem })
            .map_err(|err| Error::failed("the certificate for the challenge cannot be made").because(err))
    }
}

/// Makes a certificate for a domain, signed by itself, that carries `digest` (RFC 8737 §3).
fn certificate(domain: &str, digest: &[u8]) -> std::result::Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec![domain.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

// === impl Shown ===

impl<'a> Shown<'a> {
    pub(super) fn new(proof: Proof, showcase: &'a dyn Showcase) -> Result<Self> {
        showcase.show(&proof)?;
        Ok(Shown { proof, showcase })
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.showcase.hide(&self.proof);
    }
}
