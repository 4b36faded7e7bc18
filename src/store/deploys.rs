//! The journal: one row a deploy, each stage committed before the side effect that it allows.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::Store;
use super::column::{kind_columns, kind_of};
use crate::error::{Error, Result};
use crate::model::{AppId, CommitId, DeployId, ImageId, ReleaseKind, Stage, Stamp, Version};

const COLUMNS: &str = "id, app, kind, newer_kind, stage, failed_in, commit_id, image_id, version, by, message, started_at, \
                       finished_at, reason";

/// One deploy as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    pub id: DeployId,
    pub app: AppId,
    pub kind: ReleaseKind,
    pub stage: Stage,
    /// The stage in which it failed.
    pub failed_in: Option<Stage>,
    pub commit: Option<CommitId>,
    pub image: Option<ImageId>,
    pub version: Option<Version>,
    pub by: String,
    pub message: Option<String>,
    pub started_at: Stamp,
    pub finished_at: Option<Stamp>,
    pub reason: Option<String>,
}

/// A deploy to begin.
#[derive(Clone, Debug)]
pub struct NewDeploy {
    pub app: AppId,
    pub kind: ReleaseKind,
    pub commit: Option<CommitId>,
    pub by: String,
    pub message: Option<String>,
}

// === impl Store ===

impl Store {
    /// Opens a journal row in [`Stage::Queued`].
    pub async fn begin_deploy(&self, new: NewDeploy) -> Result<DeployId> {
        self.write(move |conn, _| {
            super::apps::app(conn, &new.app)?;
            let (kind, newer_kind) = kind_columns(new.kind);
            conn.execute(
                "INSERT INTO deploys (app, kind, newer_kind, stage, commit_id, by, message, started_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![new.app, kind, newer_kind, Stage::Queued, new.commit, new.by, new.message, Stamp::now()],
            )?;
            Ok(DeployId(conn.last_insert_rowid()))
        })
        .await
    }

    /// Moves a deploy on to `stage`, or leaves it where it is; a step back or past its end is refused.
    pub async fn advance(&self, deploy: DeployId, stage: Stage) -> Result<()> {
        self.write(move |conn, _| advance(conn, deploy, stage)).await
    }

    /// Moves a deploy on to [`Stage::Built`] with its image.
    pub async fn set_built(&self, deploy: DeployId, image: ImageId) -> Result<()> {
        self.write(move |conn, _| {
            advance(conn, deploy, Stage::Built)?;
            conn.execute("UPDATE deploys SET image_id = ?2 WHERE id = ?1", params![deploy.0, image])?;
            Ok(())
        })
        .await
    }

    /// Notes the release that a deploy made.
    pub async fn attach_version(&self, deploy: DeployId, version: Version) -> Result<()> {
        self.write(move |conn, _| {
            unfinished(conn, deploy)?;
            conn.execute("UPDATE deploys SET version = ?2 WHERE id = ?1", params![deploy.0, version])?;
            Ok(())
        })
        .await
    }

    /// Ends a deploy well; doing it twice is the same.
    pub async fn finish(&self, deploy: DeployId) -> Result<()> {
        self.end(deploy, Stage::Done, None).await
    }

    /// Ends a deploy with a reason and keeps the stage in which that was; doing it twice is the same.
    pub async fn fail(&self, deploy: DeployId, reason: String) -> Result<()> {
        self.end(deploy, Stage::Failed, Some(reason)).await
    }

    /// Returns the deploys without an end, oldest first: what start-up has to end.
    pub async fn unfinished_deploys(&self) -> Result<Vec<Deploy>> {
        self.deploys_where("finished_at IS NULL ORDER BY id", []).await
    }

    /// Returns the last `limit` deploys of an app, newest first.
    pub async fn deploys(&self, app: AppId, limit: u32) -> Result<Vec<Deploy>> {
        self.deploys_where("app = ?1 ORDER BY id DESC LIMIT ?2", (app, limit)).await
    }

    /// Returns the last deploy that made or started a release.
    pub async fn deploy_of(&self, app: AppId, version: Version) -> Result<Option<Deploy>> {
        Ok(self.deploys_where("app = ?1 AND version = ?2 ORDER BY id DESC LIMIT 1", (app, version)).await?.pop())
    }

    /// Returns one deploy; an unknown number is [`Kind::NotFound`](crate::error::Kind::NotFound).
    pub async fn deploy(&self, deploy: DeployId) -> Result<Deploy> {
        self.read(move |conn, _| find(conn, deploy)).await
    }

    async fn end(&self, deploy: DeployId, stage: Stage, reason: Option<String>) -> Result<()> {
        self.write(move |conn, _| {
            let found = find(conn, deploy)?;
            if found.finished_at.is_some() {
                return if found.stage == stage { Ok(()) } else { Err(has_ended(deploy)) };
            }
            let failed_in = (stage == Stage::Failed).then_some(found.stage);
            conn.execute(
                "UPDATE deploys SET stage = ?2, failed_in = ?3, finished_at = ?4, reason = ?5 WHERE id = ?1",
                params![deploy.0, stage, failed_in, Stamp::now(), reason],
            )?;
            Ok(())
        })
        .await
    }

