//! Which images are kept: those of the last releases that went live, those in motion, and no other.

use std::collections::HashSet;

use super::space::Disk;
use super::{Deployer, space};
use crate::engine::ImageSummary;
use crate::error::{Kind, Result};
use crate::model::limits::KEPT_IMAGES_WHEN_LOW;
use crate::model::{AppId, ImageId};
use crate::store::App;

impl Deployer {
    /// Removes the app's images that no kept release needs. While something is built, nothing is removed: its end comes here again.
    pub(super) async fn drop_old_images(&self, app: &App) -> Result<()> {
        // A refused pusher waits for this: an engine that hangs must not make it long.
        self.rooms().engine.check().await?;
        self.keep_images(app, self.images_to_keep(&self.disks().await)).await.map(drop)
    }

    /// How many distinct images of an app are kept: fewer while a disk is low.
    pub(super) fn images_to_keep(&self, disks: &[Disk]) -> usize {
        let keep = self.rooms().settings.keep_images;
        let is_low = disks.iter().any(|disk| disk.holds == space::Holds::Images && disk.is_low());
        if is_low { keep.min(KEPT_IMAGES_WHEN_LOW) } else { keep }
    }

    /// Removes the app's images but the last `keep` that went live and those in motion; returns how many went.
    pub(super) async fn keep_images(&self, app: &App, keep: usize) -> Result<usize> {
        let rooms = self.rooms();
        // Listed before it is asked what is being made: an image that comes later is not in the list.
        let images = rooms.engine.images(&app.id).await?;
        if self.is_making(&app.id).await? {
            return Ok(0);
        }
        let mut needed = self.kept_images(&app.id, keep).await?;
        let in_motion = rooms.store.unfinished_releases().await?;
        needed.extend(in_motion.into_iter().filter(|release| release.app == app.id).map(|release| release.image));
        // What somebody runs once may outlive its release.
        let one_offs = rooms.engine.list().await?.into_iter().filter(|container| container.app == app.id && container.is_one_off());
        needed.extend(one_offs.filter_map(|container| container.image));
        self.remove_images(images.into_iter().filter(|image| !needed.contains(&image.id)).collect()).await
    }

    /// Tells whether something of the app is being built or released.
    pub(super) async fn is_making(&self, app: &AppId) -> Result<bool> {
        Ok(self.rooms().store.unfinished_deploys().await?.iter().any(|deploy| deploy.app == *app))
    }

    pub(super) async fn kept_images(&self, app: &AppId, keep: usize) -> Result<HashSet<ImageId>> {
        let keep = u32::try_from(keep).unwrap_or(u32::MAX);
        Ok(self.rooms().store.kept_images(app.clone(), keep).await?.into_iter().collect())
    }

    /// Removes images with all names that are ours; one that cannot be removed is told and stays. Returns how many went.
    pub(super) async fn remove_images(&self, images: Vec<ImageSummary>) -> Result<usize> {
        let mut removed = 0;
        for image in images {
            // Two builds of the same source are one image with two tags: each is removed by its own.
            let names = if image.tags.is_empty() { vec![image.id.to_string()] } else { image.tags };
            let mut is_gone = true;
            for name in names {
                match self.rooms().engine.remove_image(&name).await {
                    Err(err) if err.kind() == Kind::Unavailable => return Err(err),
                    Err(err) => {
                        is_gone = false;
                        tracing::warn!(image = name, ?err, "an old image could not be removed");
                    }
                    Ok(()) => tracing::debug!(image = name, "removed an old image"),
                }
            }
            removed += usize::from(is_gone);
        }
        Ok(removed)
    }
}
