//! Verbs that list and make releases; those that make one answer with its story, line by line.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Batch, Event, ReleaseDetails, ReleaseRow, Reply, backlog, skipped};
use crate::deploy::{Change, Talk};
use crate::error::Result;
use crate::model::{AppName, Version};

impl Platform {
    pub(super) async fn list_releases(&self, permit: &Permit, newest: usize) -> Result<Reply> {
        let mut releases = self.rooms().store.releases(permit.app().id.clone()).await?;
        releases.sort_by_key(|release| std::cmp::Reverse(release.version));
        let rows = releases.into_iter().take(newest).map(|release| ReleaseRow {
            version: release.version,
            kind: release.kind,
            state: release.state,
            commit: release.revision.map(|revision| revision.commit),
            description: release.description,
            by: release.by,
            created_at: release.created_at,
            reason: release.reason,
        });
        Ok(Reply::Value(Answer::Releases(rows.collect())))
    }

    pub(super) async fn release_details(&self, permit: &Permit, version: Version) -> Result<Reply> {
        let (store, app) = (&self.rooms().store, permit.app());
        let release = store.release(app.id.clone(), version).await?;
        let config = store.release_config(app.id.clone(), version).await?;
        let deploy = store.deploy_of(app.id.clone(), version).await?;
        Ok(Reply::Value(Answer::Release(Box::new(ReleaseDetails {
            app: app.name.clone(),
            version,
            kind: release.kind,
            state: release.state,
            commit: release.revision.map(|revision| revision.commit),
            image: release.image,
            image_tag: release.image_tag,
            config: config.into_keys().map(|name| name.to_string()).collect(),
            description: release.description,
            by: release.by,
            created_at: release.created_at,
            live_at: release.live_at,
            retired_at: release.retired_at,
            build: deploy.map(|deploy| deploy.id),
            reason: release.reason,
        }))))
    }

    pub(super) fn roll_back(&self, permit: &Permit, version: Option<Version>, cancelled: CancellationToken) -> Reply {
        self.release_words(permit, Change::Rollback(version), cancelled)
    }

    pub(super) fn rebuild(&self, permit: &Permit, no_cache: bool, cancelled: CancellationToken) -> Reply {
        self.release_words(permit, Change::Rebuild { no_cache }, cancelled)
    }

    /// Starts the change and streams what it says; a reader that leaves cancels it until its switch.
    pub(super) fn release_words(&self, permit: &Permit, change: Change, cancelled: CancellationToken) -> Reply {
        let (deployer, app, by) = (self.deployer.clone(), permit.app().id.clone(), permit.caller().name.clone());
        let name = &permit.app().name;
        self.story(name, async move |talk| {
            Ok(match deployer.change(&app, change, &by, &talk, &cancelled).await? {
                Some(released) => Event::Released(released),
                None => Event::Say("Done.".to_owned()),
            })
        })
    }

    /// Streams what a deploy of the app says while it goes on by itself, and then how it ended.
    pub(super) fn story<W>(&self, app: &AppName, work: impl FnOnce(Talk) -> W + Send + 'static) -> Reply
    where
        W: Future<Output = Result<Event>> + Send,
    {
        let (events, lines) = mpsc::channel(64);
        let (said, mut talked) = backlog::<Event>();
        let (staged, url) = (said.clone(), self.deployer.url_of(app));
        let talk = Talk::new(move |line| said.tell(Event::Talk(line.to_owned()), line.len()));
        let talk = talk.with_stages(move |stage| staged.tell_surely(Event::Stage(stage)));
        self.deployer.in_background(async move {
            let relay = async {
                while let Some(Batch { skipped: count, items }) = talked.next().await {
                    // A reader who is slow: what waited too long is left out.
                    let notice = (count > 0).then(|| Event::Talk(skipped(count)));
                    // The URL comes as data, and people would read it twice.
                    let is_url = |event: &Event| matches!(event, Event::Talk(line) if line.trim() == url);
                    for event in notice.into_iter().chain(items).filter(|event| !is_url(event)) {
                        // The reader may have left; the deploy decides by `cancelled`, not by this.
                        let _ = events.send(Ok(event)).await;
                    }
                }
            };
            let (result, ()) = tokio::join!(Box::pin(work(talk)), relay);
            let _ = events.send(result).await;
        });
        Reply::Lines(lines)
    }
}
