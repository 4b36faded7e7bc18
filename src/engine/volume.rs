//! Volumes: what an app keeps in them outlives its containers. Found by label, named so that people know them.

use bollard::models::VolumeCreateRequest;
use bollard::models::{Mount, MountType};
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};

use super::failure::{absent_is_none, status};
use super::{Engine, label};
use crate::error::{Error, Result};
use crate::model::{AppId, AppName, StorageName};

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume's name in the engine.
    pub volume: String,
    pub path: String,
}

/// A volume of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// In the engine: `mini-blog-0a1b2c-data`.
    pub name: String,
    /// The app's name for it.
    pub storage: StorageName,
}

// === impl Engine ===

impl Engine {
    /// Returns the name of an app's volume, which is made if it is not there. Errors: `Busy` when a volume of somebody else has that name.
    pub async fn ensure_volume(&self, app: &AppId, app_name: &AppName, storage: &StorageName) -> Result<String> {
        let name = volume_name(app, app_name, storage);
        let mut labels = label::of_app(self.instance(), app);
        labels.insert(label::STORAGE.to_owned(), storage.to_string());
        let request = VolumeCreateRequest { name: Some(name.clone()), labels: Some(labels.clone()), ..VolumeCreateRequest::default() };
        // The engine answers with the volume that is there, if there is one.
        let volume = self.call(|docker| async move { docker.create_volume(request).await }).await?;
        if labels.iter().all(|(key, value)| volume.labels.get(key) == Some(value)) {
            return Ok(name);
        }
        Err(Error::busy(format!("there is a volume `{name}` that is not this app's"))
            .hint("look at it on the server: docker volume inspect"))
    }

    /// Lists the volumes of an app, by name.
    pub async fn volumes(&self, app: &AppId) -> Result<Vec<Volume>> {
        let filters = label::filter_app(self.instance(), app);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let found = self.call(|docker| async move { docker.list_volumes(Some(options)).await }).await?;
        let read =
            |volume: bollard::models::Volume| Some(Volume { storage: volume.labels.get(label::STORAGE)?.parse().ok()?, name: volume.name });
        let mut volumes: Vec<Volume> = found.volumes.unwrap_or_default().into_iter().filter_map(read).collect();
        volumes.sort_by(|one, other| one.storage.cmp(&other.storage));
        Ok(volumes)
    }

    /// Deletes a volume with its data and tells whether it is gone now: not while a container has it. One that is gone is fine.
    pub async fn remove_volume(&self, volume: &str) -> Result<bool> {
        let options = RemoveVolumeOptionsBuilder::default().build();
        let removal = |docker: bollard::Docker| async move {
            match absent_is_none(docker.remove_volume(volume, Some(options)).await) {
                Err(err) if status(&err) == Some(409) => Ok(false),
                other => other.map(|_| true),
            }
        };
        self.call(removal).await
    }
}

/// Names an app's volume; apps of one name, one after the other or of several servers, have different ids.
#[must_use]
pub fn volume_name(app: &AppId, app_name: &AppName, storage: &StorageName) -> String {
    format!("mini-{app_name}-{}-{storage}", &app.as_str()[..6])
}

/// What is in the image at the path is copied into a volume that is empty, with its owner: the engine does so for volumes.
pub(super) fn mounts(mounts: &[VolumeMount]) -> Vec<Mount> {
    let mount = |mount: &VolumeMount| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(mount.volume.clone()),
        target: Some(mount.path.clone()),
        ..Mount::default()
    };
    mounts.iter().map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use crate::model::AppName;

    #[tokio::test]
    async fn a_volume_is_made_once_found_again_and_deleted() {
        let trial = Trial::start();
        let (app, name) = (trial.app(), "blog".parse::<AppName>().unwrap());
        let storage = "data".parse().unwrap();

        let first = trial.engine.ensure_volume(&app, &name, &storage).await.unwrap();
        let again = trial.engine.ensure_volume(&app, &name, &storage).await.unwrap();

        assert_eq!(first, again);
        let listed = trial.engine.volumes(&app).await.unwrap();
        assert_eq!(listed.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), [first.as_str()]);
        assert!(trial.engine.volumes(&trial.app()).await.unwrap().is_empty());
        assert!(trial.engine.remove_volume(&first).await.unwrap());
        assert!(trial.engine.remove_volume(&first).await.unwrap(), "one that is gone is fine");
        assert!(trial.engine.volumes(&app).await.unwrap().is_empty());
        trial.end().await;
    }
}
