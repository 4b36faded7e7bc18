//! Certificates from an authority that speaks ACME (RFC 8555): an account, and orders for one domain each.
//!
//! The authority looks whether a domain leads here by asking for a [`Proof`], which the caller shows as a [`Showcase`]:
//! this room knows neither where requests arrive nor where accounts and keys are kept.

mod failure;
mod order;
mod proof;

use std::time::Duration;

use instant_acme::{AccountBuilder, NewAccount};

use crate::config::AcmeSettings;
use crate::error::{Error, Result};

pub use order::Issued;
pub use proof::{Proof, Showcase};

/// For the authority's directory and the account.
const ACCOUNT_DEADLINE: Duration = Duration::from_secs(30);

/// The authority of the settings.
#[derive(Clone, Debug)]
pub struct Acme {
    settings: AcmeSettings,
}

/// An account with the authority, for as many orders as wanted.
pub struct Account {
    inner: instant_acme::Account,
}

// === impl Acme ===

impl Acme {
    #[must_use]
    pub fn new(settings: AcmeSettings) -> Self {
        Acme { settings }
    }

    /// Returns the URL that accounts belong to.
    #[must_use]
    pub fn directory(&self) -> &str {
        &self.settings.directory
    }

    /// Opens the account whose credentials (JSON, with its private key) were kept, telling the authority the contact of today.
    ///
    /// Without one, or when the authority does not know it any more, a new one is made, and its credentials returned to be kept.
    ///
    /// # Errors
    /// Of kind `Unavailable` when the authority cannot be reached, `Failed` with its own words when it refuses.
    pub async fn account(&self, kept: Option<&str>) -> Result<(Account, Option<String>)> {
        let opened = async {
            if let Some(account) = self.reopen(kept).await? {
                return Ok((account, None));
            }
            let (account, credentials) = self.register().await?;
            Ok((account, Some(credentials)))
        };
        let late = |_| Err(Error::unavailable(format!("{} does not answer", self.directory())));
        tokio::time::timeout(ACCOUNT_DEADLINE, opened).await.unwrap_or_else(late)
    }

    async fn reopen(&self, kept: Option<&str>) -> Result<Option<Account>> {
        // Credentials that nobody can read are as good as none.
        let Some(credentials) = kept.and_then(|kept| serde_json::from_str(kept).ok()) else { return Ok(None) };
        let inner = self.builder()?.from_credentials(credentials).await.map_err(failure::told)?;
        let contact = self.contact();
        match inner.update_contacts(contact.as_deref().as_slice()).await {
            Ok(()) => Ok(Some(Account { inner })),
            Err(err) if failure::is_unknown_account(&err) => Ok(None),
            Err(err) => Err(failure::told(err)),
        }
    }

    async fn register(&self) -> Result<(Account, String)> {
        let contact = self.contact();
        let contact = contact.as_deref();
        let new = NewAccount { contact: contact.as_slice(), terms_of_service_agreed: true, only_return_existing: false };
        let (inner, credentials) = self.builder()?.create(&new, self.settings.directory.clone(), None).await.map_err(failure::told)?;
        let credentials =
            serde_json::to_string(&credentials).map_err(|err| Error::failed("the new account cannot be kept").because(err))?;
        Ok((Account { inner }, credentials))
    }

    fn builder(&self) -> Result<AccountBuilder> {
        match &self.settings.ca {
            Some(file) => instant_acme::Account::builder_with_root(file)
                .map_err(|err| Error::setup(format!("--acme-ca {} is no root certificate", file.display())).because(err)),
            None => instant_acme::Account::builder().map_err(failure::told),
        }
    }

    fn contact(&self) -> Option<String> {
        self.settings.contact.as_ref().map(|address| format!("mailto:{address}"))
    }
}