    async fn deploys_where<P: Params + Send + 'static>(&self, condition: &'static str, params: P) -> Result<Vec<Deploy>> {
        self.read(move |conn, _| {
            let mut query = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM deploys WHERE {condition}"))?;
            let deploys = query.query_map(params, from_row)?.collect::<rusqlite::Result<_>>()?;
            Ok(deploys)
        })
        .await
    }
}

/// Moves a deploy on within a transaction.
pub(super) fn advance(conn: &Connection, deploy: DeployId, stage: Stage) -> Result<()> {
    let found = unfinished(conn, deploy)?;
    if stage < found.stage || stage >= Stage::Done {
        return Err(Error::failed(format!("deploy {deploy} cannot go from {} to {stage}", found.stage)));
    }
    conn.execute("UPDATE deploys SET stage = ?2 WHERE id = ?1", params![deploy.0, stage])?;
    Ok(())
}

fn unfinished(conn: &Connection, deploy: DeployId) -> Result<Deploy> {
    let found = find(conn, deploy)?;
    if found.finished_at.is_some() { Err(has_ended(deploy)) } else { Ok(found) }
}

fn has_ended(deploy: DeployId) -> Error {
    Error::busy(format!("deploy {deploy} has ended"))
}

fn find(conn: &Connection, deploy: DeployId) -> Result<Deploy> {
    let query = format!("SELECT {COLUMNS} FROM deploys WHERE id = ?1");
    let found = conn.query_row(&query, [deploy.0], from_row).optional()?;
    found.ok_or_else(|| Error::not_found(format!("there is no deploy {deploy}")))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Deploy> {
    Ok(Deploy {
        id: DeployId(row.get("id")?),
        app: row.get("app")?,
        kind: kind_of(row)?,
        stage: row.get("stage")?,
        failed_in: row.get("failed_in")?,
        commit: row.get("commit_id")?,
        image: row.get("image_id")?,
        version: row.get("version")?,
        by: row.get("by")?,
        message: row.get("message")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        reason: row.get("reason")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_deploy_is_followed_to_its_end() {
        let (_dir, store, app) = with_app().await;
        let deploy = store.begin_deploy(new_deploy(&app)).await.unwrap();

        for stage in [Stage::Sourced, Stage::Building, Stage::Building] {
            store.advance(deploy, stage).await.unwrap();
        }
        store.set_built(deploy, image('a')).await.unwrap();
        store.attach_version(deploy, Version(1)).await.unwrap();
        assert_eq!(store.unfinished_deploys().await.unwrap()[0].stage, Stage::Built);
        store.finish(deploy).await.unwrap();
        store.finish(deploy).await.unwrap();

        let row = store.deploy(deploy).await.unwrap();
        assert_eq!((row.stage, row.image.clone(), row.version), (Stage::Done, Some(image('a')), Some(Version(1))));
        assert!(row.finished_at.is_some());
        assert!(store.unfinished_deploys().await.unwrap().is_empty());
        assert_eq!(store.deploys(app.id, 10).await.unwrap(), [row]);
    }

    #[tokio::test]
    async fn a_failure_keeps_its_stage_and_its_first_reason() {
        let (_dir, store, app) = with_app().await;
        let deploy = store.begin_deploy(new_deploy(&app)).await.unwrap();
        store.advance(deploy, Stage::Probing).await.unwrap();

        store.fail(deploy, "it does not listen".into()).await.unwrap();
        store.fail(deploy, "again".into()).await.unwrap();

        let row = store.deploy(deploy).await.unwrap();
        assert_eq!((row.stage, row.failed_in, row.reason.as_deref()), (Stage::Failed, Some(Stage::Probing), Some("it does not listen")));
        assert_eq!(store.finish(deploy).await.unwrap_err().kind(), Kind::Busy);
        assert_eq!(store.advance(deploy, Stage::Stored).await.unwrap_err().kind(), Kind::Busy);
    }

    #[tokio::test]
    async fn a_journal_never_goes_back() {
        let (_dir, store, app) = with_app().await;
        let deploy = store.begin_deploy(new_deploy(&app)).await.unwrap();
        store.advance(deploy, Stage::Starting).await.unwrap();

        assert!(store.advance(deploy, Stage::Building).await.is_err());
        assert!(store.advance(deploy, Stage::Done).await.is_err(), "an end has a verb of its own");
        assert_eq!(store.deploy("99".parse().unwrap()).await.unwrap_err().kind(), Kind::NotFound);
        assert!("0".parse::<DeployId>().is_err());
    }
}
