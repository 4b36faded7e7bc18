//! The options of an app, as `apps:set` reads them: `deploy-branch=main`, `overlap=on`, `health-path=/healthz`.

use std::collections::BTreeSet;

use super::host_ports;
use crate::error::{Error, Result};
use crate::model::AppName;
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
        ("health-timeout", seconds) => AppSetting::HealthSeconds(Some(health_seconds(seconds)?)),
        _ => {
            return Err(Error::usage(format!("`{}` is not an option of an app", option.escape_debug()))
                .hint("apps:set APP deploy-branch=main host-ports=5432 overlap=on health=none health-path=/healthz health-timeout=90"));
        }
    };
    Ok(AppOption::Setting(setting))
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

fn health_seconds(text: &str) -> Result<u32> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok();
    seconds.filter(|seconds| (1..=MAX_HEALTH_SECONDS).contains(seconds)).ok_or_else(|| {
        Error::usage(format!("`{}` is not a number of seconds up to {MAX_HEALTH_SECONDS}", text.escape_debug()))
            .hint("apps:set APP health-timeout=90")
    })
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
            "colour=red",
            "",
        ] {
            assert_eq!(parse(text).unwrap_err().exit_code(), 2, "{text:?}");
        }
    }
}
