//! Links: containers of one app reach those of another by its name. The row first, then what runs; the next resync mends what is left.

use super::Deployer;
use super::turns::ReleaseTurn;
use crate::engine::{ContainerSummary, Join};
use crate::error::Result;
use crate::model::AppId;
use crate::store::App;

impl Deployer {
    /// Lets `app` reach `target` by its name, also what runs now; tells whether that is new. On an error it is as before.
    pub async fn link(&self, app: &App, target: &App) -> Result<bool> {
        let _turns = self.both_turns(&app.id, &target.id).await;
        let store = &self.rooms().store;
        let is_new = store.link(app.id.clone(), target.id.clone()).await?;
        if let Err(err) = self.join_running(&app.id, &target.id).await {
            if is_new {
                store.unlink(app.id.clone(), target.id.clone()).await?;
                self.remove_links(&app.id, Some(&target.id)).await?;
            }
            return Err(err);
        }
        Ok(is_new)
    }

    /// Ends that, also for what runs now.
    pub async fn unlink(&self, app: &App, target: &App) -> Result<()> {
        let _turns = self.both_turns(&app.id, &target.id).await;
        self.rooms().engine.check().await?;
        self.rooms().store.unlink(app.id.clone(), target.id.clone()).await?;
        self.remove_links(&app.id, Some(&target.id)).await
    }

    /// Nobody starts containers of either meanwhile. In one order for all, so that two of these never wait for each other.
    async fn both_turns(&self, app: &AppId, target: &AppId) -> (ReleaseTurn, ReleaseTurn) {
        let (first, second) = if app < target { (app, target) } else { (target, app) };
        let turn = self.inner.turns.release(first).await;
        (turn, self.inner.turns.release(second).await)
    }

    /// Returns the links that containers of the app take part in; those that are not there are made.
    pub(super) async fn joins_of(&self, app: &App) -> Result<Vec<Join>> {
        let mut joins = Vec::new();
        for row in self.rooms().store.links().await?.into_iter().filter(|row| row.app == app.id || row.target == app.id) {
            let link = self.rooms().engine.ensure_link(&row.app, &row.target).await?;
            joins.push(Join { network: link.network, alias: (row.target == app.id).then(|| app.name.clone()) });
        }
        Ok(joins)
    }

    async fn join_running(&self, app: &AppId, target: &AppId) -> Result<()> {
        let engine = &self.rooms().engine;
        let link = engine.ensure_link(app, target).await?;
        let name = self.rooms().store.app(target.clone()).await?.name;
        let joined = engine.joined(&link.network).await?;
        let is_out = |container: &ContainerSummary| !joined.contains(container.id.as_str());
        let is_side = |container: &ContainerSummary| container.app == *app || container.app == *target;
        for container in engine.list().await?.into_iter().filter(is_side).filter(is_out) {
            let alias = (container.app == *target).then(|| name.clone());
            engine.join(&container.id, &Join { network: link.network.clone(), alias }).await?;
        }
        Ok(())
    }

    /// Removes the links of an app: those in which it is either side, or the one to `target`.
    pub(super) async fn remove_links(&self, app: &AppId, target: Option<&AppId>) -> Result<()> {
        for link in self.rooms().engine.links().await? {
            let is_meant = match target {
                Some(target) => link.app == *app && link.target == *target,
                None => link.app == *app || link.target == *app,
            };
            if is_meant {
                self.rooms().engine.remove_link(&link.network).await?;
            }
        }
        Ok(())
    }

    /// Makes links agree with their rows; what cannot be mended is told and tried again.
    pub(super) async fn sweep_links(&self) -> Result<()> {
        let links = self.rooms().engine.links().await?;
        let rows = self.rooms().store.links().await?;
        for link in links.iter().filter(|link| !rows.iter().any(|row| row.app == link.app && row.target == link.target)) {
            if let Err(err) = self.rooms().engine.remove_link(&link.network).await {
                tracing::warn!(app.id = %link.app, ?err, "a link that was taken away is still there");
            }
        }
        for row in &rows {
            if let Err(err) = self.join_running(&row.app, &row.target).await {
                tracing::warn!(app.id = %row.app, ?err, "what runs is not all linked");
            }
        }
        Ok(())
    }
}
