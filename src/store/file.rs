//! The file `mini.db`: made once and whole, opened with care, never made again in silence.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::is_lasting;
use super::schema::{self, Migration, beside};
use crate::error::{Error, Kind, Result};

/// The database's name within the data dir.
pub(super) const NAME: &str = "mini.db";
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A WAL that grew in a burst is cut back to this.
const WAL_KEPT_BYTES: i64 = 4 << 20;

/// Opens the database of `data_dir`, creates it where there never was one, and brings its schema up to `steps`.
pub(super) fn open(data_dir: &Path, steps: &[Migration]) -> Result<Connection> {
    let path = data_dir.join(NAME);
    if is_absent(&path)? {
        refuse_if_lost(data_dir, &path)?;
        create(data_dir, &path, steps)?;
    }
    check_file(&path)?;
    let opened = connect(&path).and_then(|conn| check_pages(&conn).map(|()| conn));
    let conn = opened.map_err(|err| if is_lasting(&err) { damaged(&path, err) } else { err })?;
    // A plain failure is SQL that a whole database would have taken: a table of ours is gone.
    let migrated = schema::migrate(&conn, &path, steps);
    migrated.map_err(|err| if err.kind() == Kind::Failed { damaged(&path, err) } else { err })?;
    Ok(conn)
}

/// Makes the directory's entries durable: a rename is not, before this.
pub(super) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

fn is_absent(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(true),
        Err(err) => Err(unreadable(path, err)),
    }
}

/// A key or a journal without its database means that the database was lost, not that this is the first start.
fn refuse_if_lost(data_dir: &Path, path: &Path) -> Result<()> {
    for witness in [beside(path, "-wal"), data_dir.join(super::seal::NAME)] {
        if !is_absent(&witness)? {
            return Err(Error::setup(format!("the database `{}` is missing, but `{}` is there", path.display(), witness.display()))
                .hint(way_back(path)));
        }
    }
    Ok(())
}

/// Writes a complete first database beside, syncs and renames it: at no moment is there half a `mini.db`.
fn create(data_dir: &Path, path: &Path, steps: &[Migration]) -> Result<()> {
    let unfinished = beside(path, ".new");
    let made = || -> std::io::Result<()> {
        remove_if_there(&unfinished)?;
        remove_if_there(&beside(&unfinished, "-journal"))?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map(drop)
    };
    made().map_err(|err| unwritable(data_dir, err))?;
    let conn = Connection::open_with_flags(&unfinished, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::create(&conn, steps)?;
    conn.close().map_err(|(_, err)| err)?;
    let renamed = || -> std::io::Result<()> {
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, path)?;
        sync_dir(data_dir)
    };
    renamed().map_err(|err| unwritable(data_dir, err))
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// Looks at the file before the library does, which would take an empty one for a new database.
fn check_file(path: &Path) -> Result<()> {
    let about = fs::metadata(path).map_err(|err| unreadable(path, err))?;
    if !about.is_file() {
        return Err(Error::setup(format!("the database `{}` is not a file", path.display())).hint(way_back(path)));
    }
    if about.len() == 0 {
        return Err(Error::setup(format!("the database `{}` is empty", path.display())).hint(way_back(path)));
    }
    OpenOptions::new().read(true).write(true).open(path).map_err(|err| unreadable(path, err))?;
    if about.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|err| unreadable(path, err))?;
    }
    Ok(())
}

/// Opens the file with our settings.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // FULL: a commit is on the disk before its caller hears of it; NORMAL may lose the last ones with the power.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    Ok(conn)
}

/// Asks whether every page is well formed; the error is the first finding.
pub(super) fn check_pages(conn: &Connection) -> Result<()> {
    let verdict: String = conn.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::setup(verdict)) }
}

/// As [`check_pages`], in a sentence that names the file.
pub(super) fn look_through(conn: &Connection, path: &Path) -> Result<()> {
    check_pages(conn).map_err(|err| damaged(path, err))
}

fn damaged(path: &Path, cause: Error) -> Error {
    Error::setup(format!("the database `{}` is damaged: {}", path.display(), finding(&cause))).hint(way_back(path)).because(cause)
}

/// Returns the first thing that is wrong, in the library's words.
fn finding(cause: &Error) -> String {
    let text = std::error::Error::source(cause).map_or_else(|| cause.to_string(), ToString::to_string);
    // quick_check heads its findings with `*** in database main ***`.
    text.lines().find(|line| !line.starts_with("***")).unwrap_or_default().to_owned()
}

