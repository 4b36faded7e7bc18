//! The options of an app, as `apps:set` reads them: `deploy-branch=main`, `overlap=on`, `health-path=/healthz`.

use std::collections::BTreeSet;

use super::edge_options::{self, EdgeOption};
use super::host_ports;
use crate::command::Input;
use crate::error::{Error, Result};
use crate::model::{AppName, Credential, EdgeChange, Secret};
use crate::store::AppSetting;

/// Longer than any start that somebody waits for.
const MAX_HEALTH_SECONDS: u32 = 3600;
const MAX_PATH_BYTES: usize = 1024;

/// What one word of `apps:set` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AppOption {
    DeployBranch(String),
    HostPorts(BTreeSet<u16>),
    Setting(AppSetting),
    Edge(EdgeOption),
}

/// Reads one `KEY=VALUE`.
pub(super) fn parse(option: &str) -> Result<AppOption> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    let setting = match (key, value) {
        ("deploy-branch", "main" | "master") => return Ok(AppOption::DeployBranch(value.to_owned())),
        ("deploy-branch", other) => {
            return Err(Error::usage(format!("the deploy branch is main or master, not `{}`", other.escape_debug()))
                .hint("apps:set APP deploy-branch=main"));
        }
        ("host-ports", value) if option.contains('=') => return host_ports::parse(value).map(AppOption::HostPorts),
        ("overlap", "on" | "off") => AppSetting::Overlaps(value == "on"),
        ("overlap", other) => {
            return Err(Error::usage(format!("overlap is on or off, not `{}`", other.escape_debug())).hint("apps:set APP overlap=on"));
        }
        ("health", "none") => AppSetting::HealthPath(Some(String::new())),
        ("health", "http") => AppSetting::HealthPath(None),
        ("health", other) => {
            return Err(Error::usage(format!("health is http or none, not `{}`", other.escape_debug()))
                .hint("apps:set APP health=none is for what answers no HTTP, such as a database"));
        }
        ("health-path", path) => AppSetting::HealthPath(Some(health_path(path)?)),
        ("health-timeout", seconds) => {
            AppSetting::HealthSeconds(Some(edge_options::seconds("health-timeout", seconds, 1, MAX_HEALTH_SECONDS, "90")?))
        }
        (key, value) => {
            let known = if option.contains('=') { edge_options::parse(key, value)? } else { None };
            return known.map(AppOption::Edge).ok_or_else(|| unknown(option));
        }
    };
    Ok(AppOption::Setting(setting))
}

/// Gives the user who is named the password that the input holds. Errors: more than one is named.
pub(super) async fn read_password(options: &mut [AppOption], mut input: Input) -> Result<()> {
    let mut users = options.iter_mut().filter(|option| matches!(option, AppOption::Edge(EdgeOption::User(_))));
    let Some(option) = users.next() else { return Ok(()) };
    if users.next().is_some() {
        return Err(Error::usage("only one password can come from the input").hint("say apps:set once for each user"));
    }
    let AppOption::Edge(EdgeOption::User(user)) = option else { return Ok(()) };
    let text = input.read_text().await?;
    // `echo secret | …` ends with a newline that nobody means.
    let password = Secret::new(text.strip_suffix('\n').unwrap_or(&text).to_owned());
    *option = AppOption::Edge(EdgeOption::Change(EdgeChange::User(Credential::new(user, &password)?)));
    Ok(())
}

/// Says what a setting comes to.
pub(super) fn in_words(app: &AppName, setting: &AppSetting) -> String {
    match setting {
        AppSetting::Overlaps(true) => format!("Releases of `{app}` run beside each other for a moment, also when they share storage."),
        AppSetting::Overlaps(false) => format!("With storage, a release of `{app}` ends before the next one starts; requests wait."),
        AppSetting::HealthPath(Some(path)) if path.is_empty() => {
            format!("`{app}` answers no requests from outside; from its next release or restart on it is live when it has run for 10 s.")
        }
        AppSetting::HealthPath(path) => {
            format!("From its next release or restart on, `{app}` is live when it answers GET {}.", path.as_deref().unwrap_or("/"))
        }
        AppSetting::HealthSeconds(Some(seconds)) => format!("From its next release or restart on, `{app}` has {seconds} s to answer."),
        other => format!("`{app}`: {other:?}"),
    }
}

fn health_path(path: &str) -> Result<String> {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if path.starts_with('/') && is_plain && path.len() <= MAX_PATH_BYTES {
        return Ok(path.to_owned());
    }
    Err(Error::usage(format!("`{}` is not a path", path.escape_debug())).hint("apps:set APP health-path=/healthz"))
}

/// Of an unknown option the key alone is repeated: what stands behind it may be a secret.
fn unknown(option: &str) -> Error {
    let key = option.split('=').next().unwrap_or_default();
    Error::usage(format!("`{}` is not an option of an app", key.escape_debug())).hint("see what there is: help apps:set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_nonsense_is_refused() {
        let setting = |text: &str| match parse(text).unwrap() {
            AppOption::Setting(setting) => setting,
            other => panic!("{other:?}"),
        };

        assert_eq!(setting("overlap=on"), AppSetting::Overlaps(true));
        assert_eq!(setting("health=none"), AppSetting::HealthPath(Some(String::new())));
        assert_eq!(setting("health=http"), AppSetting::HealthPath(None));
        assert_eq!(setting("health-path=/up?full=1"), AppSetting::HealthPath(Some("/up?full=1".into())));
        assert_eq!(setting("health-timeout=90s"), AppSetting::HealthSeconds(Some(90)));
        assert_eq!(parse("host-ports=").unwrap(), AppOption::HostPorts(BTreeSet::new()));
        assert_eq!(parse("basic-auth=anna:-").unwrap(), AppOption::Edge(EdgeOption::User("anna".into())));
        for text in [
            "overlap",
            "overlap=maybe",
            "health=",
            "health=/up",
            "health-path=up",
            "health-path=",
            "health-path=/a b",
            "health-path=/a\r\nX: y",
            "health-timeout=0",
            "health-timeout=-1",
            "health-timeout=3601",
            "host-ports",
            "deploy-branch=trunk",
            "protocol",
            "https=maybe",
            "colour=red",
            "",
        ] {
            assert_eq!(parse(text).unwrap_err().exit_code(), 2, "{text:?}");
        }
    }
}
