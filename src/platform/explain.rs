//! The verb that shows how an app is built and run, and does neither.

use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, FormationRow, Plan, Reply};
use crate::error::Result;

impl Platform {
    pub(super) async fn explain(&self, permit: &Permit, cancelled: &CancellationToken) -> Result<Reply> {
        let app = permit.app();
        let preview = self.deployer.preview(app, cancelled).await?;
        let formation = self.rooms().store.formation(app.id.clone()).await?;
        let table = &preview.plan.process_table;
        // The shell and its flag are mini's own.
        let line = |command: Option<&[String]>| command.and_then(<[String]>::last).cloned();
        let processes = table.types().map(|kind| FormationRow {
            process: kind.to_string(),
            quantity: formation.quantity(kind),
            command: line(table.command(kind)),
        });
        Ok(Reply::Value(Answer::Plan(Box::new(Plan {
            app: app.name.clone(),
            release: preview.release.version,
            commit: preview.release.revision.map(|revision| revision.commit),
            description: preview.plan.description.to_owned(),
            port: preview.release.port,
            processes: processes.collect(),
            release_command: line(table.release_command()),
            warnings: preview.warnings,
            dockerfile: preview.dockerfile,
        }))))
    }
}
