//! A source in a tar file becomes an image: BuildKit first, the classic builder where the engine has no other.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Refusal;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use super::classic::Transcript;
use super::progress::{BuildLine, Progress, Trace};
use super::{Engine, failure, label, verdict};
use crate::error::{Error, Result};
use crate::model::{AppId, ImageId};

/// Bytes of the context read at a time.
const CONTEXT_CHUNK: usize = 256 << 10;

/// What to build, under which name, and for how long.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// A tar file: the spooled source.
    pub context: PathBuf,
    /// The Dockerfile's path in the context.
    pub dockerfile: String,
    /// The image's name, one per deploy so that nothing is ever left unnamed: `mini/<app id>:<deploy id>`.
    pub tag: String,
    /// Whose image this is; with the server's instance it becomes the image's labels.
    pub app: AppId,
    /// Builds every step anew.
    pub no_cache: bool,
    /// A build that tells nothing for so long is ended.
    pub silence: Duration,
    /// A build that takes longer is ended.
    pub deadline: Duration,
    /// Ends the build: its processes are gone within a second.
    pub cancel: CancellationToken,
}

/// An image that was built, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    pub id: ImageId,
    pub size_bytes: u64,
    /// Numbered steps of the Dockerfile that this build went through.
    pub steps: usize,
    /// Those that came from the cache.
    pub cached_steps: usize,
    /// TCP ports that the image exposes, in order.
    pub exposed: Vec<u16>,
    /// The `USER` of the image; empty means root.
    pub user: String,
}

/// How one builder's attempt ended.
enum Attempt {
    Built(ImageId),
    /// The engine has no such builder: nothing was begun.
    Refused,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Builder {
    BuildKit,
    Classic,
}

/// One builder's reading of its event stream.
enum Reader {
    Trace(Trace),
    Transcript(Transcript),
}

impl Engine {
    /// Builds an image. Each line is told as it happens; a failure names the step and carries the last 50 lines.
    ///
    /// Cancel-safe: dropping the future ends the build. A Dockerfile that fails is not tried on the other builder.
    pub async fn build(&self, request: BuildRequest, on_line: impl FnMut(BuildLine) + Send) -> Result<BuiltImage> {
        let mut progress = Progress::new(on_line);
        let work = self.build_somehow(&request, &mut progress);
        let id = tokio::select! {
            () = request.cancel.cancelled() => Err(Error::failed("the build was cancelled")),
            ended = tokio::time::timeout(request.deadline, work) => ended.unwrap_or_else(|_| Err(endless(request.deadline))),
        }?;
        let image = self.image(id.as_str()).await?;
        let (steps, cached_steps) = (progress.steps, progress.cached);
        Ok(BuiltImage { id, size_bytes: image.size_bytes, steps, cached_steps, exposed: image.exposed, user: image.user })
    }

    async fn build_somehow<F: FnMut(BuildLine) + Send>(&self, request: &BuildRequest, progress: &mut Progress<F>) -> Result<ImageId> {
        for builder in [Builder::BuildKit, Builder::Classic] {
            if let Attempt::Built(id) = self.attempt(builder, request, progress).await? {
                return Ok(id);
            }
            tracing::info!("the engine has no BuildKit, building with its classic builder");
        }
        Err(Error::unavailable("the Docker Engine has no builder").hint("look at `docker info` on the server"))
    }

    async fn attempt<F: FnMut(BuildLine) + Send>(
        &self,
        builder: Builder,
        request: &BuildRequest,
        progress: &mut Progress<F>,
    ) -> Result<Attempt> {
        let docker = client(self.docker()?, builder).with_timeout(request.deadline);
        let file = tokio::fs::File::open(&request.context).await;
        let file = file.map_err(|err| Error::failed("the spooled source could not be read").because(err))?;
        let body = bollard::body_try_stream(ReaderStream::with_capacity(file, CONTEXT_CHUNK));
        let events = docker.build_image(self.options(request), None, Some(body));
        self.read(std::pin::pin!(events), Reader::of(builder), request, progress).await
    }

