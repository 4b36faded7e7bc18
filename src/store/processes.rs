//! Processes: one row for each container of a release, from before it is made until after it is removed.

use std::net::Ipv4Addr;

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::Store;
use super::column::Address;
use super::older::show_to_older;
use super::releases::{is_already, release};
use super::settings::{AppSetting, set_all};
use crate::error::{Error, Result};
use crate::model::{AppId, ContainerId, ProcessState, ProcessType, ReleaseState, Version};

const COLUMNS: &str = "id, app, version, kind, number, state, address, container_id";

/// A process's row on this server, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(i64);

/// One process of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub id: ProcessId,
    pub app: AppId,
    pub version: Version,
    pub kind: ProcessType,
    /// Which of its type, from 1.
    pub number: u32,
    pub state: ProcessState,
    /// Where it answers: committed before its container is made.
    pub address: Option<Ipv4Addr>,
    pub container: Option<ContainerId>,
}

/// A change of what a live release runs: the switch of `ps:scale`, `ps:restart` and their like.
#[derive(Clone, Debug, Default)]
pub struct ProcessChange {
    /// Serve from now on.
    pub arriving: Vec<ProcessId>,
    /// Do not serve any more; their rows go when their containers are gone.
    pub leaving: Vec<ProcessId>,
    /// What becomes true of the app with it.
    pub settings: Vec<AppSetting>,
}

// === impl Process ===

impl Process {
    /// Names it as people do: `web.1`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.kind, self.number)
    }
}

// === impl Store ===

impl Store {
    /// Opens the row of a process of a release that is starting or live.
    pub async fn begin_process(&self, app: AppId, version: Version, kind: ProcessType, number: u32) -> Result<Process> {
        self.write(move |conn, _| {
            let state = release(conn, &app, version)?.state;
            if matches!(state, ReleaseState::Retired | ReleaseState::Failed) {
                return Err(is_already(version, state));
            }
            conn.execute(
                "INSERT INTO processes (app, version, kind, number, state) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![app, version, kind, number, ProcessState::Starting],
            )?;
            process(conn, ProcessId(conn.last_insert_rowid()))
        })
        .await
    }

    /// Commits where a process will answer: before its container is made with that address.
    pub async fn place_process(&self, id: ProcessId, address: Ipv4Addr) -> Result<()> {
        self.change_process(id, move |conn| {
            conn.execute("UPDATE processes SET address = ?2 WHERE id = ?1", params![id.0, Address(address)])
        })
        .await
    }

    /// Commits a process's container, right after it was made.
    pub async fn set_container(&self, id: ProcessId, container: ContainerId) -> Result<()> {
        self.change_process(id, move |conn| conn.execute("UPDATE processes SET container_id = ?2 WHERE id = ?1", params![id.0, container]))
            .await
    }

    /// Forgets a process whose container is gone; doing it twice is the same.
    pub async fn drop_process(&self, id: ProcessId) -> Result<()> {
        self.write(move |conn, _| {
            let Some(found) = find(conn, id)? else { return Ok(()) };
            conn.execute("DELETE FROM processes WHERE id = ?1", [id.0])?;
            show_to_older(conn, &found.app, found.version)
        })
        .await
    }

    /// Switches what a live release runs, with what becomes true of its app, in one step.
    ///
    /// Errors: `Busy` when the release is not live, or a process that should arrive is not there.
    pub async fn switch_processes(&self, app: AppId, version: Version, change: ProcessChange) -> Result<()> {
        self.write(move |conn, _| {
            let state = release(conn, &app, version)?.state;
            if state != ReleaseState::Live {
                return Err(is_already(version, state));
            }
            for id in change.arriving {
                set_state(conn, id, ProcessState::Serving)?;
            }
            for id in change.leaving {
                set_state(conn, id, ProcessState::Leaving)?;
            }
            set_all(conn, &app, &change.settings)?;
            show_to_older(conn, &app, version)
        })
        .await
    }

    /// Returns the processes of an app, of all its releases, in the order of their rows.
    pub async fn processes(&self, app: AppId) -> Result<Vec<Process>> {
        self.processes_where("app = ?1 ORDER BY id", [app]).await
    }

    /// Returns the processes of one release.
    pub async fn processes_of(&self, app: AppId, version: Version) -> Result<Vec<Process>> {
        self.processes_where("app = ?1 AND version = ?2 ORDER BY kind, number, id", (app, version)).await
    }

    /// Returns the processes that were starting or leaving, of all apps: what start-up has to end.
    pub async fn processes_in_motion(&self) -> Result<Vec<Process>> {
        self.processes_where("state IN ('starting', 'leaving') ORDER BY id", []).await
    }

