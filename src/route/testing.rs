//! Certificates that tests make themselves.

use super::Certificate;

/// A self-signed chain for these names and its key, in PEM.
pub fn pem(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

pub fn certificate(names: &[&str]) -> Certificate {
    let (chain, key) = pem(names);
    Certificate::parse(&chain, &key).unwrap()
}
