//! Verbs that let one app reach another: who says them must be allowed to deploy both.

use super::Platform;
use super::permit::{Permit, check_role};
use crate::command::{Answer, Done, Reply};
use crate::error::{Error, Kind, Result};
use crate::model::{AppName, Caller, Role};
use crate::store::App;

impl Platform {
    pub(super) async fn link_apps(&self, caller: &Caller, permit: &Permit, target: &AppName) -> Result<Reply> {
        let (app, target) = (permit.app(), self.target(caller, target).await?);
        if app.id == target.id {
            return Err(Error::usage(format!("`{}` is one app, and a link needs two", app.name)).hint("apps:link WEB DB"));
        }
        let already = if self.deployer.link(app, &target).await? { "" } else { " already" };
        Ok(done(app, format!("`{}` reaches `{}` by that name{already}, on any port.", app.name, target.name)))
    }

    pub(super) async fn unlink_apps(&self, caller: &Caller, permit: &Permit, target: &AppName) -> Result<Reply> {
        let (app, target) = (permit.app(), self.target(caller, target).await?);
        self.deployer.unlink(app, &target).await.map_err(|err| match err.kind() {
            Kind::NotFound => Error::not_found(format!("`{}` has no link to `{}`", app.name, target.name))
                .hint(format!("see its links: ssh mini apps:info {}", app.name)),
            _ => err,
        })?;
        Ok(done(app, format!("`{}` does not reach `{}` any more.", app.name, target.name)))
    }

    async fn target(&self, caller: &Caller, name: &AppName) -> Result<App> {
        let target = self.reachable(caller, name).await?;
        check_role(caller, Role::Deploy)?;
        Ok(target)
    }

    /// Returns the names of the apps that an app reaches, and of those that reach it, as far as the caller may know of them.
    pub(super) async fn links_of(&self, caller: &Caller, app: &App) -> Result<(Vec<AppName>, Vec<AppName>)> {
        let (mut reached, mut reached_by) = (Vec::new(), Vec::new());
        for row in self.rooms().store.links().await? {
            let (other, names) = match (row.app == app.id, row.target == app.id) {
                (true, _) => (row.target, &mut reached),
                (_, true) => (row.app, &mut reached_by),
                _ => continue,
            };
            if caller.scope.reaches(&other) {
                names.push(self.rooms().store.app(other).await?.name);
            }
        }
        Ok((reached, reached_by))
    }
}

fn done(app: &App, message: String) -> Reply {
    Reply::Value(Answer::Done(Done { message, app: Some(app.name.clone()), next: Vec::new() }))
}
