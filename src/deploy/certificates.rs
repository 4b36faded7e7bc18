//! Certificates of apps' domains: the rows first, then the table that handshakes read. No process changes, so no deploy is waited for.

use super::Deployer;
use crate::error::Result;
use crate::model::{AppName, CertificateSource, Domain};
use crate::route::Certificate;
use crate::store::{App, AppSetting, StoredCertificate};

impl Deployer {
    /// Shows handshakes what the rows hold; of two certificates of a domain its owner's own. One that has ended shows nobody anything.
    pub async fn publish_certificates(&self) -> Result<()> {
        let _one_at_a_time = self.inner.certifying.lock().await;
        // By domain and source: an own one comes last, and the last one counts.
        let rows = self.rooms().store.certificates().await?;
        let table = rows.iter().filter_map(|row| Some((row.domain.to_string(), usable(row)?))).collect();
        self.rooms().routes.certificates().publish(table);
        Ok(())
    }

    /// Serves a domain with a certificate; an earlier one of the same source is replaced.
    pub async fn add_certificate(&self, app: &App, certificate: StoredCertificate, by: &str) -> Result<()> {
        let domain = certificate.domain.clone();
        self.rooms().store.put_certificate(certificate).await?;
        self.publish_certificates().await?;
        self.note(&app.id, "certs", &format!("a certificate of {domain} was added ({by})")).await;
        Ok(())
    }

    /// Forgets a certificate that was brought.
    pub async fn remove_certificate(&self, app: &App, domain: Domain, by: &str) -> Result<()> {
        self.rooms().store.remove_certificate(app.id.clone(), domain.clone(), CertificateSource::Own).await?;
        self.publish_certificates().await?;
        self.note(&app.id, "certs", &format!("the certificate of {domain} was removed ({by})")).await;
        Ok(())
    }

    /// Sets whether certificates for an app's domains are got by themselves. Where they are, what failed so far is tried again at once.
    pub async fn set_auto_certificates(&self, app: &App, is: bool) -> Result<()> {
        let store = &self.rooms().store;
        store.set_app(app.id.clone(), vec![AppSetting::AutoCertificates(is)]).await?;
        if is {
            for domain in store.domains(app.id.clone()).await? {
                store.clear_order(domain).await?;
            }
            self.certificates_wanted().notify_one();
        }
        Ok(())
    }

    /// Returns the address that people are told of an app: a domain of its owner's that is served over HTTPS, else its own name.
    #[must_use]
    pub fn url_of(&self, app: &AppName) -> String {
        let rooms = self.rooms();
        match (rooms.https_port, rooms.routes.secure_domain(app)) {
            (Some(443), Some(domain)) => format!("https://{domain}"),
            (Some(port), Some(domain)) => format!("https://{domain}:{port}"),
            _ => rooms.settings.app_url(app, rooms.http_port),
        }
    }
}

fn usable(row: &StoredCertificate) -> Option<Certificate> {
    let parsed = Certificate::parse(&row.chain_pem, row.key_pem.expose());
    let told =
        parsed.inspect_err(|err| tracing::error!(domain = %row.domain, source = %row.source, ?err, "a certificate cannot be served"));
    told.ok().filter(|certificate| !certificate.has_ended())
}
