//! Verbs that list and make releases; those that make one answer with its story, line by line.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Event, ReleaseRow, Released, Reply};
use crate::deploy::{Change, Deployer, Talk};
use crate::error::{Error, Result};
use crate::model::Version;
use crate::store::App;

impl Platform {
    pub(super) async fn list_releases(&self, permit: &Permit, newest: usize) -> Result<Reply> {
        let mut releases = self.rooms().store.releases(permit.app().id.clone()).await?;
        releases.sort_by_key(|release| std::cmp::Reverse(release.version));
        let rows = releases.into_iter().take(newest).map(|release| ReleaseRow {
            version: release.version,
            kind: release.kind,
            state: release.state,
            commit: release.commit,
            description: release.description,
            by: release.by,
            created_at: release.created_at,
            reason: release.reason,
        });
        Ok(Reply::Value(Answer::Releases(rows.collect())))
    }

    pub(super) fn roll_back(&self, permit: &Permit, version: Option<Version>, cancelled: CancellationToken) -> Reply {
        self.release_words(permit, Change::Rollback(version), cancelled)
    }

    pub(super) fn rebuild(&self, permit: &Permit, no_cache: bool, cancelled: CancellationToken) -> Reply {
        self.release_words(permit, Change::Rebuild { no_cache }, cancelled)
    }

    /// Starts the change and streams what it says; a reader that leaves cancels it until its switch.
    pub(super) fn release_words(&self, permit: &Permit, change: Change, cancelled: CancellationToken) -> Reply {
        let (events, lines) = mpsc::channel(64);
        let (said, mut talked) = mpsc::unbounded_channel::<String>();
        let (deployer, app, by) = (self.deployer.clone(), permit.app().clone(), permit.caller().name.clone());
        let url = self.url_of(&app);
        self.deployer.in_background(async move {
            let talk = deployer.logged(&app.id, &Talk::new(move |line| drop(said.send(line.to_owned()))));
            let work = async {
                let result = deployer.change(&app.id, change, &by, &talk, &cancelled).await;
                drop(talk);
                result
            };
            let relay = async {
                while let Some(line) = talked.recv().await {
                    // It is the data, and comes as such.
                    if line.trim() == url {
                        continue;
                    }
                    // The reader may have left; the change decides by `cancelled`, not by this.
                    let _ = events.send(Ok(Event::Talk(line))).await;
                }
            };
            let (result, ()) = tokio::join!(work, relay);
            let end = match result {
                Ok(Some(version)) => released(&deployer, &app, version, url.clone()).await,
                Ok(None) => Ok(Event::Say("Done.".to_owned())),
                Err(err) => {
                    tracing::info!(app.name = %app.name, %by, ?err, "a change was not released");
                    Err(err)
                }
            };
            let _ = events.send(end).await;
        });
        Reply::Lines(lines)
    }
}

/// The outcome as data; the talk has told it to people.
async fn released(deployer: &Deployer, app: &App, version: Version, url: String) -> Result<Event> {
    let release = deployer.rooms().store.release(app.id.clone(), version).await?;
    let container = release.container.ok_or_else(|| Error::failed(format!("{version} has no container")))?;
    Ok(Event::Released(Released { app: app.name.clone(), version, url, container }))
}
