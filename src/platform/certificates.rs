//! Verbs about certificates of apps' domains.

use std::collections::HashMap;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, CertificateRow, Done, Input, OnOff, Reply, span};
use crate::error::{Error, Kind, Result};
use crate::model::{CertificateSource, Domain, Secret, Stamp};
use crate::route::Certificate;
use crate::store::{App, CertificateOrder, StoredCertificate};

impl Platform {
    pub(super) async fn list_certificates(&self, permit: &Permit) -> Result<Reply> {
        let (store, app) = (&self.rooms().store, permit.app());
        let domains = store.domains(app.id.clone()).await?;
        let certificates: Vec<_> = store.certificates().await?.into_iter().filter(|each| each.app == app.id).collect();
        let orders = store.certificate_orders().await?;
        let orders: HashMap<&Domain, &CertificateOrder> = orders.iter().map(|order| (&order.domain, order)).collect();
        let row = |domain: Domain| {
            let served = served(&certificates, &domain);
            let order = served.is_none_or(|it| it.source == CertificateSource::Auto).then(|| orders.get(&domain).copied()).flatten();
            CertificateRow {
                source: served.map(|it| it.source),
                issuer: served.and_then(|it| Some(Certificate::parse(&it.chain_pem, it.key_pem.expose()).ok()?.issuer().to_owned())),
                expires_at: served.map(|it| it.not_after),
                state: self.state_of_certificate(app, served, order),
                domain,
            }
        };
        Ok(Reply::Value(Answer::Certificates(domains.into_iter().map(row).collect())))
    }

    /// Keeps an owner's certificate once it is found to be of use.
    pub(super) async fn add_certificate(&self, permit: &Permit, domain: Domain, mut input: Input) -> Result<Reply> {
        let app = permit.app();
        if !self.rooms().store.domains(app.id.clone()).await?.contains(&domain) {
            return Err(Error::not_found(format!("the app has no domain `{domain}`"))
                .hint(format!("give it that first: ssh mini domains:add {} {domain}", app.name)));
        }
        let (chain_pem, key_pem) = chain_and_key(&input.read_text().await?);
        let certificate = useful_at(&domain, &chain_pem, &key_pem)?;
        let message =
            format!("`{domain}` is served with your certificate of {} until {}.", certificate.issuer(), day(certificate.not_after()));
        let row = StoredCertificate {
            domain,
            app: app.id.clone(),
            source: CertificateSource::Own,
            chain_pem,
            key_pem,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            added_at: Stamp::now(),
        };
        self.deployer.add_certificate(app, row, &permit.caller().name).await?;
        Ok(done(app, message))
    }

    pub(super) async fn remove_certificate(&self, permit: &Permit, domain: Domain) -> Result<Reply> {
        let app = permit.app();
        let message = format!("Forgot your certificate of `{domain}`.");
        let removed = self.deployer.remove_certificate(app, domain, &permit.caller().name).await;
        removed.map_err(|err| match err.kind() {
            Kind::NotFound => err.hint(format!("see its certificates: ssh mini certs {}", app.name)),
            _ => err,
        })?;
        Ok(done(app, message))
    }

    pub(super) async fn set_auto_certificates(&self, permit: &Permit, switch: OnOff) -> Result<Reply> {
        let app = permit.app();
        self.deployer.set_auto_certificates(app, switch == OnOff::On).await?;
        let message = match switch {
            OnOff::On => format!("Certificates for the domains of `{}` come by themselves.", app.name),
            OnOff::Off => format!("No certificate is ordered for a domain of `{}` any more; what there is serves until it ends.", app.name),
        };
        Ok(done(app, message))
    }

    fn state_of_certificate(&self, app: &App, served: Option<&StoredCertificate>, order: Option<&CertificateOrder>) -> String {
        let state = match served {
            _ if self.rooms().https_port.is_none() => return "this server speaks no HTTPS".to_owned(),
            Some(it) if has_ended(it) => Some("ended"),
            Some(_) => Some("live"),
            None => None,
        };
        // Its owner sees to an own one.
        let is_own = served.is_some_and(|it| it.source == CertificateSource::Own);
        let more = match order {
            _ if is_own => None,
            _ if !app.auto_certificates => Some("automatic is off".to_owned()),
            _ if self.rooms().settings.acme.is_none() => Some("this server orders none".to_owned()),
            Some(order) => Some(next_try(order)),
            None if state == Some("live") => None,
            None => Some("ordering".to_owned()),
        };
        state.map(str::to_owned).into_iter().chain(more).collect::<Vec<_>>().join("; ")
    }
}

/// Returns which of a domain's certificates is shown: its owner's own, else the automatic one; one that ended only without another.
fn served<'a>(certificates: &'a [StoredCertificate], domain: &Domain) -> Option<&'a StoredCertificate> {
    certificates.iter().filter(|each| each.domain == *domain).max_by_key(|each| (!has_ended(each), each.source))
}

