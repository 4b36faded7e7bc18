//! Verbs about an app's storage.

use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Reply, StorageRow};
use crate::deploy::{Alteration, Mounting};
use crate::engine::volume_name;
use crate::error::{Error, Result};
use crate::model::StorageName;

impl Platform {
    /// Lists what containers of the app see, and volumes that were kept.
    pub(super) async fn list_storage(&self, permit: &Permit) -> Result<Reply> {
        let app = permit.app();
        let mounted = app.storage.iter().map(|storage| StorageRow {
            name: storage.name().clone(),
            path: Some(storage.path().to_owned()),
            volume: volume_name(&app.id, &app.name, storage.name()),
        });
        let mut rows: Vec<StorageRow> = mounted.collect();
        let doomed = self.rooms().store.doomed_volumes().await?;
        for kept in self.rooms().engine.volumes(&app.id).await? {
            if !rows.iter().any(|row| row.name == kept.storage) && !doomed.contains(&kept.name) {
                rows.push(StorageRow { name: kept.storage, path: None, volume: kept.name });
            }
        }
        Ok(Reply::Value(Answer::Storage(rows)))
    }

    pub(super) fn remove_storage(
        &self,
        permit: &Permit,
        name: StorageName,
        is_deleted: bool,
        confirm: Option<&StorageName>,
        cancelled: CancellationToken,
    ) -> Result<Reply> {
        if is_deleted && confirm != Some(&name) {
            let app = &permit.app().name;
            return Err(Error::usage(format!("this deletes all that is in `{name}` of `{app}`, and no backup of mini has it"))
                .hint(format!("if you mean it: storage:remove {app} {name} --delete --confirm {name}")));
        }
        Ok(self.alter(permit, Alteration::Storage(Mounting::Remove { name, is_deleted }), cancelled))
    }
}
