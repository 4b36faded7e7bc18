//! A fault of our own in a deploy: it fails that deploy, as anything else does, so that what the deploy had made is thrown away.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::error::{Error, Result};

/// Does a piece of work, and makes a panic in it the error that it ends with. Its trace is in the server's log.
pub(super) async fn contained<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // Nothing of the work is used afterwards, and what others see is behind locks that a panic does not poison, and in rows.
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(Error::failed("mini has a fault here; its log says more")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_nothing_else_is_changed() {
        let nothing: Result<()> = contained(async { panic!("on purpose") }).await;

        assert_eq!(nothing.unwrap_err().sentence(), "mini has a fault here; its log says more");
        assert_eq!(contained(async { Ok(1) }).await.unwrap(), 1);
    }
}
