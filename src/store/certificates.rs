//! Certificates of domains, got or brought, with what is remembered of getting them; keys are sealed like config.

use rusqlite::{OptionalExtension, Row, params};

use super::seal::{Label, Sealer};
use super::{Store, domains};
use crate::error::{Error, Result};
use crate::model::{AppId, CertificateSource, Domain, Secret, Stamp};

/// A certificate of a domain with the key that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCertificate {
    pub domain: Domain,
    /// Whose domain it is.
    pub app: AppId,
    pub source: CertificateSource,
    /// The certificate first, then those that vouch for it.
    pub chain_pem: String,
    pub key_pem: Secret,
    pub not_before: Stamp,
    pub not_after: Stamp,
    pub added_at: Stamp,
}

/// What did not work when a certificate was ordered for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateOrder {
    pub domain: Domain,
    pub app: AppId,
    /// How often in a row.
    pub failures: u32,
    /// When it is tried again; `None`: as soon as may be.
    pub next_at: Option<Stamp>,
    /// What went wrong the last time, in words for people.
    pub last_error: Option<String>,
}

// === impl Store ===

impl Store {
    /// Returns the certificates of all domains by domain, with their keys opened; an automatic one stands before an own one.
    ///
    /// A row that does not open is told in the log and left out: it must not take HTTPS from all the others.
    pub async fn certificates(&self) -> Result<Vec<StoredCertificate>> {
        self.read(|conn, sealer| {
            let mut query = conn.prepare_cached(
                "SELECT domain, app, source, chain_pem, sealed_key, not_before, not_after, added_at FROM certificates \
                 JOIN domains ON domains.name = certificates.domain ORDER BY domain, source",
            )?;
            let rows = query.query_map([], |row| Ok((row.get("domain")?, row.get("source")?, opened(row, sealer)?)))?;
            let mut certificates = Vec::new();
            for row in rows {
                let (domain, source, certificate): (Domain, CertificateSource, Result<StoredCertificate>) = row?;
                match certificate {
                    Ok(certificate) => certificates.push(certificate),
                    Err(err) => tracing::error!(%domain, %source, ?err, "the key of a certificate does not open; it is left out"),
                }
            }
            Ok(certificates)
        })
        .await
    }