    async fn read<F: FnMut(BuildLine) + Send>(
        &self,
        mut events: impl Stream<Item = std::result::Result<BuildInfo, Refusal>> + Unpin + Send,
        mut reader: Reader,
        request: &BuildRequest,
        progress: &mut Progress<F>,
    ) -> Result<Attempt> {
        let begun = Instant::now();
        let mut images: Vec<ImageId> = Vec::new();
        let mut is_first = true;
        loop {
            let next = tokio::time::timeout(request.silence, events.next()).await;
            match next.map_err(|_| silent(request.silence))? {
                Some(Ok(info)) => images.extend(reader.feed(info, progress)),
                // bollard #560: a good stream can end in a decoder's error; an image that has its id is built.
                Some(Err(err)) if images.is_empty() || is_verdict(&err) => {
                    return self.ended(err, is_first && reader.is_trace(), progress);
                }
                Some(Err(_)) | None => break,
            }
            is_first = false;
        }
        reader.finish(progress);
        let id = images.pop().ok_or_else(|| Error::unavailable("the Docker Engine ended the build without an image"))?;
        tracing::debug!(image.id = %id, duration_ms = begun.elapsed().as_millis(), "an image was built");
        self.remove_stages(&images, &id).await;
        Ok(Attempt::Built(id))
    }

    /// Tells a builder that is not there from a build that failed.
    fn ended<F: FnMut(BuildLine)>(&self, err: Refusal, may_fall_back: bool, progress: &Progress<F>) -> Result<Attempt> {
        match &err {
            Refusal::DockerStreamError { error } => Err(verdict::failure(error, progress)),
            Refusal::DockerResponseServerError { message, .. } if verdict::is_dockerfile_error(message) => {
                Err(verdict::failure(message, progress))
            }
            _ if may_fall_back && failure::status(&err).is_some() => Ok(Attempt::Refused),
            _ => Err(self.explain(err)),
        }
    }

    /// The classic builder leaves one unnamed image per stage.
    async fn remove_stages(&self, images: &[ImageId], built: &ImageId) {
        for stage in images.iter().filter(|image| *image != built) {
            if let Err(err) = self.remove_image(stage.as_str()).await {
                tracing::debug!(image.id = %stage, error = ?err, "an earlier stage's image stays");
            }
        }
    }

