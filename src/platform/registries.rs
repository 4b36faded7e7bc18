//! Verbs about the registries that private images are pulled from.

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Done, Input, RegistryRow, Reply};
use crate::error::{Error, Result};
use crate::model::limits::MAX_CONFIG_VALUE_BYTES;
use crate::model::{RegistryHost, Secret};

impl Platform {
    pub(super) async fn list_registries(&self, _permit: &Permit) -> Result<Reply> {
        let rows = self.rooms().store.registries().await?.into_iter().map(|registry| RegistryRow {
            host: registry.host,
            username: registry.username,
            by: registry.added_by,
            added_at: registry.added_at,
        });
        Ok(Reply::Value(Answer::Registries(rows.collect())))
    }

    /// Keeps a login. Whether it is right shows when something is pulled with it: registries tell nobody before.
    pub(super) async fn log_in(&self, permit: &Permit, host: RegistryHost, username: String, mut input: Input) -> Result<Reply> {
        let text = input.read_text().await?;
        // `echo PASSWORD | …` ends with a newline that nobody means.
        let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if password.is_empty() || password.len() > MAX_CONFIG_VALUE_BYTES || password.contains(char::is_control) {
            return Err(Error::usage("no password was sent, or it is not one line")
                .hint(format!("pipe it from a file: mini registry:login {host} {username} - < password.txt")));
        }
        let by = permit.caller().name.clone();
        self.rooms().store.set_registry(host.clone(), username.clone(), Secret::new(password.to_owned()), by).await?;
        let message = format!("Images of `{host}` are pulled as `{username}` from now on.");
        Ok(Reply::Value(Answer::Done(Done { message, app: None, next: Vec::new() })))
    }

    pub(super) async fn log_out(&self, _permit: &Permit, host: RegistryHost) -> Result<Reply> {
        self.rooms().store.remove_registry(host.clone()).await?;
        let message = format!("Forgot the login at `{host}`.");
        Ok(Reply::Value(Answer::Done(Done { message, app: None, next: Vec::new() })))
    }
}
