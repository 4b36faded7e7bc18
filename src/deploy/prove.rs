//! From an image to a release that answers, while the old one serves: number, start, probe; all of it can be thrown away.

use super::environment::{self, Config};
use super::fault::contained;
use super::owed::End;
use super::start::{Blueprint, say_start};
use super::turns::{Attempt, ReleaseTurn};
use super::way::Way;
use super::{Deployer, Talk};
use crate::error::Result;
use crate::git::Recorded;
use crate::model::{ImageId, ProcessTable, ProcessType, ReleaseKind, Revision, Stage, Version};
use crate::route::Traffic;
use crate::store::{App, DeployId, NewRelease, Process, Release};

/// What a release is made of.
pub(super) struct Recipe {
    pub app: App,
    pub deploy: DeployId,
    pub kind: ReleaseKind,
    /// `None`: an image without a source.
    pub revision: Option<Revision>,
    /// The revision's commit, which the switch makes part of the repository.
    pub recorded: Option<Recorded>,
    pub image: ImageId,
    pub image_tag: String,
    pub exposed: Vec<u16>,
    pub process_table: ProcessTable,
    pub by: String,
    pub description: String,
    pub config: Config,
}

/// A release that answers and does not serve yet. It is either switched to or abandoned.
pub(super) struct Proven {
    pub recipe: Recipe,
    pub release: Release,
    /// Those that were proven; the others start after the switch.
    pub processes: Vec<Process>,
    /// The release that serves meanwhile.
    pub beside: Option<Version>,
    /// What had to end before this one could start.
    pub way: Way,
    pub traffic: Traffic,
    pub turn: ReleaseTurn,
}

impl Deployer {
    /// Starts the recipe's release and waits until it answers. On an error nothing of it is left but its failed row.
    pub(super) async fn prove(&self, mut recipe: Recipe, turn: ReleaseTurn, talk: &Talk, attempt: &Attempt) -> Result<Proven> {
        let port = environment::port(&recipe.config, &recipe.exposed)?;
        let rooms = self.rooms();
        // As it is now: while the source was built, its limits and storage may have changed.
        recipe.app = rooms.store.app(recipe.app.id.clone()).await?;
        let beside = recipe.app.current_version;
        let traffic = rooms.routes.traffic(&recipe.app.id);
        let new = NewRelease {
            kind: recipe.kind,
            revision: recipe.revision.clone(),
            image: recipe.image.clone(),
            image_tag: recipe.image_tag.clone(),
            by: recipe.by.clone(),
            description: recipe.description.clone(),
            config: recipe.config.clone(),
            port,
            process_table: recipe.process_table.clone(),
        };
        let mut release = rooms.store.begin_release(recipe.app.id.clone(), new).await?;
        crate::failpoint!("starting::numbered");
        if let Err(err) = rooms.store.attach_version(recipe.deploy, release.version).await {
            self.fail_release(&recipe, release.version, err.sentence()).await;
            return Err(err);
        }
        let mut way = Way::default();
        match contained(self.start_and_probe(&recipe, &mut release, &mut way, talk, attempt)).await {
            Ok(processes) => Ok(Proven { recipe, release, processes, beside, way, traffic, turn }),
            Err(err) => {
                let err = attempt.verdict_on(err);
                self.undo(&recipe, release.version, way, err.sentence()).await;
                Err(err)
            }
        }
    }

    async fn start_and_probe(
        &self,
        recipe: &Recipe,
        release: &mut Release,
        way: &mut Way,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<Vec<Process>> {
        let formation = self.rooms().store.formation(recipe.app.id.clone()).await?;
        let proven = to_prove(recipe.process_table.wanted(&formation));
        self.make_way(&recipe.app, &proven, way, talk).await?;
        crate::failpoint!("starting::before");
        self.rooms().store.advance(recipe.deploy, Stage::Starting).await?;
        crate::failpoint!("starting::committed");
        let plan = Blueprint { app: recipe.app.clone(), release: release.clone(), config: recipe.config.clone() };
        self.run_release_command(&plan, talk, attempt).await?;
        say_start(talk, &proven, way.beside());
        talk.stage(Stage::Starting);
        let processes = self.start_processes(&plan, &proven).await?;
        self.reach(recipe.deploy, Stage::Probing, talk).await?;
        crate::failpoint!("probing::committed");
        if let Some(port) = self.prove_processes(&plan, &processes, talk, attempt.token()).await? {
            self.take_port(release, port, talk).await?;
        }
        crate::failpoint!("probing::answered");
        Ok(processes)
    }

    /// Throws a proven release away: whoever brought it did not take it.
    pub(super) async fn abandon(&self, proven: Proven, reason: &str) {
        self.undo(&proven.recipe, proven.release.version, proven.way, reason).await;
    }

    async fn undo(&self, recipe: &Recipe, version: Version, way: Way, reason: &str) {
        self.discard_starting(&recipe.app, version).await;
        self.fail_release(recipe, version, reason).await;
        self.go_back(&recipe.app, way).await;
    }

    async fn fail_release(&self, recipe: &Recipe, version: Version, reason: &str) {
        self.write_down(End::NeverLive(recipe.app.id.clone(), version, reason.to_owned())).await;
        self.note(&recipe.app.id, "release", &format!("{version} failed: {reason}")).await;
    }
}

/// Picks what a release is judged by: its web processes, or, where there are none, all of them.
fn to_prove(wanted: Vec<(ProcessType, u32)>) -> Vec<(ProcessType, u32)> {
    let (web, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(kind, _)| kind.is_web());
    if web.is_empty() { others } else { web }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_judged_by_its_web_processes_or_by_all_it_has() {
        let of = |names: &[&str]| names.iter().map(|name| (name.parse::<ProcessType>().unwrap(), 1)).collect::<Vec<_>>();

        assert_eq!(to_prove(of(&["web", "worker"])), of(&["web"]));
        assert_eq!(to_prove(of(&["clock", "worker"])), of(&["clock", "worker"]));
        assert_eq!(to_prove(vec![]), vec![]);
    }
}
