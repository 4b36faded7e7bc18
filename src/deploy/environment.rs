//! The environment that a release's processes see, and the port they are asked to listen on.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::model::limits::DEFAULT_PORT;
use crate::model::{AppName, CommitId, ConfigName, Secret, Version};

/// The config variables of an app.
pub type Config = BTreeMap<ConfigName, Secret>;

/// Returns the port: config `PORT`, else the image's single exposed one, else 5000.
///
/// Errors: `Usage` when config's `PORT` is no port.
pub fn port(config: &Config, exposed: &[u16]) -> Result<u16> {
    let configured = config.iter().find(|(name, _)| name.as_str() == "PORT");
    match (configured, exposed) {
        (Some((_, port)), _) => match port.expose().parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(Error::usage("the config variable PORT is not a port number").hint("ssh mini config:unset APP PORT")),
        },
        (None, [port]) => Ok(*port),
        (None, _) => Ok(DEFAULT_PORT),
    }
}

/// Returns the variables of one process: the app's config, then mini's own.
#[must_use]
pub fn variables(
    app: &AppName,
    version: Version,
    process: &str,
    commit: Option<&CommitId>,
    port: u16,
    config: &Config,
) -> Vec<(String, Secret)> {
    let mut variables: Vec<(String, Secret)> = config.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    variables.retain(|(name, _)| name != "PORT");
    let mut own = vec![
        ("PORT", port.to_string()),
        ("MINI_APP", app.to_string()),
        ("MINI_RELEASE", version.to_string()),
        ("DYNO", process.to_owned()),
    ];
    own.extend(commit.map(|commit| ("GIT_REV", commit.to_string())));
    variables.extend(own.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), Secret::new((*value).to_owned()))).collect()
    }

    #[test]
    fn the_port_is_configs_then_the_images_only_one_then_5000() {
        assert_eq!(port(&config(&[("PORT", "8080")]), &[3000]).unwrap(), 8080);
        assert_eq!(port(&config(&[]), &[3000]).unwrap(), 3000);
        assert_eq!(port(&config(&[]), &[3000, 4000]).unwrap(), 5000);
        assert_eq!(port(&config(&[]), &[]).unwrap(), 5000);
        for wrong in ["", "0", "65536", "http", "-1"] {
            assert!(port(&config(&[("PORT", wrong)]), &[]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_process_sees_its_config_and_who_it_is() {
        let variables =
            variables(&"blog".parse().unwrap(), Version(3), "web.1", None, 5000, &config(&[("GREETING", "hi"), ("PORT", "5000")]));

        let text: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
        assert_eq!(text, ["GREETING=hi", "PORT=5000", "MINI_APP=blog", "MINI_RELEASE=v3", "DYNO=web.1"]);
    }
}
