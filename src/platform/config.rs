//! Verbs about an app's config variables. Values are secrets: they are masked unless asked for.

use tokio_util::sync::CancellationToken;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Assignment, ConfigRow, Input, Reply};
use crate::deploy::{Change, ConfigChange};
use crate::error::{Error, Result};
use crate::model::limits::MAX_CONFIG_VALUE_BYTES;
use crate::model::{ConfigName, Secret};

impl Platform {
    pub(super) async fn list_config(&self, permit: &Permit, show: bool) -> Result<Reply> {
        let config = self.rooms().store.config(permit.app().id.clone()).await?;
        let shown = |value: &Secret| show.then(|| value.expose().to_owned());
        let rows = config.iter().map(|(name, value)| ConfigRow { name: name.to_string(), value: shown(value) });
        Ok(Reply::Value(Answer::Config(rows.collect())))
    }

    pub(super) async fn get_config(&self, permit: &Permit, name: &ConfigName) -> Result<Reply> {
        let app = permit.app();
        let config = self.rooms().store.config(app.id.clone()).await?;
        let Some(value) = config.get(name) else {
            return Err(Error::not_found(format!("there is no config variable `{name}`"))
                .hint(format!("see the names: ssh mini config {}", app.name)));
        };
        Ok(Reply::Value(Answer::Text(value.expose().to_owned())))
    }

    pub(super) async fn set_config(
        &self,
        permit: &Permit,
        assignments: Vec<Assignment>,
        is_quiet: bool,
        mut input: Input,
        cancelled: CancellationToken,
    ) -> Result<Reply> {
        let from_input: Vec<&Assignment> = assignments.iter().filter(|assignment| assignment.is_from_input()).collect();
        let typed = match from_input.as_slice() {
            [] => None,
            [_] => Some(input.read_text().await?),
            [..] => return Err(Error::usage("only one value can come from the input")),
        };
        let mut pairs = Vec::new();
        for Assignment { name, value } in assignments {
            // `echo secret | …` ends with a newline that nobody means.
            let value = if value == "-" {
                typed.as_deref().map(|text| text.strip_suffix('\n').unwrap_or(text).to_owned()).unwrap_or_default()
            } else {
                value
            };
            if value.len() > MAX_CONFIG_VALUE_BYTES {
                return Err(Error::usage(format!("the value of `{name}` is over {} KiB", MAX_CONFIG_VALUE_BYTES / 1024)));
            }
            if value.contains('\0') {
                return Err(Error::usage(format!("the value of `{name}` holds a NUL byte")));
            }
            pairs.push((name, Secret::new(value)));
        }
        Ok(self.release_words(permit, Change::Config { change: ConfigChange::Set(pairs), is_quiet }, cancelled))
    }

    pub(super) fn unset_config(&self, permit: &Permit, names: Vec<ConfigName>, is_quiet: bool, cancelled: CancellationToken) -> Reply {
        self.release_words(permit, Change::Config { change: ConfigChange::Unset(names), is_quiet }, cancelled)
    }
}
