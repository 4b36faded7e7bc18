//! `mini deploy [PATH]`: from a folder to a URL.

mod listing;
mod packing;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::listing::Listing;
use self::view::View;
use super::line::Line;
use super::remote::Remote;
use super::target::{Environment, Target};
use super::transport::{Ask, Ending};
use super::verbs::DeployArgs;
use super::{screen, talk};
use crate::command::{Answer, Command};
use crate::config::{Folders, Hosts};
use crate::error::{Error, Kind, Result};
use crate::model::AppName;

/// Deploys a folder: everything that can be wrong with it is found before the server hears of it.
pub fn deploy(args: DeployArgs, line: &Line) -> Result<u8> {
    let folder = real_folder(&args.path)?;
    let remote = Remote::of(&folder, line.remote.as_deref())?;
    let target = Target::choose(line, &Environment::read(), &Hosts::load()?, remote.as_ref())?;
    let listing = Listing::of(&folder)?;
    for warning in &listing.warnings {
        talk(&format!("mini: {warning}"));
    }
    let mut folders = Folders::load()?;
    let remembered = folders.app_of(&target.name, &folder).cloned();
    let named = args.app.clone().or(remote.map(|remote| remote.app));
    let app = match named.clone().or_else(|| remembered.clone()) {
        Some(app) => app,
        None => create(&target, &folder, &mut folders)?,
    };
    let sent = send(&target, &folder, listing, &app, args);
    if sent.is_ok() {
        remember(&mut folders, &target, &folder, &app);
    }
    match sent {
        Err(err) if err.kind() == Kind::NotFound && named.is_none() && remembered.is_some() => {
            folders.forget(&target.name, &folder);
            folders.save()?;
            Err(Error::not_found(format!("`{app}`, to which this folder was last deployed, is no more"))
                .hint(format!("make a new app: mini deploy; or the same again: mini apps:create {app} && mini deploy -a {app}")))
        }
        sent => sent,
    }
}

fn real_folder(path: &Path) -> Result<PathBuf> {
    let shown = path.display().to_string();
    let shown = shown.escape_debug();
    let folder = std::fs::canonicalize(path).map_err(|err| {
        Error::usage(format!("there is no folder `{shown}`")).hint(format!("an app is named by -a: mini deploy . -a {shown}")).because(err)
    })?;
    if !folder.is_dir() {
        return Err(Error::usage(format!("`{shown}` is a file and not a folder"))
            .hint(format!("an archive is piped in: mini deploy APP - < {shown}")));
    }
    Ok(folder)
}

/// Lets the server make an app with a friendly name. It is remembered at once: the next try goes there too.
fn create(target: &Target, folder: &Path, folders: &mut Folders) -> Result<AppName> {
    let strange = || Error::failed("the server made an app without a name").hint("name one: mini deploy -a APP");
    let Answer::Done(done) = target.transport.value(Command::AppsCreate { app: None })? else { return Err(strange()) };
    let app = done.app.ok_or_else(strange)?;
    remember(folders, target, folder, &app);
    Ok(app)
}

/// A disk that is full must not fail a deploy that went well.
fn remember(folders: &mut Folders, target: &Target, folder: &Path, app: &AppName) {
    if folders.remember(&target.name, folder, app)
        && let Err(err) = folders.save()
    {
        talk(&format!("mini: the next deploy of this folder needs -a {app}: {err}"));
    }
}

fn send(target: &Target, folder: &Path, listing: Listing, app: &AppName, args: DeployArgs) -> Result<u8> {
    let Listing { entries, bytes, commit, .. } = listing;
    let progress = Arc::default();
    let mut view = View::new(app.clone(), entries.len(), bytes, &progress, screen::look(args.json));
    let DeployArgs { message, no_cache, .. } = args;
    let command = Command::Deploy { app: app.clone(), input: Some("-".into()), image: None, commit, message, no_cache };
    let input = packing::feed(folder.to_owned(), entries, progress);
    let ask = Ask { command, input: Some(input), terminal: None };
    match target.transport.call(ask, &mut |shown| view.show(shown)) {
        Ok(Ending::Code(0)) if view.finish() => Ok(0),
        Ok(Ending::Code(0)) => {
            Err(Error::failed("the server did not say where the app is live").hint(format!("see: mini apps:info {app}")))
        }
        Ok(Ending::Code(code)) => {
            view.fail();
            Ok(code)
        }
        Ok(Ending::Interrupted(code)) => {
            let is_switching = view.fail();
            talk(if is_switching {
                "mini: left while the app was switched: see mini releases"
            } else {
                "mini: cancelled before the switch: nothing was changed"
            });
            Ok(code)
        }
        Err(err) => {
            view.fail();
            Err(if err.next_step().is_some() { err } else { err.hint(format!("see more: mini logs {app}")) })
        }
    }
}
