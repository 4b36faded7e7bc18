//! The git services: who may push where, and what a first push makes.

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::{check_role, check_unscoped, no_such_app};
use super::visits::LAST_WORDS;
use crate::command::{GitIo, GitService};
use crate::deploy::Target;
use crate::error::{Error, Result};
use crate::model::{AppId, AppName, Caller, Role};

/// A git client that was let in.
enum Admitted {
    Fetch(AppId),
    Push(Target),
}

impl Platform {
    /// Serves a git service for the repository that the client named; returns the exit code after its last byte.
    ///
    /// A key that is taken away meanwhile cancels a push before its switch; a client that does not take that in is cut.
    pub async fn git(&self, caller: &Caller, service: GitService, repository: &str, mut io: GitIo) -> u32 {
        let visit = match self.visit(caller).await {
            Ok(visit) => visit,
            Err(err) => {
                io.tell(&err).await;
                return err.exit_code().into();
            }
        };
        let Some(visit) = visit else { return Box::pin(self.serve_git(caller, service, repository, io, CancellationToken::new())).await };
        io.gone = io.gone.child_token();
        let gone = io.gone.clone();
        let revoked = CancellationToken::new();
        let mut served = Box::pin(self.serve_git(caller, service, repository, io, revoked.clone()));
        tokio::select! {
            biased;
            code = &mut served => return code,
            why = visit.end() => tracing::info!(caller.name = %caller.name, %why, "a git client's key is gone"),
        }
        revoked.cancel();
        if let Ok(code) = timeout(LAST_WORDS, &mut served).await {
            return code;
        }
        gone.cancel();
        served.await
    }

    async fn serve_git(&self, caller: &Caller, service: GitService, repository: &str, mut io: GitIo, revoked: CancellationToken) -> u32 {
        let served = match self.admit(caller, service, repository).await {
            Ok(Admitted::Fetch(app)) => self.rooms().git.upload_pack(&app, io).await,
            Ok(Admitted::Push(target)) => self.deployer.push(target, &caller.name, io, revoked).await,
            Err(err) => {
                tracing::info!(caller.name = %caller.name, ?err, "a git client was refused");
                io.tell(&err).await;
                return err.exit_code().into();
            }
        };
        served.unwrap_or_else(|err| {
            tracing::error!(caller.name = %caller.name, ?err, "a git service failed");
            err.exit_code().into()
        })
    }

    async fn admit(&self, caller: &Caller, service: GitService, repository: &str) -> Result<Admitted> {
        let name: AppName = repository.parse()?;
        // `view` reads apps and logs, not sources.
        check_role(caller, Role::Deploy)?;
        // Looked for again: somebody may have installed it since it was missed.
        self.rooms().git.look_again().check()?;
        match service {
            GitService::UploadPack => {
                let app = self.reachable(caller, &name).await?;
                if !self.rooms().git.exists(&app.id) {
                    return Err(Error::not_found(format!("nothing has been pushed to `{name}` yet")).hint("git push mini main"));
                }
                Ok(Admitted::Fetch(app.id))
            }
            GitService::ReceivePack => self.push_target(caller, name).await.map(Admitted::Push),
        }
    }

    /// Returns where a push or another deploy goes: an app within reach, or a free name that the caller may create.
    pub(super) async fn push_target(&self, caller: &Caller, name: AppName) -> Result<Target> {
        if let Some(app) = self.rooms().store.app_by_name(name.clone()).await? {
            if caller.scope.reaches(&app.id) {
                return Ok(Target::Existing(Box::new(app)));
            }
            // Somebody who could create apps would learn that the name is taken anyway; a scoped key learns nothing.
            return Err(no_such_app(&name));
        }
        if check_unscoped(caller).is_err() {
            return Err(no_such_app(&name));
        }
        if !self.rooms().settings.create_on_push {
            return Err(Error::not_found(format!("app `{name}` does not exist, and deploying does not create apps here"))
                .hint(format!("create it: ssh mini apps:create {name}")));
        }
        Ok(Target::New(name))
    }
}
