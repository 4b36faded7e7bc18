//! What the database answers, as errors that a person can read.

use rusqlite::ErrorCode;

use crate::error::{Error, Kind};

impl From<rusqlite::Error> for Error {
    fn from(err: rusqlite::Error) -> Self {
        translate(&err).because(err)
    }
}

fn translate(err: &rusqlite::Error) -> Error {
    match err.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            Error::unavailable("there is no space left on the server's disk").hint("free some space; nothing was changed")
        }
        Some(ErrorCode::SystemIoFailure) => Error::unavailable("the server's disk does not take writes").hint("nothing was changed"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::busy("another program holds the server's database").hint("try again")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::setup("the server's database is damaged").hint("stop the server and restore a backup")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Error::setup("the server's database cannot be written"),
        _ => match err {
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::IntegralValueOutOfRange(..) => {
                Error::setup("the server's database holds a value that this version of mini does not know")
            }
            _ => Error::failed("the server's database refused this"),
        },
    }
}

/// Tells whether the set-up is to blame for `err`, not a passing lack of space or of a lock.
pub(super) fn is_lasting(err: &Error) -> bool {
    !matches!(err.kind(), Kind::Unavailable | Kind::Busy)
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn a_full_disk_is_said_so_and_changes_nothing() {
        let (_dir, store, app) = with_app().await;
        let limit = |pages: u32| {
            store.inner.connection.lock().unwrap().pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        };
        let large = "x".repeat(64 * 1024);

        limit(1);
        let err = store.replace_config(app.id.clone(), config(&[("A", &large)])).await.unwrap_err();

        assert_eq!(err.kind(), Kind::Unavailable);
        assert!(err.sentence().contains("no space"), "{err}");
        assert!(store.config(app.id.clone()).await.unwrap().is_empty());
        limit(1 << 20);
        store.replace_config(app.id, config(&[("A", &large)])).await.unwrap();
    }
}
