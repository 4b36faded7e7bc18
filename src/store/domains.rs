//! Domains of apps' owners' own: each leads to one app.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, apps};
use crate::error::{Error, Result};
use crate::model::limits::MAX_DOMAINS;
use crate::model::{AppId, Domain, Stamp};

/// A domain of an app, with who gave it to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainRow {
    pub name: Domain,
    pub created_at: Stamp,
    pub created_by: String,
}

// === impl Store ===

impl Store {
    /// Gives an app these domains, all or none; returns those that it did not have.
    ///
    /// Errors: `Busy` for one that another app has, `Usage` when an app would have more than [`MAX_DOMAINS`].
    pub async fn add_domains(&self, app: AppId, domains: Vec<Domain>, by: String) -> Result<Vec<Domain>> {
        self.write(move |conn, _| {
            apps::app(conn, &app)?;
            let mut added = Vec::new();
            for domain in domains {
                if add(conn, &app, &domain, &by)? {
                    added.push(domain);
                }
            }
            let all: u32 = conn.query_row("SELECT count(*) FROM domains WHERE app = ?1", [&app], |row| row.get(0))?;
            if all > MAX_DOMAINS {
                return Err(Error::usage(format!("an app may have {MAX_DOMAINS} domains, and these would be {all}")));
            }
            Ok(added)
        })
        .await
    }

    /// Takes domains away from an app, all or none. Errors: `NotFound` for one that it does not have, whoever has it.
    pub async fn remove_domains(&self, app: AppId, domains: Vec<Domain>) -> Result<()> {
        self.write(move |conn, _| {
            for domain in domains {
                if conn.execute("DELETE FROM domains WHERE name = ?1 AND app = ?2", params![domain, app])? == 0 {
                    return Err(not_of(&domain));
                }
            }
            Ok(())
        })
        .await
    }

    /// Returns an app's domains by name.
    pub async fn domains(&self, app: AppId) -> Result<Vec<Domain>> {
        Ok(self.domain_rows(app).await?.into_iter().map(|row| row.name).collect())
    }

    /// As [`Self::domains`], with who gave them to the app.
    pub async fn domain_rows(&self, app: AppId) -> Result<Vec<DomainRow>> {
        self.read(move |conn, _| {
            let mut query = conn.prepare_cached("SELECT name, created_at, created_by FROM domains WHERE app = ?1 ORDER BY name")?;
            let rows = query.query_map([app], |row| {
                Ok(DomainRow { name: row.get("name")?, created_at: row.get("created_at")?, created_by: row.get("created_by")? })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Returns the domains of all apps by name.
    pub async fn all_domains(&self) -> Result<Vec<(AppId, Domain)>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached("SELECT app, name FROM domains ORDER BY name")?;
            Ok(query.query_map([], |row| Ok((row.get("app")?, row.get("name")?)))?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Errors: `NotFound` for a domain that is not the app's, whoever has it.
pub(super) fn check_is_of(conn: &Connection, app: &AppId, domain: &Domain) -> Result<()> {
    let query = "SELECT EXISTS (SELECT 1 FROM domains WHERE name = ?1 AND app = ?2)";
    if conn.query_row(query, params![domain, app], |row| row.get(0))? { Ok(()) } else { Err(not_of(domain)) }
}

fn not_of(domain: &Domain) -> Error {
    Error::not_found(format!("the app has no domain `{domain}`"))
}

/// Gives an app a domain and tells whether that is new.
fn add(conn: &Connection, app: &AppId, domain: &Domain, by: &str) -> Result<bool> {
    let owner: Option<AppId> = conn.query_row("SELECT app FROM domains WHERE name = ?1", [domain], |row| row.get(0)).optional()?;
    match owner {
        Some(owner) if owner == *app => Ok(false),
        Some(_) => Err(Error::busy(format!("the domain `{domain}` is taken")).hint("another app of this server has it: remove it there")),
        None => {
            let insert = "INSERT INTO domains (name, app, created_at, created_by) VALUES (?1, ?2, ?3, ?4)";
            conn.execute(insert, params![domain, app, Stamp::now(), by])?;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    fn names(text: &str) -> Vec<Domain> {
        text.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_domain_is_one_apps_until_it_is_taken_away_or_the_app_is_gone() {
        let (_dir, store, blog) = with_app().await;
        let shop = store.create_app(AppId::random(), "shop".parse().unwrap(), "ben".into()).await.unwrap();
        let add = |app: &super::super::App, text| store.add_domains(app.id.clone(), names(text), "anna".into());

        assert_eq!(add(&blog, "www.example.com example.com").await.unwrap(), names("www.example.com example.com"));
        assert_eq!(add(&blog, "example.com a.example.com").await.unwrap(), names("a.example.com"));
        assert_eq!(add(&shop, "b.example.com example.com").await.unwrap_err().kind(), Kind::Busy);

        assert_eq!(store.domains(blog.id.clone()).await.unwrap(), names("a.example.com example.com www.example.com"));
        assert_eq!(store.domains(shop.id.clone()).await.unwrap(), [], "all or none");
        let foreign = store.remove_domains(shop.id.clone(), names("example.com")).await.unwrap_err();
        let missing = store.remove_domains(shop.id.clone(), names("x.example.com")).await.unwrap_err();
        assert_eq!((foreign.kind(), foreign.sentence()), (Kind::NotFound, missing.sentence().replace("x.", "").as_str()));
        store.remove_domains(blog.id.clone(), names("example.com")).await.unwrap();
        add(&shop, "example.com").await.unwrap();
        let half = store.remove_domains(blog.id.clone(), names("www.example.com example.com")).await.unwrap_err();
        assert_eq!(half.kind(), Kind::NotFound);
        let name = |text: &str| names(text).remove(0);
        let all =
            [(blog.id.clone(), name("a.example.com")), (shop.id.clone(), name("example.com")), (blog.id.clone(), name("www.example.com"))];
        assert_eq!(store.all_domains().await.unwrap(), all);
        store.destroy_app(blog.id).await.unwrap();
        add(&shop, "www.example.com").await.unwrap();
        assert_eq!(store.domain_rows(shop.id).await.unwrap()[1].created_by, "anna");
    }

    #[tokio::test]
    async fn an_app_has_a_bounded_number_of_domains() {
        let (_dir, store, app) = with_app().await;
        let many = |range: std::ops::Range<u32>| range.map(|number| format!("n{number}.example.com").parse().unwrap()).collect();

        store.add_domains(app.id.clone(), many(0..MAX_DOMAINS), "anna".into()).await.unwrap();

        let err = store.add_domains(app.id.clone(), many(MAX_DOMAINS..MAX_DOMAINS + 1), "anna".into()).await.unwrap_err();
        assert_eq!(err.kind(), Kind::Usage);
        assert_eq!(store.domains(app.id).await.unwrap().len(), MAX_DOMAINS as usize);
    }
}
