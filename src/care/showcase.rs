//! Shows an authority's proofs where requests and handshakes arrive.

use crate::acme::{Proof, Showcase};
use crate::error::Result;
use crate::route::{Certificate, Certificates};

/// The proxy's table, as a place for proofs.
pub(super) struct Table<'a>(pub(super) &'a Certificates);

impl Showcase for Table<'_> {
    fn show(&self, proof: &Proof) -> Result<()> {
        match proof {
            Proof::Token { token, key_authorization } => self.0.set_token(token, key_authorization),
            Proof::Handshake { domain, chain_pem, key_pem } => self.0.set_challenge(domain, Certificate::parse(chain_pem, key_pem)?),
        }
        Ok(())
    }

    fn hide(&self, proof: &Proof) {
        match proof {
            Proof::Token { token, .. } => self.0.remove_token(token),
            Proof::Handshake { domain, .. } => self.0.remove_challenge(domain),
        }
    }
}
