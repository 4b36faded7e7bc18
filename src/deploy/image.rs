//! An image that somebody else built: taken from the engine, or from its registry, and kept under a name of ours.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::build::{Built, image_tag};
use super::explain::seconds;
use super::{Deployer, Talk};
use crate::engine::{ImageInfo, PullRequest, Pulled};
use crate::error::{Error, Kind, Result};
use crate::model::limits::UPLOAD_SILENCE;
use crate::model::size::megabytes;
use crate::model::{ImageRef, ProcessTable};
use crate::store::{App, DeployId};

/// A pull tells how far it is at most this often.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// An image that is in the engine.
pub(super) struct Fetched {
    pub info: ImageInfo,
    /// The name that our pull gave it, and that nobody else has asked for.
    pulled_name: Option<String>,
}

/// Tells a pull in lines that are worth reading.
struct Progress<'a> {
    talk: &'a Talk,
    told: Instant,
}

// === impl Progress ===

impl Progress<'_> {
    fn tell(&mut self, at: Pulled) {
        if at.bytes == 0 || self.told.elapsed() < BETWEEN_LINES {
            return;
        }
        self.told = Instant::now();
        let (done, all) = (megabytes(at.bytes_done), megabytes(at.bytes));
        self.talk.detail(format!("{done} of {all} MB, {} of {} layers", at.layers_done, at.layers));
    }
}

impl Deployer {
    /// Looks an image up in the engine; one that is not there is pulled.
    pub(super) async fn fetch_image(&self, image: &ImageRef, talk: &Talk, cancelled: &CancellationToken) -> Result<Fetched> {
        let engine = &self.rooms().engine;
        let name = image.qualified();
        match engine.image(&name).await {
            Ok(info) => {
                talk.step(format!("Image {image} is here ({} MB)", megabytes(info.size_bytes)));
                return Ok(Fetched { info, pulled_name: None });
            }
            Err(err) if err.kind() == Kind::NotFound => {}
            Err(err) => return Err(err),
        }
        self.check_space().await?;
        talk.step(format!("Pulling {image}"));
        let begun = Instant::now();
        let login = self.rooms().store.registry_login(image.host().clone()).await?;
        let deadline = self.rooms().settings.build_time;
        let request = PullRequest { image: image.clone(), login, silence: UPLOAD_SILENCE, deadline };
        let mut progress = Progress { talk, told: Instant::now() };
        tokio::select! {
            pulled = Box::pin(engine.pull(request, |at| progress.tell(at))) => pulled?,
            () = cancelled.cancelled() => return Err(Error::busy("cancelled while the image was pulled")),
        }
        let info = engine.image(&name).await?;
        talk.step(format!("Image {} MB in {}", megabytes(info.size_bytes), seconds(begun.elapsed())));
        Ok(Fetched { info, pulled_name: Some(name) })
    }

    /// Keeps an image for a deploy, as a built one is kept: by a name that retention knows.
    pub(super) async fn keep_image(&self, app: &App, deploy: DeployId, fetched: &Fetched) -> Result<Built> {
        let tag = image_tag(app, deploy);
        self.rooms().engine.tag_image(&fetched.info.id, &tag).await?;
        Ok(Built { image: fetched.info.id.clone(), tag, exposed: fetched.info.exposed.clone(), process_table: ProcessTable::default() })
    }

    /// Lets go of the name that a pull made: `:latest` is then asked for anew the next time, and our own name decides how long it stays.
    pub(super) async fn release_pulled_name(&self, fetched: &Fetched) {
        let Some(name) = &fetched.pulled_name else { return };
        if let Err(err) = self.rooms().engine.remove_image(name).await {
            tracing::warn!(image = name, ?err, "the name of a pulled image is left in the engine");
        }
    }
}