fn has_ended(certificate: &StoredCertificate) -> bool {
    certificate.not_after <= Stamp::now()
}

fn next_try(order: &CertificateOrder) -> String {
    let Some(error) = &order.last_error else { return "ordering".to_owned() };
    match order.next_at.map(Stamp::ahead).filter(|ahead| !ahead.is_zero()) {
        Some(ahead) => format!("next try in {}: {error}", span(ahead)),
        None => format!("ordering again: {error}"),
    }
}

/// Parses what serves a domain from now on. Errors: it would not.
fn useful_at(domain: &Domain, chain: &str, key: &Secret) -> Result<Certificate> {
    if key.expose().contains("ENCRYPTED") {
        return Err(Error::usage("the private key has a passphrase").hint("send it without one: openssl pkey -in key.pem"));
    }
    let certificate = Certificate::parse(chain, key.expose())?;
    if !certificate.covers(&domain.host()) {
        let names = if certificate.names().is_empty() { "no domain".to_owned() } else { certificate.names().join(", ") };
        return Err(Error::usage(format!("the certificate is for {names}, not for `{domain}`")));
    }
    if certificate.has_ended() {
        return Err(Error::usage(format!("the certificate ended on {}", day(certificate.not_after()))));
    }
    if certificate.not_before() > Stamp::now() {
        return Err(Error::usage(format!("the certificate begins on {}", day(certificate.not_before()))));
    }
    Ok(certificate)
}

/// Takes the certificates and the key out of PEM text, in which they may stand in any order among other things (RFC 7468).
///
/// They are kept apart: a key is stored sealed, a chain is not.
fn chain_and_key(text: &str) -> (String, Secret) {
    let (mut chain, mut key, mut block) = (String::new(), String::new(), String::new());
    for line in text.lines().map(str::trim_end) {
        if line.starts_with("-----BEGIN ") {
            block.clear();
        }
        block = block + line + "\n";
        match line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----")) {
            Some("CERTIFICATE") => chain.push_str(&std::mem::take(&mut block)),
            Some(label) if label.ends_with("PRIVATE KEY") => key.push_str(&std::mem::take(&mut block)),
            _ => {}
        }
    }
    (chain, Secret::new(key))
}

fn day(stamp: Stamp) -> String {
    stamp.to_string().chars().take("2026-01-31".len()).collect()
}

fn done(app: &App, message: String) -> Reply {
    Reply::Value(Answer::Done(Done { message, app: Some(app.name.clone()), next: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::route::testing::pem;

    fn useful(domain: &str, text: &str) -> Result<Certificate> {
        let (chain, key) = chain_and_key(text);
        useful_at(&domain.parse().unwrap(), &chain, &key)
    }

    #[test]
    fn a_chain_and_its_key_are_taken_out_of_whatever_stands_around_them() {
        let (chain, key) = pem(&["example.com"]);

        for text in [format!("{chain}{key}"), format!("bag\n{key}\n  name: x\n{chain}"), format!("{key}{chain}").replace('\n', "\r\n")] {
            let (found, secret) = chain_and_key(&text);
            assert!(found.contains("BEGIN CERTIFICATE") && !found.contains("PRIVATE KEY") && secret.expose().contains("PRIVATE KEY"));
            assert!(useful("example.com", &text).is_ok());
        }
    }

    #[test]
    fn what_would_not_serve_the_domain_is_refused_in_words() {
        let (chain, key) = pem(&["example.com", "*.example.com"]);
        let (_, other) = pem(&["example.com"]);
        let refused = |domain: &str, text: String| useful(domain, &text).unwrap_err().sentence().to_owned();

        assert!(useful("a.example.com", &format!("{chain}{key}")).is_ok());
        assert!(refused("example.org", format!("{chain}{key}")).contains("not for `example.org`"));
        assert!(refused("example.com", format!("{chain}{other}")).contains("not this certificate's"));
        assert!(refused("example.com", chain.clone()).contains("no private key"));
        assert!(refused("example.com", key.clone()).contains("no certificate"));
        assert!(refused("example.com", format!("{chain}{}", key.replace("PRIVATE", "ENCRYPTED PRIVATE"))).contains("passphrase"));
    }

    #[test]
    fn the_next_try_says_why_there_is_one() {
        let order = |next_at| CertificateOrder {
            domain: "example.com".parse().unwrap(),
            app: crate::model::AppId::random(),
            failures: 1,
            next_at,
            last_error: Some("no such name".into()),
        };

        let later = Stamp::after(Duration::from_mins(181));
        assert_eq!(next_try(&order(Some(later))), "next try in 3h: no such name");
        assert_eq!(next_try(&order(None)), "ordering again: no such name");
    }
}
