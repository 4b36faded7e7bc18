//! Proof that a caller may do what follows: only this file makes it, every verb asks for it.

use super::Platform;
use crate::command::Need;
use crate::error::{Error, Result};
use crate::model::{AppName, Caller, Role, Scope};
use crate::store::App;

/// A caller that was let through, and the app that the need was about.
pub(super) struct Permit {
    caller: Caller,
    app: Option<App>,
}

// === impl Permit ===

impl Permit {
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns the app. Every command whose need names an app has one.
    pub(super) fn app(&self) -> &App {
        self.app.as_ref().expect("a permit for an app's verb holds the app")
    }
}

impl Platform {
    pub(super) async fn permit(&self, caller: &Caller, need: &Need) -> Result<Permit> {
        let app = match need {
            Need::LoggedIn => None,
            Need::Host => {
                check_role(caller, Role::Admin)?;
                None
            }
            Need::AllApps(role) => {
                check_role(caller, *role)?;
                check_unscoped(caller)?;
                None
            }
            Need::App(name, role) => {
                let app = self.reachable(caller, name).await?;
                check_role(caller, *role)?;
                Some(app)
            }
        };
        Ok(Permit { caller: caller.clone(), app })
    }

    /// Finds an app within the caller's reach; a foreign one looks the same as a missing one.
    pub(super) async fn reachable(&self, caller: &Caller, name: &AppName) -> Result<App> {
        let app = self.rooms().store.app_by_name(name.clone()).await?;
        app.filter(|app| caller.scope.reaches(&app.id)).ok_or_else(|| no_such_app(name))
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