    /// Keeps a certificate; an earlier one of the same domain and source is replaced.
    ///
    /// Errors: `NotFound` when the domain is not the app's, or not any more.
    pub async fn put_certificate(&self, certificate: StoredCertificate) -> Result<()> {
        self.write(move |conn, sealer| {
            let StoredCertificate { domain, app, source, chain_pem, key_pem, not_before, not_after, added_at } = certificate;
            domains::check_is_of(conn, &app, &domain)?;
            let sealed = sealer.seal(Label::Certificate(&app, &domain), key_pem.expose().as_bytes());
            conn.execute(
                "INSERT OR REPLACE INTO certificates (domain, source, chain_pem, sealed_key, not_before, not_after, added_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![domain, source, chain_pem, sealed, not_before, not_after, added_at],
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets a certificate; without one it is [`Kind::NotFound`](crate::error::Kind::NotFound).
    pub async fn remove_certificate(&self, app: AppId, domain: Domain, source: CertificateSource) -> Result<()> {
        self.write(move |conn, _| {
            domains::check_is_of(conn, &app, &domain)?;
            match conn.execute("DELETE FROM certificates WHERE domain = ?1 AND source = ?2", params![domain, source])? {
                0 => Err(Error::not_found(format!("there is no certificate of `{domain}` that was added"))),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Returns what did not work so far, by domain.
    pub async fn certificate_orders(&self) -> Result<Vec<CertificateOrder>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached(
                "SELECT domain, app, failures, next_at, last_error FROM certificate_orders \
                 JOIN domains ON domains.name = certificate_orders.domain ORDER BY domain",
            )?;
            Ok(query.query_map([], order)?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Notes that an order did not work out, and when the next one may begin; a domain that is gone meanwhile is no error.
    pub async fn note_order_failure(&self, domain: Domain, error: String, next_at: Option<Stamp>) -> Result<()> {
        self.write(move |conn, _| {
            conn.execute(
                "INSERT INTO certificate_orders (domain, failures, next_at, last_error) SELECT name, 1, ?2, ?3 FROM domains WHERE name = ?1 \
                 ON CONFLICT (domain) DO UPDATE SET failures = failures + 1, next_at = excluded.next_at, last_error = excluded.last_error",
                params![domain, next_at, error],
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets what did not work for a domain.
    pub async fn clear_order(&self, domain: Domain) -> Result<()> {
        self.write(move |conn, _| {
            conn.execute("DELETE FROM certificate_orders WHERE domain = ?1", [domain])?;
            Ok(())
        })
        .await
    }

    /// Opens the credentials of the account at the authority with this directory; `None` if there is no account.
    pub async fn acme_account(&self, directory: String) -> Result<Option<Secret>> {
        self.read(move |conn, sealer| {
            let query = "SELECT sealed_credentials FROM acme_accounts WHERE directory = ?1";
            let sealed: Option<Vec<u8>> = conn.query_row(query, [&directory], |row| row.get(0)).optional()?;
            sealed.map(|sealed| text(sealer, Label::Account(&directory), &sealed)).transpose()
        })
        .await
    }

    /// Keeps the credentials of an account; an earlier one at the same authority is replaced.
    pub async fn set_acme_account(&self, directory: String, credentials: Secret) -> Result<()> {
        self.write(move |conn, sealer| {
            let sealed = sealer.seal(Label::Account(&directory), credentials.expose().as_bytes());
            let insert = "INSERT OR REPLACE INTO acme_accounts (directory, sealed_credentials) VALUES (?1, ?2)";
            conn.execute(insert, params![directory, sealed])?;
            Ok(())
        })
        .await
    }
}

fn opened(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Result<StoredCertificate>> {
    let (domain, app): (Domain, AppId) = (row.get("domain")?, row.get("app")?);
    let key_pem = match text(sealer, Label::Certificate(&app, &domain), &row.get::<_, Vec<u8>>("sealed_key")?) {
        Ok(key_pem) => key_pem,
        Err(err) => return Ok(Err(err)),
    };
    Ok(Ok(StoredCertificate {
        domain,
        app,
        source: row.get("source")?,
        chain_pem: row.get("chain_pem")?,
        key_pem,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        added_at: row.get("added_at")?,
    }))
}

fn order(row: &Row<'_>) -> rusqlite::Result<CertificateOrder> {
    Ok(CertificateOrder {
        domain: row.get("domain")?,
        app: row.get("app")?,
        failures: row.get("failures")?,
        next_at: row.get("next_at")?,
        last_error: row.get("last_error")?,
    })
}

fn text(sealer: &Sealer, label: Label<'_>, ciphertext: &[u8]) -> Result<Secret> {
    let plain = sealer.open_sealed(label, ciphertext)?;
    String::from_utf8(plain).map(Secret::new).map_err(|_| Error::setup("the database holds a key that is no text"))
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::super::{App, AppSetting};
    use super::*;
    use crate::error::Kind;

    fn domain(name: &str) -> Domain {
        name.parse().unwrap()
    }

    fn certificate(app: &App, name: &str, source: CertificateSource, key: &str) -> StoredCertificate {
        let stamp = Stamp::from_millis;
        StoredCertificate {
            domain: domain(name),
            app: app.id.clone(),
            source,
            chain_pem: "chain".into(),
            key_pem: Secret::new(key.into()),
            not_before: stamp(1),
            not_after: stamp(2),
            added_at: stamp(3),
        }
    }

    async fn with_domains() -> (tempfile::TempDir, Store, App) {
        let (dir, store, app) = with_app().await;
        store.add_domains(app.id.clone(), vec![domain("a.example.com"), domain("b.example.com")], "anna".into()).await.unwrap();
        (dir, store, app)
    }

    #[tokio::test]
    async fn a_certificate_is_kept_sealed_until_its_domain_goes() {
        use CertificateSource::{Auto, Own};
        let (dir, store, app) = with_domains().await;
        let own = certificate(&app, "a.example.com", Own, CANARY);

        store.put_certificate(certificate(&app, "a.example.com", Own, "first")).await.unwrap();
        for each in [own.clone(), certificate(&app, "a.example.com", Auto, "x"), certificate(&app, "b.example.com", Auto, "y")] {
            store.put_certificate(each).await.unwrap();
        }

        let all = store.certificates().await.unwrap();
        let kept: Vec<_> = all.iter().map(|each| (each.domain.as_str(), each.source)).collect();
        assert_eq!(kept, [("a.example.com", Auto), ("a.example.com", Own), ("b.example.com", Auto)]);
        assert_eq!(all[1], own);
        assert!(!holds_canary(dir.path()));
        let remove = |source| store.remove_certificate(app.id.clone(), domain("a.example.com"), source);
        remove(Own).await.unwrap();
        assert_eq!(remove(Own).await.unwrap_err().kind(), Kind::NotFound);
        store.remove_domains(app.id.clone(), vec![domain("a.example.com")]).await.unwrap();
        assert_eq!(store.certificates().await.unwrap().len(), 1);
        store.destroy_app(app.id).await.unwrap();
        assert_eq!(store.certificates().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_certificate_of_a_domain_that_the_app_does_not_have_is_refused() {
        let (_dir, store, app) = with_domains().await;
        let shop = store.create_app(AppId::random(), "shop".parse().unwrap(), "ben".into()).await.unwrap();

        for (app, name) in [(&app, "c.example.com"), (&shop, "a.example.com")] {
            let put = store.put_certificate(certificate(app, name, CertificateSource::Own, "x")).await;
            let removed = store.remove_certificate(app.id.clone(), domain(name), CertificateSource::Own).await;
            assert_eq!((put.unwrap_err().kind(), removed.unwrap_err().kind()), (Kind::NotFound, Kind::NotFound), "{name}");
        }
    }

    #[tokio::test]
    async fn a_key_that_was_moved_to_another_domain_or_app_does_not_open() {
        let (_dir, store, app) = with_domains().await;
        let shop = store.create_app(AppId::random(), "shop".parse().unwrap(), "ben".into()).await.unwrap();
        store.put_certificate(certificate(&app, "a.example.com", CertificateSource::Own, "x")).await.unwrap();
        let change = |sql: &'static str, id: AppId| store.write(move |conn, _| Ok(conn.execute(sql, [id])?));

        change("UPDATE certificates SET domain = 'b.example.com' WHERE ?1 != ''", shop.id.clone()).await.unwrap();
        assert_eq!(store.certificates().await.unwrap(), []);

        change("UPDATE certificates SET domain = 'a.example.com' WHERE ?1 != ''", shop.id.clone()).await.unwrap();
        assert_eq!(store.certificates().await.unwrap().len(), 1);
        change("UPDATE domains SET app = ?1", shop.id).await.unwrap();
        assert_eq!(store.certificates().await.unwrap(), []);
    }

    #[tokio::test]
    async fn failed_orders_are_counted_until_one_works_out_or_the_domain_goes() {
        let (_dir, store, app) = with_domains().await;
        let note = |name: &str, error: &str, at| store.note_order_failure(domain(name), error.into(), at);
        let at = Some(Stamp::from_millis(7));

        note("a.example.com", "no such name", None).await.unwrap();
        note("a.example.com", "connection refused", at).await.unwrap();
        note("b.example.com", "x", at).await.unwrap();
        note("gone.example.com", "x", at).await.unwrap();
        store.clear_order(domain("b.example.com")).await.unwrap();

        let error = Some("connection refused".to_owned());
        let order = CertificateOrder { domain: domain("a.example.com"), app: app.id.clone(), failures: 2, next_at: at, last_error: error };
        assert_eq!(store.certificate_orders().await.unwrap(), [order]);
        store.remove_domains(app.id, vec![domain("a.example.com")]).await.unwrap();
        assert_eq!(store.certificate_orders().await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_account_is_kept_sealed_for_each_authority() {
        let (dir, store) = fresh();
        let set = |directory: &str, text: &str| store.set_acme_account(directory.into(), Secret::new(text.into()));

        set("https://one.example/dir", "old").await.unwrap();
        set("https://one.example/dir", CANARY).await.unwrap();

        let account = |directory: &str| store.acme_account(directory.into());
        assert_eq!(account("https://one.example/dir").await.unwrap(), Some(Secret::new(CANARY.into())));
        assert_eq!(account("https://two.example/dir").await.unwrap(), None);
        assert!(!holds_canary(dir.path()));
    }

    #[tokio::test]
    async fn certificates_come_by_themselves_unless_an_owner_says_no() {
        let (_dir, store, app) = with_app().await;
        assert!(app.auto_certificates);

        store.set_app(app.id.clone(), vec![AppSetting::AutoCertificates(false)]).await.unwrap();

        assert!(!store.app(app.id).await.unwrap().auto_certificates);
    }
}
