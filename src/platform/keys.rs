//! Verbs about the SSH keys that may log in, and about oneself.

use std::collections::BTreeSet;

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Done, Input, KeyRow, Reply, WhoAmI};
use crate::error::{Error, Result};
use crate::model::{AppName, KeyName, Origin, PublicKey, Role, Scope};
use crate::store::NewKey;

impl Platform {
    pub(super) async fn list_keys(&self, _permit: &Permit) -> Result<Reply> {
        let mut rows = Vec::new();
        for key in self.rooms().store.keys().await? {
            rows.push(KeyRow {
                apps: self.names_of(&key.scope).await?,
                name: key.name.to_string(),
                role: key.role,
                fingerprint: key.fingerprint,
                added_at: key.added_at,
                last_used_at: key.last_used_at,
            });
        }
        Ok(Reply::Value(Answer::Keys(rows)))
    }

    pub(super) async fn add_key(
        &self,
        permit: &Permit,
        name: Option<KeyName>,
        role: Role,
        apps: &[AppName],
        mut input: Input,
    ) -> Result<Reply> {
        let text = input.read_text().await?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (first, more) = (lines.next(), lines.next());
        let line = match (first, more) {
            (Some(line), None) => line,
            (Some(line), Some(_)) if line.contains("PRIVATE KEY") => line,
            (Some(_), Some(_)) => return Err(Error::usage("this is more than one key").hint("add them one at a time")),
            (None, _) => return Err(Error::usage("no key was sent").hint("ssh mini keys:add anna < ~/.ssh/id_ed25519.pub")),
        };
        let key = PublicKey::parse(line)?;
        let name = match name {
            Some(name) => name,
            None => {
                key.comment().parse().map_err(|_| Error::usage("the key's comment is no name for it").hint("give one: keys:add NAME"))?
            }
        };
        let scope = self.scope_of(permit, role, apps).await?;
        let reach =
            if scope == Scope::All { "all apps".to_owned() } else { apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") };
        let message = format!("Added key `{name}` ({role}, {reach}): {}.", key.fingerprint());
        self.rooms().store.add_key(NewKey { name, key, role, scope }).await?;
        Ok(Reply::Value(Answer::Done(Done { message, app: None, next: Vec::new() })))
    }

    pub(super) async fn remove_key(&self, _permit: &Permit, key: &str) -> Result<Reply> {
        let removed = self.rooms().store.remove_key(key.to_owned()).await?;
        self.visits.end(&Origin::Key(removed.fingerprint.clone()));
        let message = format!("Removed key `{}`.", removed.name);
        Ok(Reply::Value(Answer::Done(Done { message, app: None, next: Vec::new() })))
    }

    pub(super) async fn who_am_i(&self, permit: &Permit) -> Result<Reply> {
        let caller = permit.caller();
        let (fingerprint, token) = match caller.origin.clone() {
            Origin::Key(fingerprint) => (Some(fingerprint), None),
            Origin::Token(id) => (None, Some(id)),
            Origin::Socket => (None, None),
        };
        let apps = self.names_of(&caller.scope).await?;
        Ok(Reply::Value(Answer::WhoAmI(WhoAmI { name: caller.name.clone(), role: caller.role, apps, fingerprint, token })))
    }

    /// Finds the apps that a new key is to reach; none named is all.
    pub(super) async fn scope_of(&self, permit: &Permit, role: Role, apps: &[AppName]) -> Result<Scope> {
        if apps.is_empty() {
            return Ok(Scope::All);
        }
        let mut ids = BTreeSet::new();
        for name in apps {
            ids.insert(self.reachable(permit.caller(), name).await?.id);
        }
        if role == Role::Admin {
            return Err(Error::usage("an admin reaches all apps").hint("leave --app out, or give the role deploy or view"));
        }
        Ok(Scope::Only(ids))
    }

    pub(super) async fn names_of(&self, scope: &Scope) -> Result<Option<Vec<AppName>>> {
        match scope {
            Scope::All => Ok(None),
            Scope::Only(ids) => {
                let apps = self.rooms().store.apps().await?;
                Ok(Some(apps.into_iter().filter(|app| ids.contains(&app.id)).map(|app| app.name).collect()))
            }
        }
    }
}
