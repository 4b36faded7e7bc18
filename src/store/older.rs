//! The mini of before, which knows one process a release and writes that into `releases`: what it did, and what it is to see.

use rusqlite::{Connection, OptionalExtension, params};

use super::column::Address;
use crate::error::Result;
use crate::model::{AppId, ContainerId, Version};

/// Takes over what the mini of before did to this file: it knows one process a release, and writes that into `releases`.
pub(super) fn adopt_from_older(conn: &Connection) -> Result<()> {
    let takeover = conn.unchecked_transaction()?;
    adopt(&takeover)?;
    Ok(takeover.commit()?)
}

fn adopt(conn: &Connection) -> Result<()> {
    const SEEN: &str = "SELECT 1 FROM processes p WHERE p.app = r.app AND p.version = r.version AND p.address IS r.address \
                        AND p.container_id IS r.container_id";
    let strange = format!("r.state IN ('starting', 'live', 'draining') AND r.address IS NOT NULL AND NOT EXISTS ({SEEN})");
    conn.execute(
        &format!(
            "DELETE FROM processes WHERE kind = 'web' AND number = 1 AND EXISTS \
             (SELECT 1 FROM releases r WHERE r.app = processes.app AND r.version = processes.version AND {strange})"
        ),
        [],
    )?;
    // It knows no stopped apps: what it made live runs.
    conn.execute(
        &format!("UPDATE apps SET is_stopped = 0 WHERE id IN (SELECT r.app FROM releases r WHERE r.state = 'live' AND {strange})"),
        [],
    )?;
    conn.execute(
        &format!(
            "INSERT INTO processes (app, version, kind, number, state, address, container_id) \
             SELECT r.app, r.version, 'web', 1, CASE r.state WHEN 'starting' THEN 'starting' ELSE 'serving' END, r.address, r.container_id \
             FROM releases r WHERE {strange}"
        ),
        [],
    )?;
    conn.execute(
        "DELETE FROM processes WHERE EXISTS (SELECT 1 FROM releases r WHERE r.app = processes.app AND r.version = processes.version \
         AND r.state IN ('retired', 'failed'))",
        [],
    )?;
    Ok(())
}

/// Keeps the first web process in the columns where the mini of before looks for it.
pub(super) fn show_to_older(conn: &Connection, app: &AppId, version: Version) -> Result<()> {
    let first = "SELECT address, container_id FROM processes WHERE app = ?1 AND version = ?2 AND kind = 'web' \
                 ORDER BY state = 'serving' DESC, number, id DESC LIMIT 1";
    let place: Option<(Option<Address>, Option<ContainerId>)> =
        conn.query_row(first, params![app, version], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (address, container) = place.unwrap_or_default();
    let change = "UPDATE releases SET address = ?3, container_id = ?4 WHERE app = ?1 AND version = ?2";
    conn.execute(change, params![app, version, address, container])?;
    Ok(())
}