    fn options(&self, request: &BuildRequest) -> BuildImageOptions {
        let labels: HashMap<String, String> = label::of_app(self.instance(), &request.app);
        // `RUN --mount=type=cache` is one folder for all builds of an engine: one app could poison another's (BuildKit, "build args").
        let cache_namespace = HashMap::from([("BUILDKIT_CACHE_MOUNT_NS".to_owned(), request.app.to_string())]);
        BuildImageOptionsBuilder::default()
            .dockerfile(&request.dockerfile)
            .t(&request.tag)
            .labels(&labels)
            .buildargs(&cache_namespace)
            .nocache(request.no_cache)
            .rm(true)
            .forcerm(true)
            .build()
    }
}

/// Asks for BuildKit without a session. bollard's own way needs one, and it leaves a connection and a detached task behind for
/// every build that is cancelled (measured: 7 of 8); all that a session would add is credentials, which no build gets.
fn client(docker: Docker, builder: Builder) -> Docker {
    if builder == Builder::Classic {
        return docker;
    }
    docker.with_request_modifier(|mut request| {
        let uri = request.uri().to_string().replacen("&version=1", "&version=2", 1);
        if let Ok(uri) = uri.parse() {
            *request.uri_mut() = uri;
        }
        request
    })
}

/// The build itself said that it failed, or the engine refused it.
fn is_verdict(err: &Refusal) -> bool {
    matches!(err, Refusal::DockerStreamError { .. } | Refusal::DockerResponseServerError { .. })
}

fn silent(silence: Duration) -> Error {
    Error::failed(format!("the build printed nothing for {} and was ended", in_words(silence)))
        .hint("let the step that takes so long print its progress")
}

fn endless(deadline: Duration) -> Error {
    Error::failed(format!("the build took longer than {} and was ended", in_words(deadline)))
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

// === impl Reader ===

impl Reader {
    fn of(builder: Builder) -> Self {
        match builder {
            Builder::BuildKit => Reader::Trace(Trace::default()),
            Builder::Classic => Reader::Transcript(Transcript::default()),
        }
    }

    fn is_trace(&self) -> bool {
        matches!(self, Reader::Trace(_))
    }

    /// Takes one event and returns the image that it announces.
    fn feed<F: FnMut(BuildLine)>(&mut self, info: BuildInfo, progress: &mut Progress<F>) -> Option<ImageId> {
        match (self, info.aux, info.stream) {
            (Reader::Trace(trace), Some(BuildInfoAux::BuildKit(status)), _) => trace.feed(&status, progress),
            (_, Some(BuildInfoAux::Default(image)), _) => return image.id.and_then(|id| id.parse().ok()),
            (Reader::Transcript(transcript), None, Some(text)) => transcript.feed(&text, progress),
            _ => {}
        }
        None
    }

    fn finish<F: FnMut(BuildLine)>(&mut self, progress: &mut Progress<F>) {
        if let Reader::Transcript(transcript) = self {
            transcript.finish(progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::Trial;
    use super::*;

    #[tokio::test]
    async fn the_classic_builder_tells_the_same_story_and_leaves_no_unnamed_image() {
        let trial = Trial::start();
        let app = trial.app();
        let dockerfile = format!("FROM busybox AS a\nRUN echo {app} > /a\nFROM busybox\nCOPY --from=a /a /a\nRUN cat /a\n");
        let request = trial.request(&app, &dockerfile);
        let mut lines = Vec::new();
        let mut progress = Progress::new(|line: BuildLine| lines.push(line.text().to_owned()));

        let built = trial.engine.attempt(Builder::Classic, &request, &mut progress).await.unwrap();

        let Attempt::Built(id) = built else { panic!("the engine has no classic builder") };
        assert_eq!(trial.engine.image(&request.tag).await.unwrap().id, id);
        assert_eq!(progress.steps, 5);
        assert!(lines.iter().any(|line| line == app.as_str()), "{lines:?}");
        trial.end().await;
    }

    #[tokio::test]
    async fn a_step_that_prints_a_flood_is_read_line_by_line() {
        let trial = Trial::start();
        let app = trial.app();
        let request = trial.request(&app, &format!("FROM busybox\nRUN yes {app} | head -c 20000000\n"));
        let (before, mut told) = (peak_memory_mib(), 0);
        let mut progress = Progress::new(|line: BuildLine| told += line.text().len());

        trial.engine.attempt(Builder::Classic, &request, &mut progress).await.unwrap();

        assert!(told > 15_000_000, "{told} bytes");
        assert!(peak_memory_mib() < before + 32, "{} MiB after {before} MiB", peak_memory_mib());
        trial.end().await;
    }

    /// The most memory that this process has had at once.
    fn peak_memory_mib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
    }

    #[tokio::test]
    async fn the_classic_builder_fails_in_the_same_words() {
        let trial = Trial::start();
        let app = trial.app();

        for (dockerfile, sentence) in [
            ("FROM busybox\nRUN exit 3\n", "`RUN exit 3` failed with exit code 3"),
            ("FROM busybox\nRUNN a\n", "the Dockerfile has an error on line 2: unknown instruction: RUNN"),
            ("FROM localhost:1/foo:1\n", "the image `localhost:1/foo:1` could not be pulled"),
        ] {
            let request = trial.request(&app, dockerfile);
            let failed = trial.engine.attempt(Builder::Classic, &request, &mut Progress::new(drop)).await;
            assert_eq!(failed.err().map(|err| err.to_string()).as_deref(), Some(sentence));
        }
        trial.end().await;
    }
}
