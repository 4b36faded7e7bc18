//! Verbs about API keys, and the callers behind them.

use super::Platform;
use super::permit::Permit;
use crate::command::{Answer, Done, NewToken, Reply, TokenRow};
use crate::error::Result;
use crate::model::{AppName, Caller, KeyName, Lifetime, Origin, Role, Stamp, Token};
use crate::store;

/// Who brings an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    Known(Caller),
    /// The key was good once.
    Expired,
    /// There never was such a key, or it was revoked: nothing is remembered of those.
    Unknown,
}

impl Platform {
    /// Finds out who brings `token`, and notes that it was used.
    pub async fn bearer(&self, token: Token) -> Result<Bearer> {
        let Some(issued) = self.rooms().store.issued(token).await? else { return Ok(Bearer::Unknown) };
        if issued.has_expired() {
            return Ok(Bearer::Expired);
        }
        // A call must not fail because the disk is full.
        if let Err(err) = self.rooms().store.touch_token(issued.id.clone()).await {
            tracing::warn!(?err, "the use of an API key could not be noted");
        }
        let origin = Origin::Token(issued.id);
        Ok(Bearer::Known(Caller { name: issued.name.into(), origin, role: issued.role, scope: issued.scope }))
    }

    pub(super) async fn list_tokens(&self, _permit: &Permit) -> Result<Reply> {
        let mut rows = Vec::new();
        for token in self.rooms().store.tokens().await? {
            rows.push(TokenRow {
                apps: self.names_of(&token.scope).await?,
                name: token.name.into(),
                id: token.id,
                role: token.role,
                created_at: token.created_at,
                created_by: token.created_by,
                expires_at: token.expires_at,
                last_used_at: token.last_used_at,
            });
        }
        Ok(Reply::Value(Answer::Tokens(rows)))
    }

    pub(super) async fn create_token(
        &self,
        permit: &Permit,
        name: KeyName,
        role: Role,
        apps: &[AppName],
        expires: Option<Lifetime>,
    ) -> Result<Reply> {
        let scope = self.scope_of(permit, role, apps).await?;
        let token = Token::random();
        let expires_at = expires.map(|lifetime| Stamp::after(lifetime.duration()));
        let by = permit.caller().name.clone();
        let new = store::NewToken { token: token.clone(), name, role, scope, expires_at, by };
        let issued = self.rooms().store.add_token(new).await?;
        let apps = self.names_of(&issued.scope).await?;
        let new = NewToken { name: issued.name.into(), id: issued.id, role, apps, expires_at, token };
        Ok(Reply::Value(Answer::NewToken(new)))
    }

    /// Revokes an API key and ends what it has open.
    pub(super) async fn revoke_token(&self, _permit: &Permit, token: &str) -> Result<Reply> {
        let revoked = self.rooms().store.remove_token(token.to_owned()).await?;
        self.visits.end(&Origin::Token(revoked.id.clone()));
        let message = format!("Revoked API key `{}` ({}).", revoked.name, revoked.id);
        Ok(Reply::Value(Answer::Done(Done { message, app: None, next: Vec::new() })))
    }
}
