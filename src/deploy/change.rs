//! Releases without a push: config changes, rollbacks, rebuilds. They go through the same gate.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::prove::Recipe;
use super::turns::{Attempt, ReleaseTurn};
use super::{Config, Deployer, Talk};
use crate::command::Released;
use crate::error::{Error, Kind, Result};
use crate::model::limits::MAX_CONFIG_VALUES;
use crate::model::{AppId, ConfigName, ReleaseKind, ReleaseState, Secret, Version};
use crate::store::{App, Release};

/// A change to an app that makes a release.
pub enum Change {
    Config {
        change: ConfigChange,
        /// Only kept for the next release or `ps:restart`.
        is_quiet: bool,
    },
    /// To this release, or to the one that was live before the present one.
    Rollback(Option<Version>),
    Rebuild {
        no_cache: bool,
    },
}

/// A change to an app's config variables.
pub enum ConfigChange {
    Set(Vec<(ConfigName, Secret)>),
    Unset(Vec<ConfigName>),
}

/// What a recipe takes from an earlier release.
struct Base {
    release: Release,
    config: Config,
    kind: ReleaseKind,
    description: String,
}

// === impl ConfigChange ===

impl ConfigChange {
    /// Applies the change; `None` when it changes nothing. Errors: `NotFound` for unsetting what is not there, `Usage` for too many.
    fn apply(&self, mut config: Config) -> Result<Option<Config>> {
        let before = config.clone();
        match self {
            ConfigChange::Set(pairs) => config.extend(pairs.iter().cloned()),
            ConfigChange::Unset(names) => {
                for name in names {
                    if config.remove(name).is_none() {
                        return Err(
                            Error::not_found(format!("there is no config variable `{name}`")).hint("see the names: ssh mini config APP")
                        );
                    }
                }
            }
        }
        if config.len() > MAX_CONFIG_VALUES {
            return Err(Error::usage(format!("an app has at most {MAX_CONFIG_VALUES} config variables")));
        }
        Ok((config != before).then_some(config))
    }

    fn description(&self) -> String {
        let names = |names: &mut dyn Iterator<Item = &ConfigName>| names.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            ConfigChange::Set(pairs) => format!("set {}", names(&mut pairs.iter().map(|(name, _)| name))),
            ConfigChange::Unset(list) => format!("unset {}", names(&mut list.iter())),
        }
    }
}

impl Deployer {
    /// Makes the change's release. `None`: there was nothing to release (no release yet, or nothing changed), and that is said.
    pub async fn change(
        &self,
        app: &AppId,
        change: Change,
        by: &str,
        talk: &Talk,
        cancelled: &CancellationToken,
    ) -> Result<Option<Released>> {
        let talk = &self.logged(app, talk);
        let present = self.present(app).await?;
        let attempt = self.inner.turns.attempt();
        let work = Box::pin(self.make_change(present.clone(), change, by, talk, &attempt));
        let changed = self.unless_left(&attempt, cancelled, work).await;
        if let Err(err) = &changed {
            tracing::info!(app.name = %present.name, %by, ?err, "a change was not released");
            talk.only_kept().error(err);
            self.after_failure(&present, talk).await;
        }
        changed
    }

    async fn make_change(&self, app: App, change: Change, by: &str, talk: &Talk, attempt: &Arc<Attempt>) -> Result<Option<Released>> {
        match change {
            Change::Config { change, is_quiet } => self.change_config(app, &change, is_quiet, by, talk, attempt).await,
            Change::Rollback(to) => {
                let turn = self.release_turn(&app.id, talk, attempt).await?;
                let base = self.rollback_base(&app, to).await?;
                self.say_what_is_dropped(&app, talk).await?;
                crate::failpoint!("rollback::chosen");
                self.release_base(app, base, by, turn, talk, attempt).await.map(Some)
            }
            Change::Rebuild { no_cache } => Box::pin(self.rebuild(app, no_cache, by, talk, attempt)).await.map(Some),
        }
    }

