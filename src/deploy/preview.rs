//! How the live source is built and run: read, and not done.

use tokio_util::sync::CancellationToken;

use super::Deployer;
use crate::build::BuildPlan;
use crate::error::{Error, Result};
use crate::model::Revision;
use crate::store::{App, Release};

/// What a build of the live commit would do.
pub struct Preview {
    pub release: Release,
    pub plan: BuildPlan,
    /// As the engine would get it.
    pub dockerfile: String,
    pub warnings: Vec<String>,
}

impl Deployer {
    /// Reads the live commit's tree and plans its build, as a push would.
    ///
    /// Errors: `NotFound` when there is no source; what a push is refused for.
    pub async fn preview(&self, app: &App, cancelled: &CancellationToken) -> Result<Preview> {
        let (release, revision) = self.live_source(app).await?;
        let context = self.rooms().git.spool(&app.id, None, &revision.commit, &self.tmp(), cancelled).await?;
        let manifest = context.manifest();
        let plan = crate::build::plan(manifest.root_file("Dockerfile"), manifest.root_file("Procfile"))?;
        let as_it_came = manifest.root_file(&plan.dockerfile_name).unwrap_or_default();
        let dockerfile = String::from_utf8_lossy(plan.rewritten.as_deref().unwrap_or(as_it_came)).into_owned();
        let warnings = manifest.warnings().to_vec();
        Ok(Preview { release, plan, dockerfile, warnings })
    }

    /// Returns the live release and the commit that it was made of.
    pub(super) async fn live_source(&self, app: &App) -> Result<(Release, Revision)> {
        let Some(release) = self.live_release(&app.id).await? else {
            return Err(Error::not_found(format!("`{}` has no commit to build", app.name)).hint("git push mini main"));
        };
        if let Some(revision) = release.revision.clone() {
            return Ok((release, revision));
        }
        let sentence = format!("`{}` was released from an image: there is no source to build", app.name);
        Err(Error::not_found(sentence).hint(format!("release the image again: ssh mini deploy {} --image IMAGE", app.name)))
    }
}
