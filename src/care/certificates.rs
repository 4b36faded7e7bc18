//! Certificates for apps' domains: ordered when there is none, renewed long before they end, one at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::due;
use super::showcase::Table;
use crate::acme::{Acme, Issued};
use crate::deploy::Deployer;
use crate::error::{Error, Result};
use crate::logs::{LogLine, Source};
use crate::model::{AppId, CertificateSource, Domain, Secret, Stamp};
use crate::route::Certificate;
use crate::store::{CertificateOrder, StoredCertificate};

/// The place in an app's log where it reads of its certificates.
const PROCESS: &str = "certs";

/// Orders what is due for as long as the server runs: once a pause of the settings, and at once after a nudge.
pub(super) async fn keep(deployer: &Deployer) {
    let settings = &deployer.rooms().settings;
    // Without TLS nobody would see them.
    let (Some(acme), Some(_)) = (&settings.acme, &settings.https) else { return std::future::pending().await };
    let mut orders = Orders { deployer, acme: Acme::new(acme.clone()), renew_after: acme.renew_after, resting: HashMap::new() };
    loop {
        match orders.next().await {
            Ok(Some(wanted)) => {
                orders.order(wanted).await;
                // However the clock jumps and whoever nudges, an authority hears of us no more often than this.
                sleep(acme.pause).await;
                continue;
            }
            Ok(None) => {}
            Err(err) => tracing::warn!(?err, "which certificates are wanted cannot be read"),
        }
        let _ = timeout(acme.pause, deployer.certificates_wanted().notified()).await;
    }
}

struct Orders<'a> {
    deployer: &'a Deployer,
    acme: Acme,
    renew_after: Option<Duration>,
    /// Until when a domain is left alone, by a clock that does not jump.
    resting: HashMap<Domain, Rest>,
}

struct Rest {
    until: Instant,
    /// It has a certificate: when that goes, so does the rest.
    is_issued: bool,
}

/// A domain that a certificate is due for.
struct Wanted {
    app: AppId,
    domain: Domain,
    has_certificate: bool,
    /// Orders that failed in a row.
    failures: u32,
}

// === impl Orders ===

impl Orders<'_> {
    /// Finds the domain whose turn it is: first those without any, and of them who has been refused least.
    async fn next(&self) -> Result<Option<Wanted>> {
        let store = &self.deployer.rooms().store;
        let willing: HashMap<AppId, bool> = store.apps().await?.into_iter().map(|app| (app.id, app.auto_certificates)).collect();
        let certificates = store.certificates().await?;
        let orders = store.certificate_orders().await?;
        let all = store.all_domains().await?.into_iter().filter(|(app, _)| willing.get(app) == Some(&true));
        let due = all.filter_map(|(app, domain)| self.wanted(app, domain, &certificates, &orders));
        Ok(due.min_by_key(|wanted| (wanted.has_certificate, wanted.failures)))
    }

    fn wanted(&self, app: AppId, domain: Domain, certificates: &[StoredCertificate], orders: &[CertificateOrder]) -> Option<Wanted> {
        let of = |source| certificates.iter().find(|certificate| certificate.domain == domain && certificate.source == source);
        let has_own = of(CertificateSource::Own).is_some_and(|own| own.not_after > Stamp::now());
        let certificate = of(CertificateSource::Auto);
        let order = orders.iter().find(|order| order.domain == domain);
        let rests = self.resting.get(&domain).is_some_and(|rest| rest.until > Instant::now() && (certificate.is_some() || !rest.is_issued));
        let is_due = !has_own && !rests && due::is_due(certificate, order, self.renew_after);
        is_due.then(|| Wanted { app, has_certificate: certificate.is_some(), failures: order.map_or(0, |order| order.failures), domain })
    }

    async fn order(&mut self, wanted: Wanted) {
        let said = match self.issue(&wanted).await {
            Ok((said, rest)) => {
                self.resting.insert(wanted.domain, Rest { until: Instant::now() + rest, is_issued: true });
                said
            }
            Err(err) => self.refused(&wanted, &err).await,
        };
        let line = LogLine::new(Stamp::now(), Source::mini(PROCESS), &said);
        if let Err(err) = self.deployer.rooms().logs.append(wanted.app, line).await {
            tracing::warn!(?err, said, "a line about a certificate could not be added to the app's log");
        }
    }

    /// Orders a certificate, keeps it and serves with it; returns what to say of it and how long it is left alone.
    async fn issue(&self, wanted: &Wanted) -> Result<(String, Duration)> {
        let rooms = self.deployer.rooms();
        let directory = self.acme.directory().to_owned();
        let kept = rooms.store.acme_account(directory.clone()).await?;
        let (account, credentials) = self.acme.account(kept.as_ref().map(Secret::expose)).await?;
        if let Some(credentials) = credentials {
            rooms.store.set_acme_account(directory, Secret::new(credentials)).await?;
        }
        let issued = account.order(&wanted.domain, &Table(rooms.routes.certificates())).await?;
        let (certificate, said) = checked(wanted, issued)?;
        let rest = due::rest(&certificate, self.renew_after);
        rooms.store.put_certificate(certificate).await?;
        rooms.store.clear_order(wanted.domain.clone()).await?;
        self.deployer.publish_certificates().await?;
        Ok((said, rest))
    }

    /// Notes a failure and when the next try is; returns what to say of it.
    async fn refused(&mut self, wanted: &Wanted, err: &Error) -> String {
        let pause = due::pause(wanted.failures.saturating_add(1), wanted.has_certificate);
        let (domain, next_at) = (wanted.domain.clone(), Stamp::after(pause));
        tracing::warn!(%domain, ?err, %next_at, "a certificate could not be had");
        let noted = self.deployer.rooms().store.note_order_failure(domain.clone(), err.sentence().to_owned(), Some(next_at)).await;
        if let Err(err) = noted {
            tracing::warn!(%domain, ?err, "the failure of an order cannot be noted");
            self.resting.insert(domain.clone(), Rest { until: Instant::now() + pause, is_issued: false });
        }
        format!("no certificate for {domain}: {}; the next try is at {next_at}", err.sentence())
    }
}

/// An authority is a stranger too: what it sends has to be what was ordered.
fn checked(wanted: &Wanted, issued: Issued) -> Result<(StoredCertificate, String)> {
    let certificate = Certificate::parse(&issued.chain_pem, &issued.key_pem)?;
    if !certificate.covers(&wanted.domain.host()) {
        return Err(Error::failed("the certificate authority has issued a certificate for another name"));
    }
    let said = format!("{} has a certificate by {} until {}", wanted.domain, certificate.issuer(), certificate.not_after());
    let stored = StoredCertificate {
        domain: wanted.domain.clone(),
        app: wanted.app.clone(),
        source: CertificateSource::Auto,
        chain_pem: issued.chain_pem,
        key_pem: Secret::new(issued.key_pem),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        added_at: Stamp::now(),
    };
    Ok((stored, said))
}