    async fn change_config(
        &self,
        app: App,
        change: &ConfigChange,
        is_quiet: bool,
        by: &str,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<Option<Released>> {
        let turn = self.release_turn(&app.id, talk, attempt).await?;
        crate::failpoint!("config::before");
        let store = &self.rooms().store;
        let Some(config) = change.apply(store.config(app.id.clone()).await?)? else {
            talk.step("Nothing to change: the config is like that already");
            return Ok(None);
        };
        super::environment::port(&config, &[])?;
        let Some(release) = self.live_release(&app.id).await? else {
            store.replace_config(app.id.clone(), config).await?;
            crate::failpoint!("config::saved");
            talk.step(format!("Saved for `{}`: its first release will have it", app.name));
            return Ok(None);
        };
        if is_quiet || self.present(&app.id).await?.is_stopped {
            store.save_config(app.id.clone(), config).await?;
            let when = if is_quiet {
                "the next push, config change or `ps:restart` of all has it"
            } else {
                "it is stopped, and `ps:start` has it"
            };
            talk.step(format!("Saved for `{}`: {when}", app.name));
            return Ok(None);
        }
        let base = Base { release, config, kind: ReleaseKind::Config, description: change.description() };
        self.release_base(app, base, by, turn, talk, attempt).await.map(Some)
    }

    async fn rollback_base(&self, app: &App, to: Option<Version>) -> Result<Base> {
        let store = &self.rooms().store;
        let see = format!("ssh mini releases {}", app.name);
        let releases = store.releases(app.id.clone()).await?;
        let was_live = |release: &&Release| release.live_at.is_some() && release.state != ReleaseState::Live;
        let target = match to {
            Some(version) => releases.into_iter().find(|release| release.version == version),
            None => releases.iter().filter(was_live).max_by_key(|release| release.live_at).cloned(),
        };
        let Some(release) = target else {
            let what = to
                .map_or_else(|| "there is no earlier release to go back to".to_owned(), |version| format!("there is no release {version}"));
            return Err(Error::not_found(what).hint(see));
        };
        let version = release.version;
        if release.state == ReleaseState::Live {
            return Err(Error::usage(format!("{version} is what is live")).hint(see));
        }
        if release.live_at.is_none() {
            return Err(Error::usage(format!("{version} never went live")).hint(see));
        }
        match self.rooms().engine.image(release.image.as_str()).await {
            Err(err) if err.kind() == Kind::NotFound => {
                let again = match &release.revision {
                    None => format!("release the image again: ssh mini deploy {} --image IMAGE", app.name),
                    Some(revision) if revision.is_recorded => "deploy that source again".to_owned(),
                    Some(_) => "push that commit again".to_owned(),
                };
                return Err(Error::not_found(format!("the image of {version} is no longer kept")).hint(again).because(err));
            }
            other => drop(other?),
        }
        self.check_commit(&release).await?;
        let config = store.release_config(app.id.clone(), version).await?;
        Ok(Base { release, config, kind: ReleaseKind::Rollback, description: format!("rollback to {version}") })
    }

    /// Names the variables that were saved for the next release: a rollback brings the config of its own release.
    async fn say_what_is_dropped(&self, app: &App, talk: &Talk) -> Result<()> {
        let Some(live) = self.live_release(&app.id).await? else { return Ok(()) };
        let store = &self.rooms().store;
        let (saved, runs) = (store.config(app.id.clone()).await?, store.release_config(app.id.clone(), live.version).await?);
        let dropped: Vec<&str> =
            saved.iter().filter(|(name, value)| runs.get(name) != Some(value)).map(|(name, _)| name.as_str()).collect();
        if !dropped.is_empty() {
            talk.detail(format!("warning: saved and never released, it is dropped: {}", dropped.join(", ")));
        }
        Ok(())
    }

    /// Releases the config that was saved while nothing was to be restarted; gives the turn back when there is none.
    pub(super) async fn release_saved_config(
        &self,
        app: &App,
        live: &Release,
        by: &str,
        turn: ReleaseTurn,
        talk: &Talk,
        attempt: &Attempt,
    ) -> Result<Result<Released, ReleaseTurn>> {
        let store = &self.rooms().store;
        let config = store.config(app.id.clone()).await?;
        if config == store.release_config(app.id.clone(), live.version).await? {
            return Ok(Err(turn));
        }
        let description = "config that was saved before".to_owned();
        let base = Base { release: live.clone(), config, kind: ReleaseKind::Config, description };
        self.release_base(app.clone(), base, by, turn, talk, attempt).await.map(Ok)
    }

    async fn release_base(&self, app: App, base: Base, by: &str, turn: ReleaseTurn, talk: &Talk, attempt: &Attempt) -> Result<Released> {
        let begun = Instant::now();
        // Before the journal's row, which an early error would leave open.
        let image = self.rooms().engine.image(base.release.image.as_str()).await?;
        let deploy = self.begin_kept(&app, base.kind, base.release.commit(), by, talk, attempt).await?;
        let recipe = Recipe {
            deploy,
            kind: base.kind,
            revision: base.release.revision,
            recorded: None,
            image: base.release.image,
            image_tag: base.release.image_tag,
            exposed: image.exposed,
            process_table: base.release.process_table,
            by: by.to_owned(),
            description: base.description,
            config: base.config,
            app,
        };
        self.release(deploy, self.prove(recipe, turn, talk, attempt), begun, talk, attempt).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), Secret::new((*value).to_owned()))).collect()
    }

    #[test]
    fn setting_what_is_set_changes_nothing_and_unsetting_what_is_not_is_an_error() {
        let set = |value: &str| ConfigChange::Set(vec![("A".parse().unwrap(), Secret::new(value.to_owned()))]);
        let unset = |name: &str| ConfigChange::Unset(vec![name.parse().unwrap()]);

        assert!(set("1").apply(config(&[("A", "1")])).unwrap().is_none());
        assert_eq!(set("2").apply(config(&[("A", "1")])).unwrap(), Some(config(&[("A", "2")])));
        assert_eq!(unset("A").apply(config(&[("A", "1"), ("B", "2")])).unwrap(), Some(config(&[("B", "2")])));
        assert!(unset("C").apply(config(&[("A", "1")])).is_err());
    }

    #[test]
    fn a_description_names_variables_and_never_values() {
        let change = ConfigChange::Set(vec![("TOKEN".parse().unwrap(), Secret::new("s3cret".into()))]);

        assert_eq!(change.description(), "set TOKEN");
    }
}
