//! Domains of apps: the rows first, then the routes. No process changes, so no deploy is waited for.

use super::Deployer;
use crate::error::Result;
use crate::model::Domain;
use crate::store::App;

impl Deployer {
    /// Lets an app answer at these domains, all or none; returns those that are new.
    pub async fn add_domains(&self, app: &App, domains: Vec<Domain>, by: &str) -> Result<Vec<Domain>> {
        let added = self.rooms().store.add_domains(app.id.clone(), domains, by.to_owned()).await?;
        self.announce(&app.id).await?;
        self.note_domains(app, "added", &added, by).await;
        self.certificates_wanted().notify_one();
        Ok(added)
    }

    /// Ends that an app answers at these domains, all or none.
    pub async fn remove_domains(&self, app: &App, domains: Vec<Domain>, by: &str) -> Result<()> {
        self.rooms().store.remove_domains(app.id.clone(), domains.clone()).await?;
        self.announce(&app.id).await?;
        self.publish_certificates().await?;
        self.note_domains(app, "removed", &domains, by).await;
        Ok(())
    }

    async fn note_domains(&self, app: &App, verb: &str, domains: &[Domain], by: &str) {
        if !domains.is_empty() {
            let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
            self.note(&app.id, "domains", &format!("{verb} {} ({by})", names.join(", "))).await;
        }
    }
}
