//! Whether the database is whole, asked while it serves.

use super::{Store, file, schema};
use crate::error::{Error, Result};

// === impl Store ===

impl Store {
    /// Looks through the whole file and returns its schema. `Kind::Setup` when it is damaged.
    pub async fn look_through(&self) -> Result<u32> {
        self.blocking(|inner, conn| {
            file::look_through(conn, &inner.path)?;
            schema::meta(conn, "schema")?.ok_or_else(|| Error::setup("the database has lost its schema's number"))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    #[tokio::test]
    async fn a_whole_file_tells_its_schema() {
        let (_dir, store) = fresh();

        assert!(store.look_through().await.unwrap() >= 2);
    }
}
