//! The end of an app: its containers, volumes, network, images, repository, logs and rows.

use std::time::Duration;

use super::Deployer;
use crate::error::{Error, Result};
use crate::model::AppId;
use crate::store::App;

impl Deployer {
    /// Destroys an app: its rows first, so that no crash brings it back; what fails then is logged and the rest still goes.
    ///
    /// Without an engine nothing is touched: its containers would run on unseen.
    pub async fn destroy(&self, app: &App) -> Result<()> {
        let rooms = self.rooms();
        self.inner.turns.cancel(&app.id, "the app was destroyed");
        let _push = self.inner.turns.wait_push(&app.id).await;
        let _turn = self.inner.turns.release(&app.id).await;
        rooms.engine.check().await?;
        crate::failpoint!("destroy::before");
        rooms.store.destroy_app(app.id.clone()).await?;
        crate::failpoint!("destroy::committed");
        self.unroute(&app.id).await;
        if let Err(err) = self.publish_certificates().await {
            tracing::error!(app.name = %app.name, ?err, "certificates of a destroyed app are shown until the next change of one");
        }
        if let Err(err) = self.clear(&app.id).await {
            tracing::error!(app.name = %app.name, ?err, "something of a destroyed app is left; it is tried again");
        }
        if let Err(err) = rooms.logs.outputs().remove(app.id.clone()).await {
            tracing::error!(app.name = %app.name, ?err, "what a destroyed app's deploys said is left to the next start");
        }
        tracing::info!(app.name = %app.name, "destroyed");
        Ok(())
    }

    /// Clears away what is left of apps that were destroyed, when a kill or the engine came between.
    pub(super) async fn clear_destroyed(&self) -> Result<()> {
        for app in self.rooms().store.destroyed_apps().await? {
            // Whoever holds its turn is doing just that.
            if let Some(_turn) = self.inner.turns.try_release(&app)
                && let Err(err) = self.clear(&app).await
            {
                tracing::error!(app.id = %app, ?err, "something of a destroyed app is left; it is tried again");
            }
        }
        Ok(())
    }

    /// Removes all that is outside of the database; what is gone already is fine, and what fails does not keep the rest.
    async fn clear(&self, app: &AppId) -> Result<()> {
        let engine = self.clear_engine(app).await;
        crate::failpoint!("destroy::cleared");
        let id = app.clone();
        let repository = self.git(move |git| git.remove(&id)).await;
        crate::failpoint!("destroy::removed");
        let logs = self.rooms().logs.remove(app.clone()).await;
        engine.and(repository).and(logs)?;
        self.rooms().store.forget_destroyed(app.clone()).await
    }

    async fn clear_engine(&self, app: &AppId) -> Result<()> {
        let rooms = self.rooms();
        for container in rooms.engine.list().await?.into_iter().filter(|container| container.app == *app) {
            if let Err(err) = rooms.engine.stop(&container.id, Duration::ZERO).await {
                tracing::warn!(app.id = %app, ?err, "a container could not be stopped");
            }
            rooms.engine.remove(&container.id).await?;
        }
        for volume in rooms.engine.volumes(app).await? {
            if !rooms.engine.remove_volume(&volume.name).await? {
                return Err(Error::busy(format!("the volume {} is in use", volume.name)));
            }
        }
        self.remove_links(app, None).await?;
        rooms.engine.remove_network(app).await?;
        for image in rooms.engine.images(app).await? {
            let names = if image.tags.is_empty() { vec![image.id.to_string()] } else { image.tags };
            for name in names {
                rooms.engine.remove_image(&name).await?;
            }
        }
        Ok(())
    }
}
