//! A source that is uploaded: a place for it, its archive written anew, and the commit that it is from now on.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{Deployer, Talk};
use crate::command::RECEIVING;
use crate::error::{Error, Result};
use crate::git::{NewCommit, Recorded};
use crate::model::limits::{UPLOAD_SILENCE, UPLOAD_TIME, UPLOAD_WAIT, UPLOADS_AT_ONCE};
use crate::model::{CommitId, Revision};
use crate::source::{Budget, Context, Upload, respool};
use crate::store::App;

/// An async stream as a blocking reader that does not wait for ever.
struct Inlet {
    from: Box<dyn AsyncRead + Send + Unpin>,
    runtime: Handle,
    cancelled: CancellationToken,
    silence: Duration,
    /// Set when the sender was given up: whoever reads sees a cut only.
    fell_silent: Arc<OnceLock<()>>,
}

// === impl Inlet ===

impl Read for Inlet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Inlet { from, runtime, cancelled, silence, fell_silent } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
                read = tokio::time::timeout(*silence, from.read(buffer)) => read.unwrap_or_else(|_| {
                    _ = fell_silent.set(());
                    Err(io::ErrorKind::TimedOut.into())
                }),
            }
        })
    }
}

impl Deployer {
    /// Writes an archive into the data dir, entry by entry. Whatever ends it early leaves nothing there.
    pub(super) async fn take_in(
        &self,
        archive: Box<dyn AsyncRead + Send + Unpin>,
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<Upload> {
        self.check_space().await?;
        let _place = self.upload_place(talk, cancelled).await?;
        talk.step(RECEIVING);
        let fell_silent = Arc::new(OnceLock::new());
        // Dropping this future ends the thread's work.
        let cancelled = cancelled.child_token();
        let _stop_with_us = cancelled.clone().drop_guard();
        let inlet = Inlet {
            from: archive,
            runtime: Handle::current(),
            cancelled: cancelled.clone(),
            silence: UPLOAD_SILENCE,
            fell_silent: fell_silent.clone(),
        };
        let tmp = self.tmp();
        let work = move || respool(inlet, &tmp, Budget::default(), &|| cancelled.is_cancelled());
        let taken = tokio::time::timeout(UPLOAD_TIME, tokio::task::spawn_blocking(work)).await.map_err(|_| too_slow())?;
        let taken = taken.map_err(|err| Error::failed("the source could not be unpacked").because(err))?;
        taken.map_err(|err| if fell_silent.get().is_some() { silent().because(err) } else { err })
    }

    async fn upload_place(&self, talk: &Talk, cancelled: &CancellationToken) -> Result<OwnedSemaphorePermit> {
        let places = self.inner.uploads.clone();
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Ok(place);
        }
        talk.step("Waiting for another upload to be taken in");
        let stopping = || Error::busy("mini is stopping: deploy again");
        tokio::select! {
            place = tokio::time::timeout(UPLOAD_WAIT, places.acquire_owned()) => match place {
                Ok(place) => place.map_err(|err| stopping().because(err)),
                Err(_) => Err(Error::busy(format!("{UPLOADS_AT_ONCE} uploads are being taken in already")).hint("deploy again later")),
            },
            () = cancelled.cancelled() => Err(stopping()),
        }
    }

    /// Returns what is to be built of an upload.
    pub(super) async fn context_of(&self, upload: Upload, cancelled: &CancellationToken) -> Result<Context> {
        let cancelled = cancelled.child_token();
        let _stop_with_us = cancelled.clone().drop_guard();
        let context = tokio::task::spawn_blocking(move || upload.into_context(&|| cancelled.is_cancelled())).await;
        context.map_err(|err| Error::failed("the source could not be unpacked").because(err))?
    }

    /// Makes an upload a commit on top of what is live; it is stored by the switch. One that is `known` to be the sender's own stays that.
    pub(super) async fn revision_of(
        &self,
        app: &App,
        upload: &Upload,
        known: Option<CommitId>,
        by: &str,
        message: &str,
        cancelled: &CancellationToken,
    ) -> Result<(Revision, Option<Recorded>)> {
        let live = self.live_release(&app.id).await?.and_then(|release| release.commit().cloned());
        let id = app.id.clone();
        let parent = self.git(move |git| {
            git.create(&id)?;
            Ok(match live {
                Some(commit) if git.has_commit(&id, &commit)? => Some(commit),
                _ => None,
            })
        });
        let new = NewCommit { parent: parent.await?, author: by.to_owned(), message: message.to_owned() };
        let recorded = self.rooms().git.record(&app.id, upload.whole(), new, cancelled).await?;
        let Some(known) = known else { return Ok((Revision::recorded(recorded.commit().clone()), Some(recorded))) };
        let (id, commit) = (app.id.clone(), known.clone());
        let tree = self.git(move |git| git.tree_of(&id, None, &commit)).await?;
        if tree.as_ref() == Some(recorded.tree()) {
            return Ok((Revision::pushed(known), None));
        }
        Ok((Revision::recorded(recorded.commit().clone()), Some(recorded)))
    }
}

fn too_slow() -> Error {
    Error::failed(format!("the upload was not over after {} min and was given up", UPLOAD_TIME.as_secs() / 60))
        .hint("send less of it: .dockerignore leaves files out")
}

fn silent() -> Error {
    Error::failed(format!("nothing came for {} s: the upload was given up", UPLOAD_SILENCE.as_secs()))
        .hint("pipe the source in: tar -cz . | ssh mini deploy APP -")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all of `from` in a thread that may block, and tells how that ended and whether the sender fell silent.
    async fn read(from: impl AsyncRead + Send + Unpin + 'static, cancelled: &CancellationToken) -> (io::Result<usize>, bool) {
        let (runtime, cancelled, silence) = (Handle::current(), cancelled.clone(), Duration::from_millis(50));
        let fell_silent = Arc::new(OnceLock::new());
        let mut inlet = Inlet { from: Box::new(from), runtime, cancelled, silence, fell_silent: fell_silent.clone() };
        let done = tokio::task::spawn_blocking(move || inlet.read_to_end(&mut Vec::new())).await.unwrap();
        (done, fell_silent.get().is_some())
    }

    #[tokio::test]
    async fn a_sender_that_falls_silent_is_given_up_and_one_that_ends_is_not() {
        let (silent, mut half) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut half, b"half").await.unwrap();
        let open = CancellationToken::new();

        let (ended, was_silent) = read(&b"whole"[..], &open).await;
        assert_eq!((ended.unwrap(), was_silent), (5, false));
        let (ended, was_silent) = read(silent, &open).await;
        assert_eq!((ended.unwrap_err().kind(), was_silent), (io::ErrorKind::TimedOut, true));
    }

    #[tokio::test]
    async fn a_cancelled_upload_is_not_waited_for() {
        let (quiet, _open) = tokio::io::duplex(64);
        let cancelled = CancellationToken::new();
        cancelled.cancel();

        let (ended, was_silent) = read(quiet, &cancelled).await;

        assert_eq!((ended.unwrap_err().kind(), was_silent), (io::ErrorKind::ConnectionAborted, false));
    }
}
