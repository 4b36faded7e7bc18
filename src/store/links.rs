//! Links: which app reaches which other by its name.

use rusqlite::params;

use super::{Store, apps};
use crate::error::{Error, Result};
use crate::model::AppId;

/// `app` reaches `target` by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    pub app: AppId,
    pub target: AppId,
}

// === impl Store ===

impl Store {
    /// Links two apps and tells whether that is new.
    pub async fn link(&self, app: AppId, target: AppId) -> Result<bool> {
        self.write(move |conn, _| {
            apps::app(conn, &app)?;
            apps::app(conn, &target)?;
            Ok(conn.execute("INSERT OR IGNORE INTO links (app, target) VALUES (?1, ?2)", params![app, target])? > 0)
        })
        .await
    }

    /// Takes a link away. Errors: `NotFound` when there is none.
    pub async fn unlink(&self, app: AppId, target: AppId) -> Result<()> {
        self.write(move |conn, _| match conn.execute("DELETE FROM links WHERE app = ?1 AND target = ?2", params![app, target])? {
            0 => Err(Error::not_found("there is no such link")),
            _ => Ok(()),
        })
        .await
    }

    /// Returns the links of all apps.
    pub async fn links(&self) -> Result<Vec<LinkRow>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached("SELECT app, target FROM links ORDER BY app, target")?;
            let rows = query.query_map([], |row| Ok(LinkRow { app: row.get("app")?, target: row.get("target")? }))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_link_has_a_direction_and_goes_with_either_app() {
        let (_dir, store, web) = with_app().await;
        let db = store.create_app(AppId::random(), "db".parse().unwrap(), "anna".into()).await.unwrap();

        assert!(store.link(web.id.clone(), db.id.clone()).await.unwrap());
        assert!(!store.link(web.id.clone(), db.id.clone()).await.unwrap(), "it was there");

        assert_eq!(store.links().await.unwrap(), [LinkRow { app: web.id.clone(), target: db.id.clone() }]);
        assert_eq!(store.unlink(db.id.clone(), web.id.clone()).await.unwrap_err().kind(), Kind::NotFound);
        store.destroy_app(db.id.clone()).await.unwrap();
        assert_eq!(store.links().await.unwrap(), []);
        assert_eq!(store.link(web.id, db.id).await.unwrap_err().kind(), Kind::NotFound);
    }
}
