//! Which apps a key or an API key reaches, in a table of pairs; and how often its use is noted.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, ToSql, params};

use crate::error::Result;
use crate::model::{AppId, Scope, Stamp};

/// `last_used_at` is for people: it costs at most one disk sync a key in this time.
const TOUCH_MILLIS: i64 = 60_000;

/// A table with the columns `<owner>` and `app`.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub name: &'static str,
    pub owner: &'static str,
}

/// Reads the column `scoped`; [`Table::fill`] then reads the apps.
pub(super) fn unfilled(row: &Row<'_>) -> rusqlite::Result<Scope> {
    let scoped: bool = row.get("scoped")?;
    Ok(if scoped { Scope::Only(BTreeSet::new()) } else { Scope::All })
}

/// Notes in `table` that whoever `column` names was used just now, at most once a minute.
pub(super) fn touch(conn: &Connection, table: &str, column: &str, used: &dyn ToSql) -> Result<()> {
    let touch =
        format!("UPDATE {table} SET last_used_at = ?2 WHERE {column} = ?1 AND (last_used_at IS NULL OR abs(?2 - last_used_at) >= ?3)");
    conn.execute(&touch, params![used, Stamp::now(), TOUCH_MILLIS])?;
    Ok(())
}

// === impl Table ===

impl Table {
    /// Fills the apps of a scoped owner in. One whose apps were all destroyed reaches none.
    pub fn fill(self, conn: &Connection, owner: &dyn ToSql, scope: &mut Scope) -> Result<()> {
        if let Scope::Only(apps) = scope {
            let mut query = conn.prepare_cached(&format!("SELECT app FROM {} WHERE {} = ?1", self.name, self.owner))?;
            *apps = query.query_map([owner], |row| row.get::<_, AppId>(0))?.collect::<rusqlite::Result<_>>()?;
        }
        Ok(())
    }

    /// Keeps the apps of a scoped owner; an app that is not there is [`Kind::NotFound`](crate::error::Kind::NotFound).
    pub fn write(self, conn: &Connection, owner: &dyn ToSql, scope: &Scope) -> Result<()> {
        let Scope::Only(apps) = scope else { return Ok(()) };
        for id in apps {
            super::apps::app(conn, id)?;
            conn.execute(&format!("INSERT INTO {} ({}, app) VALUES (?1, ?2)", self.name, self.owner), params![owner, id])?;
        }
        Ok(())
    }
}
