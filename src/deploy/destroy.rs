//! The end of an app: its containers, network, images, repository, logs and rows.

use std::time::Duration;

use super::Deployer;
use crate::error::Result;
use crate::store::App;

impl Deployer {
    /// Destroys an app. It stops answering at once; what fails on the way is told and the rest still goes.
    pub async fn destroy(&self, app: &App) -> Result<()> {
        let rooms = self.rooms();
        self.inner.turns.cancel(&app.id, "the app was destroyed");
        let _push = self.inner.turns.wait_push(&app.id).await;
        let _turn = self.inner.turns.release(&app.id).await;
        drop(rooms.routes.remove_app(&app.id));
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
        rooms.store.destroy_app(app.id.clone()).await?;
        let id = app.id.clone();
        self.git(move |git| git.remove(&id)).await?;
        rooms.logs.remove(app.id.clone()).await?;
        tracing::info!(app.name = %app.name, "destroyed");
        Ok(())
    }
}