/// Says how to get from a lost database to a backup's; the file that is there is never touched.
pub(super) fn way_back(path: &Path) -> String {
    let data_dir = path.parent().unwrap_or(path).display();
    format!("nothing was changed. Move {data_dir} away, then: mini restore BACKUP --data {data_dir}")
}

fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    Error::setup(format!("the database `{}` cannot be opened: {cause}", path.display()))
        .hint("it has to be readable and writable for the user that runs mini")
        .because(cause)
}

fn unwritable(data_dir: &Path, cause: std::io::Error) -> Error {
    Error::setup(format!("the data dir `{}` cannot be written: {cause}", data_dir.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::Store;
    use super::super::trial::*;
    use super::*;

    #[tokio::test]
    async fn a_second_open_sees_the_data() {
        let (dir, store, app) = with_app().await;
        let instance = store.instance().clone();
        drop(store);

        let again = Store::open(dir.path()).unwrap();

        assert_eq!(again.apps().await.unwrap(), [app]);
        assert_eq!(again.instance(), &instance);
        assert_eq!(fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_copy_taken_after_a_commit_has_it() {
        let (dir, store, app) = with_app().await;

        live(&store, &app, 'a', &[("A", "1")]).await;
        let copy = snapshot(dir.path());

        let other = Store::open(copy.path()).unwrap();
        assert_eq!(other.config(app.id.clone()).await.unwrap(), config(&[("A", "1")]));
        assert_eq!(other.live_releases().await.unwrap(), store.live_releases().await.unwrap());
    }

    #[tokio::test]
    async fn a_journal_cut_anywhere_leaves_a_prefix_of_the_commits() {
        let (dir, store) = fresh();
        let names: Vec<String> = (0..6).map(|number| format!("app{number}")).collect();
        for name in &names {
            store.create_app(crate::model::AppId::random(), name.parse().unwrap(), "anna".into()).await.unwrap();
        }
        let wal_bytes = fs::metadata(dir.path().join("mini.db-wal")).unwrap().len();

        for cut in (0..wal_bytes).step_by(7919) {
            let copy = snapshot(dir.path());
            let wal = OpenOptions::new().write(true).open(copy.path().join("mini.db-wal")).unwrap();
            wal.set_len(cut).unwrap();
            // The check value is one of the commits: what is cut before it is a first start that goes on.
            let found = Store::open(copy.path()).unwrap().apps().await.unwrap();
            assert!(found.iter().map(|app| app.name.as_str()).eq(names.iter().take(found.len())), "cut at {cut}: {found:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        type Damage = (&'static str, fn(&Path));
        let damages: [Damage; 6] = [
            ("no meta", |path| Connection::open(path).unwrap().execute_batch("DROP TABLE meta").unwrap()),
            ("random header", |path| OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[0xa7; 100], 0).unwrap()),
            ("random page", |path| OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[0xa7; 4096], 4096).unwrap()),
            ("cut", |path| OpenOptions::new().write(true).open(path).unwrap().set_len(5000).unwrap()),
            ("empty", |path| fs::write(path, "").unwrap()),
            ("text", |path| fs::write(path, "hello, this is no database\n".repeat(400)).unwrap()),
        ];
        for (what, damage) in damages {
            let (dir, store) = fresh();
            drop(store);
            let path = dir.path().join(NAME);
            damage(&path);
            let before = fs::read(&path).unwrap();

            let err = refusal(dir.path(), &path);

            assert!(err.next_step().is_some_and(|hint| hint.contains("mini restore")), "{what}: {err}");
            assert!(!err.sentence().ends_with(": ") && !err.sentence().contains("***"), "{what}: {err}");
            assert!(fs::read(&path).unwrap() == before, "{what}: the file was changed");
        }
    }

    #[test]
    fn what_is_in_the_way_or_lost_is_refused() {
        let (dir, store) = fresh();
        drop(store);
        let path = dir.path().join(NAME);

        fs::remove_file(&path).unwrap();
        refusal(dir.path(), &path);
        assert!(!path.exists(), "a lost database was made again");
        fs::create_dir(&path).unwrap();
        refusal(dir.path(), &path);

        let empty = tempfile::tempdir().unwrap();
        fs::write(empty.path().join("mini.db-wal"), "x").unwrap();
        refusal(empty.path(), &empty.path().join(NAME));
        refusal(&empty.path().join("no such dir"), &empty.path().join("no such dir"));
    }

    #[test]
    fn an_unfinished_first_database_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mini.db.new"), "half").unwrap();

        Store::open(dir.path()).unwrap();

        assert!(!dir.path().join("mini.db.new").exists());
    }

    #[test]
    fn another_programs_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a); PRAGMA user_version = 1").unwrap();

        refusal(dir.path(), &path);
    }
}
