//! Storage of an app: volumes that come into its containers and leave them by the gate of every change, and outlive them.

use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::engine::{VolumeMount, volume_name};
use crate::error::{Error, Result};
use crate::model::{Storage, StorageName};
use crate::store::{App, AppSetting, Release};

/// A change of an app's storage.
#[derive(Clone, Debug)]
pub enum Mounting {
    Add(Storage),
    Remove {
        name: StorageName,
        /// With what is in it.
        is_deleted: bool,
    },
}

impl Deployer {
    /// Makes the change for the live release, or for the first one.
    pub(super) async fn mount(
        &self,
        app: App,
        live: Option<Release>,
        mounting: Mounting,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<String> {
        match mounting {
            Mounting::Add(storage) => self.add_storage(app, live, storage, talk, attempt).await,
            Mounting::Remove { name, is_deleted } => self.remove_storage(app, live, name, is_deleted, talk, attempt).await,
        }
    }

    async fn add_storage(&self, app: App, live: Option<Release>, storage: Storage, talk: &Talk, attempt: &Attempt) -> Result<String> {
        if let Some(there) = app.storage.iter().find(|there| there.name() == storage.name() || there.path() == storage.path()) {
            if *there == storage {
                return Ok(format!("`{}` has storage `{}` at {} already.", app.name, storage.name(), storage.path()));
            }
            let hint = format!("see it: ssh mini storage {}", app.name);
            return Err(Error::busy(format!("`{}` has storage `{}` at {} already", app.name, there.name(), there.path())).hint(hint));
        }
        self.sweep_volumes().await?;
        let volume = volume_name(&app.id, &app.name, storage.name());
        if self.rooms().store.doomed_volumes().await?.contains(&volume) {
            return Err(Error::busy(format!("what was in `{}` is being deleted, and something still uses it", storage.name()))
                .hint("try again in a moment, or choose another name"));
        }
        let is_old = self.rooms().engine.volumes(&app.id).await?.iter().any(|kept| kept.storage == *storage.name());
        let kept = if is_old { " What was kept in it is there again." } else { "" };
        let outcome = format!("`{}` has storage `{}` at {}.{kept}", app.name, storage.name(), storage.path());
        self.set(app, live, vec![AppSetting::Mounted(storage)], outcome, talk, attempt).await
    }

    async fn remove_storage(
        &self,
        app: App,
        live: Option<Release>,
        name: StorageName,
        is_deleted: bool,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<String> {
        let kept = self.rooms().engine.volumes(&app.id).await?.into_iter().find(|volume| volume.storage == name);
        let doom = kept.filter(|_| is_deleted).map(|volume| AppSetting::Doomed(volume.name));
        if app.storage.iter().any(|there| *there.name() == name) {
            let rest = if is_deleted {
                "What is in it is deleted.".to_owned()
            } else {
                format!(
                    "What is in it is kept: storage:add {} {name}:/path brings it back, storage:remove … --delete deletes it.",
                    app.name
                )
            };
            let outcome = format!("`{}` has no storage `{name}` any more. {rest}", app.name);
            let settings = [AppSetting::Unmounted(name)].into_iter().chain(doom).collect();
            let said = self.set(app, live, settings, outcome, talk, attempt).await;
            self.sweep_volumes().await?;
            return said;
        }
        let Some(doom) = doom else {
            return Err(
                Error::not_found(format!("`{}` has no storage `{name}`", app.name)).hint(format!("see it: ssh mini storage {}", app.name))
            );
        };
        self.rooms().store.set_app(app.id.clone(), vec![doom]).await?;
        self.sweep_volumes().await?;
        Ok(format!("Deleted what was kept in `{name}` of `{}`.", app.name))
    }

    /// Returns the volumes that containers of the app get; those that are not there are made.
    pub(super) async fn mounts_of(&self, app: &App) -> Result<Vec<VolumeMount>> {
        let mut mounts = Vec::new();
        for storage in &app.storage {
            let volume = self.rooms().engine.ensure_volume(&app.id, &app.name, storage.name()).await?;
            mounts.push(VolumeMount { volume, path: storage.path().to_owned() });
        }
        Ok(mounts)
    }

    /// Deletes the volumes whose data somebody has asked to delete, except those that a container still has.
    ///
    /// No other volume is ever deleted: not one whose app is unknown, for the database may be the one of before.
    pub(super) async fn sweep_volumes(&self) -> Result<()> {
        let rooms = self.rooms();
        for volume in rooms.store.doomed_volumes().await? {
            match rooms.engine.remove_volume(&volume).await {
                Ok(true) => {
                    tracing::info!(volume, "deleted a volume that was no longer wanted");
                    rooms.store.forget_volume(volume).await?;
                }
                Ok(false) => {}
                Err(err) => tracing::warn!(volume, ?err, "a volume could not be deleted; it is tried again"),
            }
        }
        Ok(())
    }
}
