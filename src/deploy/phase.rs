//! The release command of a Procfile: it runs once before a release starts, and its failure is the release's.

use std::time::Instant;

use futures_util::StreamExt;

use super::explain::seconds;
use super::start::Blueprint;
use super::turns::Attempt;
use super::{Deployer, Talk};
use crate::engine::ExitState;
use crate::error::{Error, Result};
use crate::model::{ContainerId, ProcessType};

impl Deployer {
    /// Runs the release command, if there is one, with the release's image and config, and passes on what it prints.
    ///
    /// It has as long as a build. Errors: it did not end with exit code 0; its container is then for whoever undoes the release.
    pub(super) async fn run_release_command(&self, plan: &Blueprint, talk: &Talk, attempt: &Attempt) -> Result<()> {
        if plan.release.process_table.release_command().is_none() {
            return Ok(());
        }
        talk.step("Running the release command");
        let begun = Instant::now();
        let started = self.start_processes(plan, &[(ProcessType::release(), 1)]).await?;
        let Some(container) = started.first().and_then(|process| process.container.as_ref()) else { return Ok(()) };
        let limit = self.rooms().settings.build_time;
        let exit = tokio::select! {
            biased;
            () = attempt.token().cancelled() => return Err(Error::busy("cancelled while the release command ran")),
            exit = self.pass_on(container, talk) => exit?,
            () = tokio::time::sleep(limit) => {
                return Err(Error::failed(format!("the release command did not end within {}", seconds(limit))));
            }
        };
        if exit.code != 0 {
            let why = if exit.oom { ": it ran out of memory" } else { "" };
            return Err(Error::failed(format!(
                "the release command exited with code {} after {}{why}",
                exit.code,
                seconds(begun.elapsed())
            ))
            .hint("see the line `release:` of your `Procfile`"));
        }
        talk.detail(format!("it ended well after {}", seconds(begun.elapsed())));
        self.end_processes(&plan.app, &started).await;
        Ok(())
    }

    async fn pass_on(&self, container: &ContainerId, talk: &Talk) -> Result<ExitState> {
        let engine = &self.rooms().engine;
        let mut lines = engine.follow(container, None, None);
        // The lines end with the container, or with the engine: then the exit tells which.
        while let Some(line) = lines.next().await {
            talk.detail(line.text);
        }
        engine.wait_exit(container).await
    }
}
