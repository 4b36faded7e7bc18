//! An image comes from its registry: layers side by side, told as one count of bytes.

use std::collections::HashMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error as Refusal;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::{Engine, failure};
use crate::error::{Error, Result};
use crate::model::{ImageRef, Secret};

/// What to pull, as whom, and for how long.
#[derive(Clone, Debug)]
pub struct PullRequest {
    pub image: ImageRef,
    /// Username and password; `None` asks as nobody in particular.
    pub login: Option<(String, Secret)>,
    /// A registry that gives nothing for so long is given up.
    pub silence: Duration,
    pub deadline: Duration,
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    pub layers: usize,
    pub layers_done: usize,
    /// Bytes of the layers that have told their length.
    pub bytes: u64,
    pub bytes_done: u64,
}

/// The layers of one pull, by their short ids.
#[derive(Default)]
struct Layers(HashMap<String, Layer>);

#[derive(Clone, Copy, Default)]
struct Layer {
    bytes: u64,
    bytes_done: u64,
    is_done: bool,
}

impl Engine {
    /// Pulls an image and tells each step of the way; who shows it leaves out what is too much.
    ///
    /// Cancel-safe: the engine ends a pull whose caller has left. Errors name the image and tell what to do.
    pub async fn pull<F: FnMut(Pulled) + Send>(&self, request: PullRequest, mut on_progress: F) -> Result<()> {
        self.check().await?;
        let options = CreateImageOptionsBuilder::default().from_image(&request.image.qualified()).build();
        let credentials = request.login.as_ref().map(|(username, password)| DockerCredentials {
            username: Some(username.clone()),
            password: Some(password.expose().to_owned()),
            serveraddress: Some(request.image.host().server_address()),
            ..DockerCredentials::default()
        });
        let docker = self.docker()?.with_timeout(request.deadline);
        let mut events = std::pin::pin!(docker.create_image(Some(options), None, credentials));
        let end = Instant::now() + request.deadline;
        let mut layers = Layers::default();
        loop {
            let silent = (Instant::now() + request.silence).min(end);
            let next = tokio::time::timeout_at(silent, events.next()).await.map_err(|_| too_slow(&request, end))?;
            match next {
                Some(Ok(info)) => match info.error_detail.as_ref().and_then(|detail| detail.message.as_deref()) {
                    Some(message) => return Err(refused(&request, message)),
                    None => on_progress(layers.take(info)),
                },
                Some(Err(Refusal::DockerStreamError { error: message } | Refusal::DockerResponseServerError { message, .. })) => {
                    return Err(refused(&request, &message));
                }
                Some(Err(err)) => return Err(failure::explain(self.socket(), request.deadline, err)),
                None => return Ok(()),
            }
        }
    }
}

// === impl Layers ===

impl Layers {
    fn take(&mut self, info: CreateImageInfo) -> Pulled {
        let (Some(id), Some(status)) = (info.id, info.status) else { return self.sum() };
        // The first line names the tag where the others name a layer.
        if status.starts_with("Pulling from") {
            return self.sum();
        }
        let layer = self.0.entry(id).or_default();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        match (status.as_str(), info.progress_detail) {
            ("Downloading", Some(detail)) => {
                layer.bytes = number(detail.total).max(layer.bytes);
                layer.bytes_done = number(detail.current).min(layer.bytes);
            }
            ("Download complete", _) => layer.bytes_done = layer.bytes,
            ("Pull complete" | "Already exists", _) => *layer = Layer { is_done: true, bytes_done: layer.bytes, ..*layer },
            _ => {}
        }
        self.sum()
    }

    fn sum(&self) -> Pulled {
        let mut sum = Pulled { layers: self.0.len(), ..Pulled::default() };
        for layer in self.0.values() {
            sum.layers_done += usize::from(layer.is_done);
            sum.bytes += layer.bytes;
            sum.bytes_done += layer.bytes_done;
        }
        sum
    }
}

fn too_slow(request: &PullRequest, end: Instant) -> Error {
    let image = &request.image;
    if Instant::now() >= end {
        return Error::failed(format!("`{image}` was not pulled within {} s", request.deadline.as_secs()));
    }
    Error::failed(format!("`{}` gave nothing of `{image}` for {} s", image.host(), request.silence.as_secs())).hint("try again")
}

