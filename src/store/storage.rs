//! Storage: volumes of an app that outlive its containers.

use super::Store;
use crate::error::Result;
use crate::model::AppId;

// === impl Store ===

impl Store {
    /// Tells whether an app has storage.
    pub async fn has_storage(&self, app: AppId) -> Result<bool> {
        self.read(move |conn, _| Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM storage WHERE app = ?1)", [app], |row| row.get(0))?)).await
    }
}
