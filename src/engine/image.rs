//! Images: what they say of themselves, which an app has, and how they go.

use std::collections::BTreeMap;

use bollard::models::{ImageInspect, ImageSummary as Listed};
use bollard::query_parameters::{ListImagesOptionsBuilder, PruneBuildOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder};

use super::failure::absent_is_none;
use super::label::Filters;
use super::{Engine, label};
use crate::error::{Error, Kind, Result};
use crate::model::{AppId, ImageId, Stamp};

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    pub id: ImageId,
    pub size_bytes: u64,
    /// TCP ports that it exposes, in order.
    pub exposed: Vec<u16>,
    /// The `USER`; empty means root.
    pub user: String,
    pub tags: Vec<String>,
}

/// An image of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    pub id: ImageId,
    pub tags: Vec<String>,
    pub size_bytes: u64,
    pub created_at: Stamp,
}

impl Engine {
    /// Looks an image up by tag or id.
    pub async fn image(&self, image: &str) -> Result<ImageInfo> {
        let found = self.call(|docker| async move { absent_is_none(docker.inspect_image(image).await) }).await?;
        ImageInfo::read(found.ok_or_else(|| Error::not_found(format!("the image `{image}` is not there any more")))?)
    }

    /// Removes a name, and the image with its last name. An image that is gone is fine; one in use stays, as `Kind::Busy`.
    pub async fn remove_image(&self, image: &str) -> Result<()> {
        let options = RemoveImageOptionsBuilder::default().build();
        let removal = self.call(|docker| async move { absent_is_none(docker.remove_image(image, Some(options), None).await) }).await;
        match removal {
            Err(err) if err.kind() == Kind::Busy => Err(Error::busy(format!("the image `{image}` is in use")).because(err)),
            other => other.map(drop),
        }
    }

    /// Gives an image one more name, `repository:tag`.
    pub async fn tag_image(&self, image: &ImageId, name: &str) -> Result<()> {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.call(|docker| async move { docker.tag_image(image.as_str(), Some(options)).await }).await
    }

    /// Lists an app's images: those built for it, also without a name, and those that only bear a name of its own, `mini/<app id>:…`.
    ///
    /// Their other names are somebody else's and are left out.
    pub async fn images(&self, app: &AppId) -> Result<Vec<ImageSummary>> {
        let prefix = format!("mini/{app}:");
        let named = Filters::from([("reference".to_owned(), vec![format!("{prefix}*")])]);
        let mut found: BTreeMap<String, ImageSummary> = BTreeMap::new();
        for filters in [label::filter_app(self.instance(), app), named] {
            let options = ListImagesOptionsBuilder::default().filters(&filters).build();
            let images = self.call(|docker| async move { docker.list_images(Some(options)).await }).await?;
            for mut image in images.into_iter().filter_map(ImageSummary::read) {
                let is_nameless = image.tags.is_empty();
                image.tags.retain(|tag| tag.starts_with(&prefix));
                if is_nameless || !image.tags.is_empty() {
                    found.insert(image.id.to_string(), image);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    /// Lists all images that this server built, with the app that each was built for.
    pub async fn all_images(&self) -> Result<Vec<(AppId, ImageSummary)>> {
        let filters = label::filter_instance(self.instance());
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let images = self.call(|docker| async move { docker.list_images(Some(options)).await }).await?;
        let of_app = |image: Listed| {
            let app: AppId = image.labels.get(label::APP)?.parse().ok()?;
            let mut image = ImageSummary::read(image)?;
            let is_nameless = image.tags.is_empty();
            image.tags.retain(|tag| tag.starts_with(&format!("mini/{app}:")));
            // Whoever builds upon an app's image gets its labels too, and names it otherwise.
            (is_nameless || !image.tags.is_empty()).then_some((app, image))
        };
        Ok(images.into_iter().filter_map(of_app).collect())
    }

    /// Shrinks the build cache of the engine to `max_bytes`, oldest use first; returns the bytes that were freed.
    pub async fn prune_build_cache(&self, max_bytes: u64) -> Result<u64> {
        let keep = i64::try_from(max_bytes).unwrap_or(i64::MAX);
        let options = PruneBuildOptionsBuilder::default().all(true).max_used_space(keep).build();
        let work = |docker: bollard::Docker| async move {
            // Engines before API 1.48 know `keep-storage` only, and without it they drop the whole cache.
            let docker = docker.with_request_modifier(move |mut request| {
                if let Ok(uri) = format!("{}&keep-storage={keep}", request.uri()).parse() {
                    *request.uri_mut() = uri;
                }
                request
            });
            docker.prune_build(Some(options)).await
        };
        let pruned = self.call_within(self.inner.answer * 10, work).await?;
        Ok(pruned.space_reclaimed.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0))
    }
}

// === impl ImageInfo ===

impl ImageInfo {
    /// Tells whether the image's processes start as root.
    #[must_use]
    pub fn runs_as_root(&self) -> bool {
        let user = self.user.split(':').next().unwrap_or_default();
        matches!(user, "" | "0" | "root")
    }

    fn read(image: ImageInspect) -> Result<Self> {
        let config = image.config.unwrap_or_default();
        Ok(ImageInfo {
            id: image.id.unwrap_or_default().parse()?,
            size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            exposed: tcp_ports(&config.exposed_ports.unwrap_or_default()),
            user: config.user.unwrap_or_default(),
            tags: image.repo_tags.unwrap_or_default(),
        })
    }
}

// === impl ImageSummary ===

impl ImageSummary {
    fn read(image: Listed) -> Option<Self> {
        let tags = image.repo_tags.into_iter().filter(|tag| tag != "<none>:<none>").collect();
        let created_at = Stamp::from_millis(image.created.saturating_mul(1000));
        Some(ImageSummary { id: image.id.parse().ok()?, tags, size_bytes: u64::try_from(image.size).unwrap_or(0), created_at })
    }
}

/// Reads `["80/tcp", "53/udp", "9000"]`.
fn tcp_ports(exposed: &[String]) -> Vec<u16> {
    let port = |text: &String| text.strip_suffix("/tcp").unwrap_or(text).parse().ok();
    let mut ports: Vec<u16> = exposed.iter().filter_map(port).collect();
    ports.sort_unstable();
    ports
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    #[test]
    fn only_tcp_ports_count_and_they_are_in_order() {
        assert_eq!(tcp_ports(&["8080/tcp".into(), "53/udp".into(), "80/tcp".into(), "9000".into()]), [80, 8080, 9000]);
    }

    #[tokio::test]
    async fn an_image_that_is_not_there_is_not_found_and_can_be_removed_again() {
        let engine = trial::engine();

        assert_eq!(engine.image("mini/nosuch:1").await.unwrap_err().kind(), Kind::NotFound);
        engine.remove_image("mini/nosuch:1").await.unwrap();
    }
}