/// Says in a sentence what a registry's refusal means (OCI distribution specification, "Error Codes"; the engine's own words besides).
fn refused(request: &PullRequest, message: &str) -> Error {
    let (image, host) = (&request.image, request.image.host());
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let err = if says(&["unauthorized", "no basic auth", "authentication required", "access denied", "access to the resource is denied"]) {
        denied(request)
    } else if says(&["manifest unknown", "manifest for", "name unknown", "not found: does not exist", "NAME_UNKNOWN"]) {
        Error::not_found(format!("`{host}` has no image `{image}`")).hint("check its name and tag")
    } else if says(&["no matching manifest"]) {
        Error::failed(format!("`{image}` is not made for this machine's kind of processor"))
    } else if says(&["no space left"]) {
        Error::unavailable("the server's disk is full").hint("free space on the server (ssh mini prune), then deploy again")
    } else if says(&["HTTP response to HTTPS client"]) {
        Error::failed(format!("`{host}` does not speak https"))
            .hint("give it a certificate, or on the server: add it to \"insecure-registries\" in /etc/docker/daemon.json")
    } else if says(&["certificate"]) {
        Error::failed(format!("the certificate of `{host}` is not one that the server trusts"))
            .hint(format!("on the server: put its CA into /etc/docker/certs.d/{host}/ca.crt"))
    } else if says(&["no such host", "connection refused", "dial tcp", "i/o timeout", "deadline exceeded", "unreachable"]) {
        Error::unavailable(format!("the registry `{host}` could not be reached from the server"))
            .hint(format!("check the address, and on the server: docker pull {image}"))
    } else {
        Error::failed(format!("`{image}` could not be pulled: {}", message.trim().escape_debug()))
    };
    err.because(message.to_owned())
}

fn denied(request: &PullRequest) -> Error {
    let (image, host) = (&request.image, request.image.host());
    match &request.login {
        // Docker's own registry says the same of what is not there.
        None => Error::not_allowed(format!("`{host}` does not give `{image}` to everybody, or has no such image"))
            .hint(format!("check its name, or log in as an admin: mini registry:login {host} USERNAME - < password.txt")),
        Some((username, _)) => Error::not_allowed(format!("`{host}` does not give `{image}` to `{username}`"))
            .hint(format!("check its name, or log in again: mini registry:login {host} USERNAME - < password.txt")),
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;
    use crate::error::Kind;

    fn request(image: &str) -> PullRequest {
        let second = Duration::from_secs(1);
        PullRequest { image: image.parse().unwrap(), login: None, silence: second, deadline: second }
    }

    fn info(id: &str, status: &str, of: Option<(i64, i64)>) -> CreateImageInfo {
        let progress_detail = of.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) });
        CreateImageInfo { id: Some(id.into()), status: Some(status.into()), progress_detail, error_detail: None }
    }

    #[test]
    fn layers_are_summed_and_extraction_is_not_counted_twice() {
        let mut layers = Layers::default();

        layers.take(info("1.27", "Pulling from library/nginx", None));
        layers.take(info("aa", "Already exists", None));
        layers.take(info("bb", "Downloading", Some((50, 200))));
        layers.take(info("cc", "Waiting", None));
        layers.take(info("bb", "Download complete", None));
        let sum = layers.take(info("bb", "Extracting", Some((10, 200))));

        assert_eq!(sum, Pulled { layers: 3, layers_done: 1, bytes: 200, bytes_done: 200 });
        assert_eq!(layers.take(info("bb", "Pull complete", None)).layers_done, 2);
    }

    #[test]
    fn each_refusal_has_its_sentence() {
        for (message, kind, sentence) in [
            ("manifest for nginx:9 not found: manifest unknown: manifest unknown", Kind::NotFound, "`docker.io` has no image `nginx:9`"),
            (
                "pull access denied for x/y, repository does not exist or may require 'docker login'",
                Kind::NotAllowed,
                "`docker.io` does not give `nginx:9` to everybody, or has no such image",
            ),
            ("Head \"https://a/v2/\": no basic auth credentials", Kind::NotAllowed, "`docker.io` does not give `nginx:9` to everybody"),
            ("dial tcp: lookup a on 1.1.1.1:53: no such host", Kind::Unavailable, "the registry `docker.io` could not be reached"),
            ("x509: certificate signed by unknown authority", Kind::Failed, "the certificate of `docker.io` is not one"),
            ("oh\u{1b}[31m", Kind::Failed, "`nginx:9` could not be pulled: oh\\u{1b}[31m"),
        ] {
            let err = refused(&request("nginx:9"), message);

            assert_eq!(err.kind(), kind, "{message}");
            assert!(err.sentence().starts_with(sentence), "{err}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_is_not_there_is_named() {
        let err = super::super::trial::engine().pull(request("127.0.0.1:1/a/b:1"), drop).await.unwrap_err();

        assert_eq!(err.sentence(), "the registry `127.0.0.1:1` could not be reached from the server");
    }
}
