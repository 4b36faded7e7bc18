//! The end of an app: its containers, network, images, repository, logs and rows.

use std::time::Duration;

use super::Deployer;
use crate::error::Result;
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
        rooms.store.destroy_app(app.id.clone()).await?;
        drop(rooms.routes.remove_app(&app.id));
        if let Err(err) = self.clear_engine(app).await {
            tracing::error!(app.name = %app.name, ?err, "something of a destroyed app is left in the engine");
        }
        let id = app.id.clone();
        if let Err(err) = self.git(move |git| git.remove(&id)).await {
            tracing::error!(app.name = %app.name, ?err, "the repository of a destroyed app is left to the next start");
        }
        if let Err(err) = rooms.logs.remove(app.id.clone()).await {
            tracing::error!(app.name = %app.name, ?err, "the logs of a destroyed app are left");
        }
        if let Err(err) = rooms.logs.outputs().remove(app.id.clone()).await {
            tracing::error!(app.name = %app.name, ?err, "what a destroyed app's deploys said is left to the next start");
        }
        tracing::info!(app.name = %app.name, "destroyed");
        Ok(())
    }

    async fn clear_engine(&self, app: &App) -> Result<()> {
        let rooms = self.rooms();
        for container in rooms.engine.list().await?.into_iter().filter(|container| container.app == app.id) {
            if let Err(err) = rooms.engine.stop(&container.id, Duration::ZERO).await {
                tracing::warn!(app.name = %app.name, ?err, "a container could not be stopped");
            }
            rooms.engine.remove(&container.id).await?;
        }
        rooms.engine.remove_network(&app.id).await?;
        for image in rooms.engine.images(&app.id).await? {
            let names = if image.tags.is_empty() { vec![image.id.to_string()] } else { image.tags };
            for name in names {
                rooms.engine.remove_image(&name).await?;
            }
        }
        Ok(())
    }
}
