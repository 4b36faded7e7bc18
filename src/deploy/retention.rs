//! Which images are kept: those of the last releases that went live, those in motion, and no other.

use std::collections::HashSet;

use super::Deployer;
use crate::error::{Kind, Result};
use crate::model::ImageId;
use crate::store::App;

impl Deployer {
    /// Removes the app's images that no kept release needs. While something is built, nothing is removed: its end comes here again.
    pub(super) async fn drop_old_images(&self, app: &App) -> Result<()> {
        let rooms = self.rooms();
        // A refused pusher waits for this: an engine that hangs must not make it long.
        rooms.engine.check().await?;
        // Listed before it is asked what is being made: an image that comes later is not in the list.
        let images = rooms.engine.images(&app.id).await?;
        if rooms.store.unfinished_deploys().await?.iter().any(|deploy| deploy.app == app.id) {
            return Ok(());
        }
        let keep = u32::try_from(rooms.settings.keep_images).unwrap_or(u32::MAX);
        let mut needed: HashSet<ImageId> = rooms.store.kept_images(app.id.clone(), keep).await?.into_iter().collect();
        let in_motion = rooms.store.unfinished_releases().await?;
        needed.extend(in_motion.into_iter().filter(|release| release.app == app.id).map(|release| release.image));
        // What somebody runs once may outlive its release.
        let one_offs = rooms.engine.list().await?.into_iter().filter(|container| container.app == app.id && container.is_one_off());
        needed.extend(one_offs.filter_map(|container| container.image));
        for image in images.into_iter().filter(|image| !needed.contains(&image.id)) {
            // Two builds of the same source are one image with two tags: each is removed by its own.
            let names = if image.tags.is_empty() { vec![image.id.to_string()] } else { image.tags };
            for name in names {
                match rooms.engine.remove_image(&name).await {
                    Err(err) if err.kind() == Kind::Unavailable => return Err(err),
                    Err(err) => tracing::warn!(app.name = %app.name, image = name, ?err, "an old image could not be removed"),
                    Ok(()) => tracing::debug!(app.name = %app.name, image = name, "removed an old image"),
                }
            }
        }
        Ok(())
    }
}
