//! What the proxy does for an app besides forwarding, in the row of the app.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Row, params};

use super::apps;
use crate::error::{Error, Result};
use crate::model::limits::MAX_USERS;
use crate::model::{AppId, Edge, EdgeChange};

/// Makes one change of an app's settings at the edge, within a transaction.
pub(super) fn change(conn: &Connection, app: &AppId, change: &EdgeChange) -> Result<usize> {
    let mut edge = apps::app(conn, app)?.edge;
    edge.change(change.clone());
    if edge.credentials.len() > MAX_USERS {
        return Err(Error::usage(format!("an app may have {MAX_USERS} users of basic authentication")).hint("apps:set APP basic-auth=off"));
    }
    Ok(conn.execute("UPDATE apps SET edge = ?2 WHERE id = ?1", params![app, edge_text(&edge)])?)
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
}
