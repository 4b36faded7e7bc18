//! Verbs about domains of apps' owners' own.

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, DomainRow, Done, Reply};
use crate::error::{Error, Kind, Result};
use crate::model::Domain;
use crate::store::App;

impl Platform {
    pub(super) async fn list_domains(&self, permit: &Permit) -> Result<Reply> {
        let rows = self.rooms().store.domain_rows(permit.app().id.clone()).await?;
        let rows = rows.into_iter().map(|row| DomainRow { domain: row.name, by: row.created_by, added_at: row.created_at });
        Ok(Reply::Value(Answer::Domains(rows.collect())))
    }

    pub(super) async fn add_domains(&self, permit: &Permit, domains: Vec<Domain>) -> Result<Reply> {
        let app = permit.app();
        if let Some(zone) = &self.rooms().settings.domain {
            domains.iter().try_for_each(|domain| check_is_outside(zone, domain))?;
        }
        let added = self.deployer.add_domains(app, domains.clone(), &permit.caller().name).await?;
        let already = if added.is_empty() { " already" } else { "" };
        let message = format!("`{}` answers at {}{already}.", app.name, listed(&domains));
        Ok(done(app, message, self.how_to_point(&domains)))
    }

    pub(super) async fn remove_domains(&self, permit: &Permit, domains: Vec<Domain>) -> Result<Reply> {
        let app = permit.app();
        let message = format!("`{}` does not answer at {} any more.", app.name, listed(&domains));
        let removed = self.deployer.remove_domains(app, domains, &permit.caller().name).await;
        removed.map_err(|err| match err.kind() {
            Kind::NotFound => err.hint(format!("see its domains: ssh mini domains {}", app.name)),
            _ => err,
        })?;
        Ok(done(app, message, Vec::new()))
    }

    /// Says what has to stand in DNS, a line for each domain.
    fn how_to_point(&self, domains: &[Domain]) -> Vec<String> {
        let address = self.rooms().settings.public_ip.map_or_else(|| "<the address of this machine>".to_owned(), |ip| ip.to_string());
        let records = domains.iter().map(|domain| format!("{domain}. A {address}"));
        std::iter::once("Where the domain is kept, it has to point here:".to_owned()).chain(records).collect()
    }
}

/// The server's own domain leads to the server, and one label before it to the app of that name.
fn check_is_outside(zone: &str, domain: &Domain) -> Result<()> {
    if domain.is_just_below(zone) {
        return Err(Error::usage(format!("`{domain}` is the server's own"))
            .hint(format!("every app answers at APP.{zone} by itself; deeper names, as www.blog.{zone}, can be added")));
    }
    Ok(())
}

fn listed(domains: &[Domain]) -> String {
    domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(", ")
}

fn done(app: &App, message: String, next: Vec<String>) -> Reply {
    Reply::Value(Answer::Done(Done { message, app: Some(app.name.clone()), next }))
}
