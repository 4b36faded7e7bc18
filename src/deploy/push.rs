//! One `git push`: proven in `pre-receive` while all can be thrown away, switched in `update` when git has stored it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::journal::LEFT;
use super::prove::Proven;
use super::record::Record;
use super::ticket::Ticket;
use super::turns::{Attempt, PushTurn};
use super::{Deployer, Talk};
use crate::command::GitIo;
use crate::error::{Error, Kind, Result};
use crate::git::{Git, HookOutput, PushHandler, PushOptions, PushPlan, PushRequest, RefUpdate, Verdict};
use crate::model::limits::STORE_DEADLINE;
use crate::model::{AppId, AppName, CommitId, ReleaseKind, Revision};
use crate::store::{App, DeployId};

/// Where a push goes.
pub enum Target {
    Existing(Box<App>),
    /// A free name; the app is created when something deployable has arrived.
    New(AppName),
}

// === impl Target ===

impl Target {
    #[must_use]
    pub fn name(&self) -> &AppName {
        match self {
            Target::Existing(app) => &app.name,
            Target::New(name) => name,
        }
    }
}

/// A push in progress.
struct Push {
    deployer: Deployer,
    by: String,
    id: AppId,
    name: AppName,
    app: Option<App>,
    begun: Instant,
    attempt: Arc<Attempt>,
    /// `-o detach`: a client that leaves does not cancel.
    detached: Arc<AtomicBool>,
    turn: Option<PushTurn>,
    planned: Option<Planned>,
    proven: Option<Proven>,
    is_live: bool,
    /// What both hooks said.
    record: Record,
}

/// What the rules let through.
struct Planned {
    branch: String,
    commit: CommitId,
    deploy: DeployId,
}

impl Deployer {
    /// Serves one `git push` and returns git's exit code, after receive-pack has ended and nothing of the push is left in the air.
    ///
    /// `revoked` is cancelled when the pusher's key is taken away.
    pub async fn push(&self, target: Target, by: &str, mut io: GitIo, revoked: CancellationToken) -> Result<u32> {
        let (id, name, app) = match target {
            Target::Existing(app) => (app.id.clone(), app.name.clone(), Some(*app)),
            Target::New(name) => (AppId::random(), name, None),
        };
        let repository = id.clone();
        if let Err(err) = self.check_space().await {
            tracing::info!(app.name = %name, %by, ?err, "a push was refused");
            io.tell(&err).await;
            return Ok(err.exit_code().into());
        }
        if let Err(err) = self.git(move |git| git.create(&repository)).await {
            io.tell(&err).await;
            return Err(err);
        }
        crate::failpoint!("create::repository");
        let (attempt, detached) = (self.inner.turns.attempt(), Arc::new(AtomicBool::new(false)));
        let mut push = Push {
            deployer: self.clone(),
            by: by.to_owned(),
            id: id.clone(),
            name,
            app,
            begun: Instant::now(),
            attempt: attempt.clone(),
            detached: detached.clone(),
            turn: None,
            planned: None,
            proven: None,
            is_live: false,
            record: Record::default(),
        };
        let gone = io.gone.clone();
        let client_left = async {
            gone.cancelled().await;
            if !detached.load(Ordering::Relaxed) {
                attempt.cancel(LEFT);
            }
            std::future::pending::<()>().await;
        };
        let key_gone = async {
            revoked.cancelled().await;
            // Told by the hook, as any refusal: git itself goes on to its end.
            attempt.cancel("cancelled: your key was removed before the switch");
            std::future::pending::<()>().await;
        };
        let code = tokio::select! {
            code = self.rooms().git.receive_pack(&id, io, &mut push) => code,
            () = client_left => Ok(1),
            () = key_gone => Ok(1),
            // Dropping it ends git; a client that does not read must not hold the app's releases.
            () = attempt.stalled(STORE_DEADLINE) => Ok(1),
        };
        crate::failpoint!("receive::ended");
        push.finish().await;
        code
    }
}

