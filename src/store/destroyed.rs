//! Apps that were destroyed, until nothing of them is left: the engine and the folders know nothing of our transactions.

use rusqlite::Connection;

use super::Store;
use crate::error::Result;
use crate::model::AppId;

// === impl Store ===

impl Store {
    /// Returns the destroyed apps of which something may be left.
    pub async fn destroyed_apps(&self) -> Result<Vec<AppId>> {
        self.read(|conn, _| {
            let mut query = conn.prepare_cached("SELECT app FROM destroyed_apps")?;
            Ok(query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    /// Forgets a destroyed app of which nothing is left; doing it twice is the same.
    pub async fn forget_destroyed(&self, app: AppId) -> Result<()> {
        self.write(move |conn, _| Ok(conn.execute("DELETE FROM destroyed_apps WHERE app = ?1", [app]).map(drop)?)).await
    }
}

/// Remembers, within the transaction that takes its rows, that an app is to be cleared away.
pub(super) fn remember(conn: &Connection, app: &AppId) -> rusqlite::Result<usize> {
    conn.execute("INSERT INTO destroyed_apps (app) VALUES (?1)", [app])
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use crate::model::AppId;

    #[tokio::test]
    async fn a_destroyed_app_is_remembered_until_it_is_cleared_away() {
        let (_dir, store, app) = with_app().await;

        store.destroy_app(app.id.clone()).await.unwrap();
        store.destroy_app(app.id.clone()).await.unwrap_err();

        assert_eq!(store.destroyed_apps().await.unwrap(), std::slice::from_ref(&app.id));
        store.forget_destroyed(app.id.clone()).await.unwrap();
        store.forget_destroyed(app.id).await.unwrap();
        assert_eq!(store.destroyed_apps().await.unwrap(), Vec::<AppId>::new());
    }
}