    /// Returns the processes that have a container of this id: one, or none.
    pub async fn process_with(&self, container: ContainerId) -> Result<Option<Process>> {
        Ok(self.processes_where("container_id = ?1", [container]).await?.pop())
    }

    async fn change_process(
        &self,
        id: ProcessId,
        change: impl FnOnce(&Connection) -> rusqlite::Result<usize> + Send + 'static,
    ) -> Result<()> {
        self.write(move |conn, _| {
            change(conn)?;
            let changed = process(conn, id)?;
            show_to_older(conn, &changed.app, changed.version)
        })
        .await
    }

    async fn processes_where<P: Params + Send + 'static>(&self, condition: &'static str, params: P) -> Result<Vec<Process>> {
        self.read(move |conn, _| {
            let mut query = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM processes WHERE {condition}"))?;
            let processes = query.query_map(params, from_row)?.collect::<rusqlite::Result<_>>()?;
            Ok(processes)
        })
        .await
    }
}

/// Makes what a release started serve; within the switch.
pub(super) fn serve_all(conn: &Connection, app: &AppId, version: Version) -> Result<()> {
    let change = "UPDATE processes SET state = ?3 WHERE app = ?1 AND version = ?2 AND state = ?4";
    conn.execute(change, params![app, version, ProcessState::Serving, ProcessState::Starting])?;
    conn.execute("UPDATE apps SET is_stopped = 0 WHERE id = ?1", [app])?;
    Ok(())
}

/// Forgets the processes of a release that is over.
pub(super) fn forget_all(conn: &Connection, app: &AppId, version: Version) -> Result<()> {
    conn.execute("DELETE FROM processes WHERE app = ?1 AND version = ?2", params![app, version])?;
    Ok(())
}

fn set_state(conn: &Connection, id: ProcessId, state: ProcessState) -> Result<()> {
    if conn.execute("UPDATE processes SET state = ?2 WHERE id = ?1", params![id.0, state])? == 0 {
        return Err(lost());
    }
    Ok(())
}

fn process(conn: &Connection, id: ProcessId) -> Result<Process> {
    find(conn, id)?.ok_or_else(lost)
}

fn lost() -> Error {
    Error::busy("the process was removed meanwhile")
}