// === impl Push ===

impl PushHandler for Push {
    async fn pre_receive(&mut self, push: PushRequest, out: HookOutput) -> Verdict {
        let talk = Talk::new(move |line| out.line(line)).recorded(&self.record);
        match Box::pin(self.prove(push, &talk)).await {
            Ok(()) => Verdict::Accept,
            Err(err) => self.refuse(&err, &talk).await,
        }
    }

    async fn update(&mut self, update: RefUpdate, out: HookOutput) -> Verdict {
        crate::failpoint!("receive::stored");
        let talk = Talk::new(move |line| out.line(line)).recorded(&self.record);
        match Box::pin(self.switch(&update, &talk)).await {
            Ok(()) => Verdict::Accept,
            Err(err) => self.refuse(&err, &talk).await,
        }
    }
}

impl Push {
    /// Says why not, and what goes on serving.
    async fn refuse(&self, err: &Error, talk: &Talk) -> Verdict {
        // A client that does not read must not hold the app's push turn.
        self.attempt.give_verdict();
        talk.error(err);
        if !self.deployer.say_what_serves(&self.id, talk).await && self.planned.is_some() {
            talk.failure(format!("`{}` has no release yet: the next push may be its first", self.name));
        }
        tracing::info!(app.name = %self.name, by = %self.by, ?err, "a push was refused");
        Verdict::Reject
    }

    async fn prove(&mut self, push: PushRequest, talk: &Talk) -> Result<()> {
        let deployer = self.deployer.clone();
        let options = PushOptions::parse(&push.options);
        self.detached.store(options.detach, Ordering::Relaxed);
        let branch = self.app.as_ref().and_then(|app| app.deploy_branch.clone());
        let plan = self.plan(&push, branch).await?;
        talk.step(format!("Receiving {} ({}, {})", self.name, plan.branch, plan.commit.short()));
        for warning in &options.warnings {
            talk.detail(format!("warning: {warning}"));
        }
        let app = self.enter(&plan, talk).await?;
        // The one in progress may have moved the branch while this one waited for its turn.
        let plan = self.plan(&push, app.deploy_branch.clone()).await?;
        let deploy = deployer.begin_kept(&app, ReleaseKind::Push, Some(&plan.commit), &self.by, talk, &self.attempt).await?;
        self.planned = Some(Planned { branch: plan.branch.clone(), commit: plan.commit.clone(), deploy });
        let talk = deployer.logged(&app.id, talk);
        // On the heap: these futures hold a whole build, and tasks poll them on small stacks.
        let work = Box::pin(self.build_and_prove(app, plan, options, push, deploy, &talk));
        let work = async { work.await.map_err(|err| self.attempt.verdict_on(err)) };
        self.proven = Some(deployer.journaled(deploy, work).await?);
        crate::failpoint!("receive::proven");
        self.attempt.give_verdict();
        Ok(())
    }

    /// Holds the push against the rules and what the repository says now.
    async fn plan(&self, push: &PushRequest, branch: Option<String>) -> Result<PushPlan> {
        let (id, push) = (self.id.clone(), push.clone());
        let plan = move |git: &Git| {
            let facts = git.facts(&id, push.quarantine.as_deref(), &push.updates)?;
            crate::git::plan(&push.updates, branch.as_deref(), &facts)
        };
        self.deployer.git(plan).await
    }

    async fn summary(&self, push: &PushRequest, commit: &CommitId) -> Result<String> {
        let (id, quarantine, commit) = (self.id.clone(), push.quarantine.clone(), commit.clone());
        self.deployer.git(move |git| git.summary(&id, quarantine.as_deref(), &commit)).await
    }

