//! Which images are kept for a rollback, and whose tags may go.

use std::collections::BTreeSet;

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

    /// Returns the tags whose image is neither kept nor that of a starting, live or draining release.
    ///
    /// Rows stay for ever, so this also names tags that were dropped before: dropping one twice must be harmless.
    pub async fn image_tags_to_drop(&self, app: AppId, n: u32) -> Result<Vec<String>> {
        self.read(move |conn, _| {
            let mut needed: BTreeSet<String> = kept(conn, &app, n)?.into_iter().map(String::from).collect();
            let in_motion = "SELECT image_id FROM releases WHERE app = ?1 AND state IN ('starting', 'live', 'draining')";
            let mut query = conn.prepare_cached(in_motion)?;
            for image in query.query_map([&app], |row| row.get::<_, String>(0))? {
                needed.insert(image?);
            }
            let tags = tags(conn, &app)?;
            // A tag shared with a needed image stays, whatever else bears it.
            let held: BTreeSet<&str> = tags.iter().filter(|(_, image)| needed.contains(image)).map(|(tag, _)| tag.as_str()).collect();
            let dropped: BTreeSet<&str> = tags.iter().map(|(tag, _)| tag.as_str()).filter(|tag| !held.contains(tag)).collect();
            Ok(dropped.into_iter().map(str::to_owned).collect())
        })
        .await
    }
}

fn kept(conn: &Connection, app: &AppId, n: u32) -> Result<Vec<ImageId>> {
    let mut query = conn.prepare_cached(
        "SELECT image_id FROM releases WHERE app = ?1 AND live_at IS NOT NULL GROUP BY image_id ORDER BY max(version) DESC LIMIT ?2",
    )?;
    Ok(query.query_map(params![app, n], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

fn tags(conn: &Connection, app: &AppId) -> Result<Vec<(String, String)>> {
    let mut query = conn.prepare_cached("SELECT image_tag, image_id FROM releases WHERE app = ?1")?;
    Ok(query.query_map([app], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?)
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
        assert_eq!(store.image_tags_to_drop(app.id.clone(), 2).await.unwrap(), ["mini/blog:a", "mini/blog:d"]);
        assert_eq!(store.image_tags_to_drop(app.id, 5).await.unwrap(), ["mini/blog:d"]);
    }

    #[tokio::test]
    async fn a_draining_release_keeps_its_image() {
        let (_dir, store, app) = with_app().await;
        live(&store, &app, 'a', &[]).await;
        live(&store, &app, 'b', &[]).await;

        assert!(store.image_tags_to_drop(app.id, 1).await.unwrap().is_empty());
    }
}