fn find(conn: &Connection, id: ProcessId) -> Result<Option<Process>> {
    Ok(conn.query_row(&format!("SELECT {COLUMNS} FROM processes WHERE id = ?1"), [id.0], from_row).optional()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Process> {
    Ok(Process {
        id: ProcessId(row.get("id")?),
        app: row.get("app")?,
        version: row.get("version")?,
        kind: row.get("kind")?,
        number: row.get("number")?,
        state: row.get("state")?,
        address: row.get::<_, Option<Address>>("address")?.map(|address| address.0),
        container: row.get("container_id")?,
    })
}

// === impl ProcessId ===

impl std::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::error::Kind;

    fn kind(name: &str) -> ProcessType {
        name.parse().unwrap()
    }

    async fn started(store: &Store, app: &AppId, version: Version, name: &str, number: u32, digit: char) -> Process {
        let process = store.begin_process(app.clone(), version, kind(name), number).await.unwrap();
        let last = u8::try_from(digit.to_digit(16).unwrap()).unwrap();
        store.place_process(process.id, Ipv4Addr::new(10, 9, 0, 64 + last)).await.unwrap();
        store.set_container(process.id, container(digit)).await.unwrap();
        store.processes(app.clone()).await.unwrap().into_iter().find(|other| other.id == process.id).unwrap()
    }

    /// Does to the file what the mini of before does, which knows no table of processes.
    fn older(dir: &std::path::Path, sql: &str) {
        Connection::open(dir.join("mini.db")).unwrap().execute_batch(sql).unwrap();
    }

    #[tokio::test]
    async fn the_switch_of_a_release_makes_all_that_it_started_serve() {
        let (_dir, store, app) = with_app().await;
        let version = store.begin_release(app.id.clone(), new_release('a', &[])).await.unwrap().version;
        started(&store, &app.id, version, "web", 1, 'a').await;
        started(&store, &app.id, version, "web", 2, 'b').await;
        store.set_app(app.id.clone(), vec![AppSetting::Stopped(true)]).await.unwrap();

        store.go_live(app.id.clone(), version, super::super::GoLive::default()).await.unwrap();

        let processes = store.processes_of(app.id.clone(), version).await.unwrap();
        assert_eq!(processes.iter().map(Process::name).collect::<Vec<_>>(), ["web.1", "web.2"]);
        assert!(processes.iter().all(|process| process.state == ProcessState::Serving));
        assert!(!store.app(app.id).await.unwrap().is_stopped);
    }

    #[tokio::test]
    async fn a_change_of_processes_happens_as_a_whole_or_not_at_all() {
        let (_dir, store, app) = with_app().await;
        let version = live(&store, &app, 'a', &[]).await;
        let (old, new) = (started(&store, &app.id, version, "web", 1, 'a').await, started(&store, &app.id, version, "web", 1, 'b').await);
        let settings = vec![AppSetting::Quantity(kind("web"), 3), AppSetting::MemoryBytes(Some(1 << 29))];

        let broken = ProcessChange { arriving: vec![new.id, ProcessId(99)], leaving: vec![old.id], settings: settings.clone() };
        store.switch_processes(app.id.clone(), version, broken).await.unwrap_err();
        assert!(store.processes(app.id.clone()).await.unwrap().iter().all(|process| process.state == ProcessState::Starting));
        assert_eq!(store.formation(app.id.clone()).await.unwrap().quantity(&kind("web")), 1);

        let change = ProcessChange { arriving: vec![new.id], leaving: vec![old.id], settings };
        store.switch_processes(app.id.clone(), version, change).await.unwrap();
        let states: Vec<ProcessState> = store.processes(app.id.clone()).await.unwrap().iter().map(|process| process.state).collect();
        assert_eq!(states, [ProcessState::Leaving, ProcessState::Serving]);
        assert_eq!(store.formation(app.id.clone()).await.unwrap().quantity(&kind("web")), 3);
        assert_eq!(store.app(app.id).await.unwrap().memory_bytes, Some(1 << 29));
    }

    #[tokio::test]
    async fn a_release_that_is_over_runs_nothing_and_starts_nothing() {
        let (_dir, store, app) = with_app().await;
        let version = placed(&store, &app, [10, 9, 0, 66]).await.version;
        store.fail_release(app.id.clone(), version, "no".into()).await.unwrap();

        assert!(store.processes(app.id.clone()).await.unwrap().is_empty());
        let err = store.begin_process(app.id.clone(), version, kind("web"), 1).await.unwrap_err();
        assert_eq!(err.kind(), Kind::Busy);
        let change = store.switch_processes(app.id, version, ProcessChange::default()).await.unwrap_err();
        assert_eq!(change.kind(), Kind::Busy);
    }

    #[tokio::test]
    async fn the_mini_of_before_finds_the_first_web_process_and_what_it_changes_is_taken_over() {
        let (dir, store, app) = with_app().await;
        let version = live(&store, &app, 'a', &[]).await;
        started(&store, &app.id, version, "worker", 1, 'd').await;
        started(&store, &app.id, version, "web", 1, 'a').await;
        let shown = Connection::open(dir.path().join("mini.db")).unwrap();
        let shown = shown.query_row("SELECT address, container_id FROM releases", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(shown, Ok(("10.9.0.74".to_owned(), "a".repeat(64))));
        drop(store);

        older(dir.path(), &format!("UPDATE releases SET address = '10.9.0.70', container_id = '{}'", "b".repeat(64)));
        let store = Store::open(dir.path()).unwrap();

        let processes = store.processes(app.id.clone()).await.unwrap();
        let found: Vec<_> = processes.iter().map(|process| (process.name(), process.container.clone().unwrap())).collect();
        assert_eq!(found, [("worker.1".to_owned(), container('d')), ("web.1".to_owned(), container('b'))]);
        assert_eq!(processes[1].state, ProcessState::Serving);
        drop(store);
        assert_eq!(Store::open(dir.path()).unwrap().processes(app.id).await.unwrap(), processes, "a second start changes nothing");
    }

    #[tokio::test]
    async fn a_process_that_is_gone_is_forgotten_once() {
        let (_dir, store, app) = with_app().await;
        let version = live(&store, &app, 'a', &[]).await;
        let process = started(&store, &app.id, version, "web", 1, 'a').await;
        assert_eq!(store.process_with(container('a')).await.unwrap().unwrap().id, process.id);

        store.drop_process(process.id).await.unwrap();
        store.drop_process(process.id).await.unwrap();

        assert_eq!(store.process_with(container('a')).await.unwrap(), None);
        assert_eq!(store.place_process(process.id, Ipv4Addr::LOCALHOST).await.unwrap_err().kind(), Kind::Busy);
    }
}