    /// Takes the push turn; the first push to a free name creates the app.
    async fn enter(&mut self, plan: &PushPlan, talk: &Talk) -> Result<App> {
        let deployer = self.deployer.clone();
        if self.app.is_none() {
            let created = deployer.found(self.id.clone(), self.name.clone(), &self.by, talk).await;
            self.app = Some(created.map_err(|err| match err.kind() {
                // The name was free when this push came in: another first push was faster.
                Kind::Busy => Error::busy(format!("`{}` was created while you were pushing: pull and push again", self.name)),
                _ => err,
            })?);
        }
        let reason = format!("superseded by {} (pushed by {})", plan.commit.short(), self.by);
        self.turn = Some(deployer.push_turn(&self.id, &reason, &self.attempt, talk).await?);
        let app = deployer.present(&self.id).await?;
        self.app = Some(app.clone());
        Ok(app)
    }

    async fn build_and_prove(
        &self,
        app: App,
        plan: PushPlan,
        options: PushOptions,
        push: PushRequest,
        deploy: DeployId,
        talk: &Talk,
    ) -> Result<Proven> {
        let (deployer, cancelled) = (&self.deployer, self.attempt.token());
        let rooms = deployer.rooms();
        let context = rooms.git.spool(&app.id, push.quarantine.as_deref(), &plan.commit, &deployer.tmp(), cancelled).await?;
        let description = match options.message {
            Some(message) => message,
            None => self.summary(&push, &plan.commit).await?,
        };
        let revision = Some(Revision::pushed(plan.commit));
        let ticket = Ticket { app, deploy, kind: ReleaseKind::Push, revision, recorded: None, by: self.by.clone(), description };
        deployer.prove_source(ticket, context, options.no_cache, talk, &self.attempt).await
    }

    async fn switch(&mut self, update: &RefUpdate, talk: &Talk) -> Result<()> {
        let (Some(proven), Some(planned)) = (self.proven.take(), self.planned.as_ref()) else {
            return Err(Error::failed("git wants to store something that was not proven"));
        };
        let expected = update.name == format!("refs/heads/{}", planned.branch) && update.new.as_ref() == Some(&planned.commit);
        let begun =
            if expected { self.attempt.begin_switch() } else { Err(Error::failed("git wants to store something else than was proven")) };
        if let Err(err) = begun {
            // `finish` throws it away, which nothing interrupts.
            self.proven = Some(proven);
            return Err(err);
        }
        let talk = self.deployer.logged(&self.id, talk);
        let switched = self.deployer.switch(proven, Some(&planned.branch), self.begun, &talk);
        Box::pin(self.deployer.journaled(planned.deploy, switched)).await?;
        self.is_live = true;
        crate::failpoint!("receive::switched");
        Ok(())
    }

    async fn remove_repository(&self) -> Result<()> {
        let id = self.id.clone();
        self.deployer.git(move |git| git.remove(&id)).await
    }

    /// After receive-pack has ended: throws away what git did not take, moves the ref that git did not move.
    async fn finish(mut self) {
        if let (Some(proven), Some(planned)) = (self.proven.take(), &self.planned) {
            let reason = self.attempt.verdict_on(Error::failed("git did not store the push"));
            self.deployer.abandon(proven, reason.sentence()).await;
            Talk::silent().recorded(&self.record).error(&reason);
            let _ = self.deployer.journaled::<()>(planned.deploy, async { Err(reason) }).await;
        }
        // Whoever has the release turn now moves the branch when it is live.
        if self.is_live
            && let Some(_turn) = self.deployer.inner.turns.try_release(&self.id)
        {
            self.deployer.follow(&self.id).await;
        }
        if self.app.is_none()
            && let Err(err) = self.remove_repository().await
        {
            tracing::warn!(?err, "the repository of a push that made no app could not be removed");
        }
        if let Some(app) = self.app.as_ref().filter(|_| !self.is_live)
            && let Err(err) = self.deployer.drop_old_images(app).await
            && err.kind() != Kind::Unavailable
        {
            tracing::warn!(app.name = %app.name, ?err, "images of a failed push could not be removed");
        }
    }
}
