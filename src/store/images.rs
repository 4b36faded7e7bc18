//! Which images are kept for a rollback.

use rusqlite::{Connection, params};

use super::Store;
use crate::error::Result;
use crate::model::{AppId, ImageId};

// === impl Store ===

impl Store {
    /// Returns the images of the last `n` distinct ones that went live, newest first.
    ///
    /// Newest by release number: the wall clock may have jumped.
    pub async fn kept_images(&self, app: AppId, n: u32) -> Result<Vec<ImageId>> {
        self.read(move |conn, _| kept(conn, &app, n)).await
    }
}

fn kept(conn: &Connection, app: &AppId, n: u32) -> Result<Vec<ImageId>> {
    let mut query = conn.prepare_cached(
        "SELECT image_id FROM releases WHERE app = ?1 AND live_at IS NOT NULL GROUP BY image_id ORDER BY max(version) DESC LIMIT ?2",
    )?;
    Ok(query.query_map(params![app, n], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    #[tokio::test]
    async fn the_last_distinct_images_that_went_live_are_kept() {
        let (_dir, store, app) = with_app().await;
        for digit in ['a', 'b', 'c', 'b'] {
            live(&store, &app, digit, &[]).await;
        }
        let failed = store.begin_release(app.id.clone(), new_release('d', &[])).await.unwrap().version;
        store.begin_release(app.id.clone(), new_release('e', &[])).await.unwrap();
        store.fail_release(app.id.clone(), failed, "no".into()).await.unwrap();
        for number in 1..=3 {
            store.retire(app.id.clone(), crate::model::Version(number)).await.unwrap();
        }

        assert_eq!(store.kept_images(app.id.clone(), 2).await.unwrap(), [image('b'), image('c')]);
        assert_eq!(store.kept_images(app.id, 5).await.unwrap(), [image('b'), image('c'), image('a')]);
    }
}
