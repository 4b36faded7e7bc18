//! Where a certificate of a domain comes from.

use serde::{Deserialize, Serialize};

/// Who got a certificate. A domain may have one of each; its owner's own goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// The server itself, from a certificate authority.
    Auto,
    /// Its owner, who brought it.
    Own,
}

word_enum! {
    CertificateSource { Auto = "auto", Own = "own" }
}
