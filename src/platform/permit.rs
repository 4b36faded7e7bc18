//! Proof that a caller may do what follows: only this file makes it, every verb asks for it.

use super::Platform;
use crate::command::Need;
use crate::deploy::Target;
use crate::error::{Error, Kind, Result};
use crate::model::{AppName, Caller, DeployId, Role, Scope};
use crate::store::{App, Deploy};

/// A caller that was let through, and what the need was about.
pub(super) struct Permit {
    caller: Caller,
    about: About,
}

/// What the need was about.
enum About {
    Nothing,
    App(App),
    Build(App, Box<Deploy>),
    Target(Target),
}

// === impl Permit ===

impl Permit {
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the app. Every command whose need names an app has one.
    pub(super) fn app(&self) -> &App {
        match &self.about {
            About::App(app) | About::Build(app, _) => app,
            About::Nothing | About::Target(_) => panic!("a permit for an app's verb holds the app"),
        }
    }

    /// Returns the deploy. Every command whose need is one has it.
    pub(super) fn deploy(&self) -> &Deploy {
        match &self.about {
            About::Build(_, deploy) => deploy,
            About::Nothing | About::App(_) | About::Target(_) => panic!("a permit for a deploy's verb holds the deploy"),
        }
    }

    /// Returns where to deploy. The command whose need is that has it.
    pub(super) fn into_target(self) -> (Caller, Target) {
        match self.about {
            About::Target(target) => (self.caller, target),
            About::Nothing | About::App(_) | About::Build(..) => panic!("a permit to deploy holds where to"),
        }
    }
}

impl Platform {
    pub(super) async fn permit(&self, caller: &Caller, need: &Need) -> Result<Permit> {
        let about = match need {
            Need::LoggedIn => About::Nothing,
            Need::Host => {
                check_role(caller, Role::Admin)?;
                About::Nothing
            }
            Need::AllApps(role) => {
                check_role(caller, *role)?;
                check_unscoped(caller)?;
                About::Nothing
            }
            Need::App(name, role) => {
                let app = self.reachable(caller, name).await?;
                check_role(caller, *role)?;
                About::App(app)
            }
            Need::Build(number, role) => {
                let (app, deploy) = self.reachable_build(caller, *number).await?;
                check_role(caller, *role)?;
                About::Build(app, Box::new(deploy))
            }
            Need::Deploy(name) => {
                check_role(caller, Role::Deploy)?;
                About::Target(self.push_target(caller, name.clone()).await?)
            }
        };
        Ok(Permit { caller: caller.clone(), about })
    }

    /// Finds an app within the caller's reach; a foreign one looks the same as a missing one.
    pub(super) async fn reachable(&self, caller: &Caller, name: &AppName) -> Result<App> {
        let app = self.rooms().store.app_by_name(name.clone()).await?;
        app.filter(|app| caller.scope.reaches(&app.id)).ok_or_else(|| no_such_app(name))
    }

    /// Finds a deploy of an app within the caller's reach; a foreign one looks the same as a missing one.
    async fn reachable_build(&self, caller: &Caller, number: DeployId) -> Result<(App, Deploy)> {
        let missing = || Error::not_found(format!("there is no deploy {number}")).hint("see the numbers: ssh mini builds APP");
        let is_missing = |err: Error| if err.kind() == Kind::NotFound { missing() } else { err };
        let deploy = self.rooms().store.deploy(number).await.map_err(is_missing)?;
        if !caller.scope.reaches(&deploy.app) {
            return Err(missing());
        }
        Ok((self.rooms().store.app(deploy.app.clone()).await.map_err(is_missing)?, deploy))
    }
}

pub(super) fn no_such_app(name: &AppName) -> Error {
    Error::not_found(format!("app `{name}` does not exist")).hint("see yours: ssh mini apps")
}

pub(super) fn check_role(caller: &Caller, role: Role) -> Result<()> {
    if caller.role >= role {
        return Ok(());
    }
    let who = if role == Role::Admin { "an admin" } else { "a key with the role `deploy`" };
    Err(Error::not_allowed(format!("this needs {who}, and `{}` has the role `{}`", caller.name, caller.role))
        .hint("see who you are: ssh mini whoami"))
}

pub(super) fn check_unscoped(caller: &Caller) -> Result<()> {
    match caller.scope {
        Scope::All => Ok(()),
        Scope::Only(_) => Err(Error::not_allowed(format!("`{}` reaches only its own apps and cannot create one", caller.name))
            .hint("ask an admin to create it")),
    }
}
