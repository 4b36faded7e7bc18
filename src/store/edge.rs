//! What the proxy does for an app besides forwarding, in the row of the app.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row, params};

use super::apps;
use crate::error::{Error, Result};
use crate::model::limits::MAX_USERS;
use crate::model::{AppId, Credential, Edge, EdgeChange};

/// Makes one change of an app's settings at the edge, within a transaction.
pub(super) fn change(conn: &Connection, app: &AppId, change: &EdgeChange) -> Result<usize> {
    let mut edge = apps::app(conn, app)?.edge;
    if let EdgeChange::NoUser(user) = change {
        check_others_stay(&edge, user)?;
    }
    edge.change(change.clone());
    if edge.credentials.len() > MAX_USERS {
        return Err(Error::usage(format!("an app may have {MAX_USERS} users of basic authentication")).hint("apps:set APP basic-auth=off"));
    }
    Ok(conn.execute("UPDATE apps SET edge = ?2 WHERE id = ?1", params![app, edge_text(&edge)])?)
}

/// Where nobody has a password everybody comes in, which is not what taking one away is meant to do.
fn check_others_stay(edge: &Edge, user: &str) -> Result<()> {
    let mut users = edge.credentials.iter().map(Credential::user);
    if !users.clone().any(|other| other == user) {
        return Err(Error::not_found(format!("there is no user `{user}` of basic authentication")).hint("apps:info APP lists them"));
    }
    if users.all(|other| other == user) {
        return Err(Error::usage(format!("`{user}` is the last user: without one everybody comes in"))
            .hint("apps:set APP basic-auth=off, if that is what you want"));
    }
    Ok(())
}

/// What asks for nothing is not written down.
fn edge_text(edge: &Edge) -> Option<String> {
    (*edge != Edge::default()).then(|| serde_json::to_string(edge).expect("settings are plain JSON"))
}

/// Reads an app's column `edge`. What is not understood is an error: a list of addresses that is overlooked lets everybody in.
pub(super) fn edge_column(row: &Row<'_>) -> rusqlite::Result<Edge> {
    let Some(text) = row.get::<_, Option<String>>("edge")? else { return Ok(Edge::default()) };
    serde_json::from_str(&text).map_err(|err| FromSqlError::Other(err.into()).into())
}

#[cfg(test)]
mod tests {
    use super::super::AppSetting;
    use super::super::trial::*;
    use super::*;
    use crate::model::Secret;

    #[tokio::test]
    async fn each_setting_stands_by_itself_and_nothing_asked_for_is_nothing_kept() {
        let (_dir, store, app) = with_app().await;
        assert_eq!(app.edge, Edge::default());
        let set = |change: EdgeChange| store.set_app(app.id.clone(), vec![AppSetting::Edge(change)]);

        set(EdgeChange::MaxBodyBytes(Some(7))).await.unwrap();
        set(EdgeChange::RedirectsToHttps(true)).await.unwrap();

        let both = Edge { max_body_bytes: Some(7), redirects_to_https: true, ..Edge::default() };
        assert_eq!(store.app(app.id.clone()).await.unwrap().edge, both);
        assert_eq!(store.apps().await.unwrap()[0].edge, both);
        set(EdgeChange::MaxBodyBytes(None)).await.unwrap();
        set(EdgeChange::RedirectsToHttps(false)).await.unwrap();
        assert_eq!(store.app(app.id.clone()).await.unwrap(), app);
    }

    #[tokio::test]
    async fn a_user_goes_alone_and_the_last_one_only_with_basic_authentication() {
        let (_dir, store, app) = with_app().await;
        let set = |change: EdgeChange| store.set_app(app.id.clone(), vec![AppSetting::Edge(change)]);
        let user = |name: &str| EdgeChange::User(Credential::new(name, &Secret::new("s3cret".into())).unwrap());
        set(user("anna")).await.unwrap();
        set(user("ben")).await.unwrap();

        set(EdgeChange::NoUser("anna".into())).await.unwrap();

        let users = || async { store.app(app.id.clone()).await.unwrap().edge.credentials };
        assert_eq!(users().await.iter().map(Credential::user).collect::<Vec<_>>(), ["ben"]);
        let gone = set(EdgeChange::NoUser("anna".into())).await.unwrap_err();
        assert_eq!(gone.sentence(), "there is no user `anna` of basic authentication");
        let last = set(EdgeChange::NoUser("ben".into())).await.unwrap_err();
        assert_eq!(last.sentence(), "`ben` is the last user: without one everybody comes in");
        assert_eq!(users().await.len(), 1);
    }
}
