//! An order: prove that the domain leads here, have a key signed, fetch the chain.

use std::time::Duration;

use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, Problem, RetryPolicy};
use tokio::time::{sleep, timeout};

use super::failure;
use super::{Account, Proof, Showcase};
use crate::acme::proof::Shown;
use crate::error::{Error, Result};
use crate::model::Domain;

/// For an order as a whole, both ways to prove it included.
const ORDER_DEADLINE: Duration = Duration::from_mins(2);

/// While the authority looks, it is asked what it has found, each time after twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_secs(4);

/// A certificate as the authority gave it out, with the key that was made for it.
pub struct Issued {
    pub chain_pem: String,
    /// PKCS #8, ECDSA P-256.
    pub key_pem: String,
}

/// Why one way did not lead to a certificate.
enum Failed {
    /// The authority looked, and did not find the proof.
    Unproven(Problem),
    /// It does not offer this way for the domain.
    NotOffered,
    Otherwise(Error),
}

// === impl Account ===

impl Account {
    /// Orders a certificate for one domain with a new key, and waits for it, two minutes at most.
    ///
    /// It is proven by HTTP-01, and by TLS-ALPN-01 when the authority did not find that.
    ///
    /// # Errors
    /// Of kind `Failed` with the authority's own words, `Unavailable` when it cannot be reached or does not answer in time.
    pub async fn order(&self, domain: &Domain, showcase: &dyn Showcase) -> Result<Issued> {
        let late = |_| Err(Error::unavailable("the certificate authority was not done within two minutes"));
        timeout(ORDER_DEADLINE, self.order_either_way(domain, showcase)).await.unwrap_or_else(late)
    }

    async fn order_either_way(&self, domain: &Domain, showcase: &dyn Showcase) -> Result<Issued> {
        let first = match self.order_by(ChallengeType::Http01, domain, showcase).await {
            // A name that leads nowhere does so the other way too, and refusals are counted.
            Err(Failed::Unproven(problem)) if failure::is_about_dns(&problem) => return Err(failure::unproven(&problem)),
            Err(failed @ (Failed::Unproven(_) | Failed::NotOffered)) => Error::from(failed),
            done => return done.map_err(Error::from),
        };
        // A failed proof ends its order (RFC 8555 §7.1.6): the second way takes a new one.
        self.order_by(ChallengeType::TlsAlpn01, domain, showcase).await.map_err(|failed| match failed {
            Failed::Otherwise(err) => err,
            Failed::NotOffered => first,
            Failed::Unproven(problem) => failure::unproven_twice(&first, &problem),
        })
    }

    async fn order_by(&self, way: ChallengeType, domain: &Domain, showcase: &dyn Showcase) -> std::result::Result<Issued, Failed> {
        let names = [Identifier::Dns(domain.as_str().to_owned())];
        let mut order = self.inner.new_order(&NewOrder::new(&names)).await?;
        if let Some(shown) = show(&mut order, way, showcase).await? {
            verdict(&mut order).await?;
            drop(shown);
        }
        let patience = RetryPolicy::new().initial_delay(FIRST_LOOK).timeout(ORDER_DEADLINE);
        if order.poll_ready(&patience).await? != OrderStatus::Ready {
            return Err(Error::failed("the certificate authority has given the order up").into());
        }
        let key_pem = order.finalize().await?;
        let chain_pem = order.poll_certificate(&patience).await?;
        Ok(Issued { chain_pem, key_pem })
    }
}

/// Shows what the order's domain is to be proven with and tells the authority to look; `None` when it has lately seen it.
async fn show<'a>(order: &mut Order, way: ChallengeType, showcase: &'a dyn Showcase) -> std::result::Result<Option<Shown<'a>>, Failed> {
    let mut authorizations = order.authorizations();
    let mut authorization = authorizations.next().await.ok_or_else(nothing_to_prove)??;
    if authorization.status == AuthorizationStatus::Valid {
        return Ok(None);
    }
    let mut challenge = authorization.challenge(way).ok_or(Failed::NotOffered)?;
    let shown = Shown::new(Proof::of(&challenge)?, showcase)?;
    challenge.set_ready().await?;
    Ok(Some(shown))
}

/// Waits until the authority has looked; who calls has the deadline.
async fn verdict(order: &mut Order) -> std::result::Result<(), Failed> {
    let mut pause = FIRST_LOOK;
    loop {
        sleep(pause).await;
        pause = LAST_LOOK.min(pause * 2);
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.ok_or_else(nothing_to_prove)??;
        let found = authorization.refresh().await?;
        match found.status {
            AuthorizationStatus::Valid => return Ok(()),
            AuthorizationStatus::Pending => {}
            _ => {
                let problem = found.challenges.iter().find_map(|challenge| challenge.error.clone());
                let silent = || Error::failed("the certificate authority did not find the proof, and does not say why").into();
                return Err(problem.map_or_else(silent, Failed::Unproven));
            }
        }
    }
}

fn nothing_to_prove() -> Failed {
    Error::failed("the certificate authority's order says nothing of the domain").into()
}

// === impl Failed ===

impl From<Error> for Failed {
    fn from(err: Error) -> Self {
        Failed::Otherwise(err)
    }
}

impl From<instant_acme::Error> for Failed {
    fn from(err: instant_acme::Error) -> Self {
        Failed::Otherwise(failure::told(err))
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unproven(problem) => failure::unproven(&problem),
            Failed::NotOffered => Error::failed("the certificate authority offers neither HTTP-01 nor TLS-ALPN-01"),
            Failed::Otherwise(err) => err,
        }
    }
}
