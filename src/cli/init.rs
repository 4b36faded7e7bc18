//! `mini init [APP]` and `mini open [APP]`: a folder and its app find each other.

use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};

use super::remote::{DEFAULT_REMOTE, git, url_of};
use super::ssh_files::SshFolder;
use super::target::Target;
use super::{say, talk};
use crate::command::{self, Answer};
use crate::config::Hosts;
use crate::error::{Error, Result};
use crate::model::AppName;

/// Adds the git remote. `host` is the name of a host that is set here.
pub fn init(folder: &Path, app: Option<AppName>, remote: Option<&str>, hosts: &Hosts, host: &str) -> Result<u8> {
    let is_repository = git(folder).args(["rev-parse", "--git-dir"]).stdout(Stdio::null()).status();
    match is_repository {
        Err(err) => {
            return Err(Error::unavailable("there is no `git` program here")
                .hint("install git, or deploy without it: mini deploy .")
                .because(err));
        }
        Ok(status) if !status.success() => {
            return Err(
                Error::failed("this folder is not in a git repository").hint("make it one: git init; or deploy without git: mini deploy .")
            );
        }
        Ok(_) => {}
    }
    let app = match app {
        Some(app) => app,
        None => app_for(folder)?,
    };
    let name = remote.unwrap_or(DEFAULT_REMOTE);
    let url = url_for(hosts, host, &app)?;
    match url_of(folder, name) {
        Some(there) if there == url => say(&format!("The git remote `{name}` is {url} already.")),
        Some(there) => {
            return Err(Error::busy(format!("the git remote `{name}` is {there}"))
                .hint(format!("change it: git remote set-url {name} {url}\nor take another name: mini init {app} --remote NAME")));
        }
        None => {
            let added = git(folder).args(["remote", "add", name, &url]).status();
            if !added.is_ok_and(|status| status.success()) {
                return Err(Error::failed(format!("git did not add the remote `{name}`"))
                    .hint(format!("see what it says: git remote add {name} {url}")));
            }
            say(&format!("Added the git remote `{name}`: {url}"));
        }
    }
    say(&format!("Deploy with: git push {name} main"));
    Ok(0)
}

/// The host's name where ssh knows it by a block of ours, its address else.
fn url_for(hosts: &Hosts, host: &str, app: &AppName) -> Result<String> {
    let address = hosts.get(host).and_then(|known| known.ssh_address());
    let no_door = || {
        Error::failed(format!("no way for git to `{host}` is known"))
            .hint("set the server's ssh address: mini config set-host ssh://your-server:2222")
    };
    let address = address.ok_or_else(no_door)?;
    let has_block = SshFolder::of_home().is_some_and(|folder| folder.has_block(host));
    Ok(if has_block { format!("{host}:{app}") } else { format!("{address}/{app}") })
}

fn app_for(folder: &Path) -> Result<AppName> {
    let folder = std::fs::canonicalize(folder).map_err(|err| Error::failed("the folder cannot be read").because(err))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name_from(&name).ok_or_else(|| {
        Error::usage(format!("the folder's name `{}` gives no app name", name.escape_debug())).hint("name the app: mini init my-app")
    })
}

/// Makes an app's name of a folder's: lower case, dashes for what cannot stand in one.
fn name_from(folder: &str) -> Option<AppName> {
    let dashed: String = folder.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    let name = joined.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    name.get(..name.len().min(40))?.trim_end_matches('-').parse().ok()
}

/// Prints the app's URL, and opens it where there is a screen.
pub fn open(target: &Target, app: AppName) -> Result<u8> {
    let Answer::App(details) = target.transport.value(command::Command::AppsInfo { app })? else {
        return Err(Error::failed("the server answers in words that this client does not know").hint("use the same version on both sides"));
    };
    say(&details.url);
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let is_page = details.url.starts_with("http://") || details.url.starts_with("https://");
    if has_screen && is_page && std::io::stdout().is_terminal() {
        let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(program).arg(&details.url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        if opened.is_err() {
            talk(&format!("mini: there is no `{program}` here to show it with"));
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_name_becomes_an_apps() {
        let cases = [
            ("blog", Some("blog")),
            ("My Web App", Some("my-web-app")),
            ("my_app.v2", Some("my-app-v2")),
            ("2048", None),
            ("2048-game", Some("game")),
            ("--x--y--", Some("x-y")),
            ("Ünï", None),
            ("logs", None),
            ("v12", None),
            ("", None),
        ];

        for (folder, app) in cases {
            assert_eq!(name_from(folder).map(String::from).as_deref(), app, "{folder}");
        }
        assert_eq!(name_from(&"a".repeat(90)).unwrap().as_str().len(), 40);
    }
}
