//! The repositories on disk, one an app, named by the app's id and never by what somebody typed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use super::program::{self, GitProgram};
use super::{DEPLOYED, orphans, quarantine};
use crate::error::{Error, Result};
use crate::model::AppId;
use crate::model::limits::GIT_EXIT_GRACE;

const PRE_RECEIVE: &str = include_str!("../../hooks/pre-receive");
const UPDATE: &str = include_str!("../../hooks/update");

/// All repositories of a data dir, and the `git` that serves them. Cheap to clone.
#[derive(Clone)]
pub struct Git {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    repos: PathBuf,
    pub(super) hooks: PathBuf,
    pub(super) search_path: OsString,
    /// What the hooks start: this very program, also when its file has been replaced meanwhile.
    pub(super) hook_program: PathBuf,
    /// How long a git may take to end when its client has left.
    pub(super) exit_grace: Duration,
    /// `None` until somebody asks: a new server serves before it waits for another program.
    program: Mutex<Option<GitProgram>>,
    receiving: Mutex<HashMap<AppId, usize>>,
}

/// A push on its way. When the last one of a repository ends, what a killed git left in it is swept.
pub(super) struct Receiving {
    git: Git,
    app: AppId,
}

// === impl Git ===

impl Git {
    /// Makes `repos` and `hooks` in the data dir where they are missing; `git` itself is looked for when it is asked about.
    pub fn open(data_dir: &Path) -> Result<Git> {
        let own_program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        Git::open_with(data_dir, program::search_path(), own_program, GIT_EXIT_GRACE)
    }

    pub(super) fn open_with(data_dir: &Path, search_path: OsString, hook_program: PathBuf, exit_grace: Duration) -> Result<Git> {
        trust_our_repositories();
        let data_dir = std::path::absolute(data_dir).map_err(no_data_dir)?;
        let (repos, hooks) = (data_dir.join("repos"), data_dir.join("hooks"));
        for folder in [&repos, &hooks] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(no_data_dir)?;
        }
        let program = Mutex::new(write_hooks(&hooks).map_err(no_data_dir)?);
        let inner = Inner { repos, hooks, search_path, hook_program, exit_grace, program, receiving: Mutex::default() };
        Ok(Git { inner: Arc::new(inner) })
    }

    /// Returns what is known of the machine's `git`. Blocks for some milliseconds when it is asked first.
    #[must_use]
    pub fn program(&self) -> GitProgram {
        lock(&self.inner.program).get_or_insert_with(|| self.detect()).clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        lock(&self.inner.program).as_ref().is_some_and(|program| program.check().is_ok())
    }

    /// Looks again for a `git` that was missing or too old, or for room for its hooks. Blocks for some milliseconds then.
    pub fn look_again(&self) -> GitProgram {
        if !self.is_ready() {
            let found = match write_hooks(&self.inner.hooks) {
                Ok(None) => self.detect(),
                Ok(Some(refused)) => refused,
                Err(err) => {
                    tracing::warn!(error = %err, "the git hooks cannot be written");
                    GitProgram::HooksCannotRun
                }
            };
            *lock(&self.inner.program) = Some(found);
        }
        self.program()
    }

    fn detect(&self) -> GitProgram {
        GitProgram::detect(&self.inner.search_path, &self.inner.hooks)
    }

    /// Makes an app's repository: bare, empty, `HEAD` on what will be live. One that is there stays as it is.
    ///
    /// It names our hooks itself too, so that a push past the server, from a shell on the machine, is refused.
    pub fn create(&self, app: &AppId) -> Result<()> {
        let mut options = git2::RepositoryInitOptions::new();
        // Two first pushes of an app come here at once, and the second finds it made.
        let _one = lock(&self.inner.receiving);
        options.bare(true).mkdir(true).external_template(false).initial_head(DEPLOYED);
        git2::Repository::init_opts(self.path(app), &options)
            .and_then(|repo| repo.config()?.set_str("core.hooksPath", &self.inner.hooks.to_string_lossy()))
            .map_err(|err| Error::failed("the app's repository could not be made").because(err))
    }

    /// Removes an app's repository with all it holds; one that is not there is fine.
    pub fn remove(&self, app: &AppId) -> Result<()> {
        match fs::remove_dir_all(self.path(app)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                Err(Error::failed("the app's repository could not be removed").because(err))
            }
            _ => Ok(()),
        }
    }

    /// Lists the apps that have a repository.
    pub fn list(&self) -> Result<Vec<AppId>> {
        let entries = fs::read_dir(&self.inner.repos).map_err(|err| Error::failed("the repositories could not be listed").because(err))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_suffix(".git").and_then(|id| id.parse().ok())).collect())
    }

    #[must_use]
    pub fn exists(&self, app: &AppId) -> bool {
        self.path(app).join("HEAD").is_file()
    }

    /// Ends, at start-up, the pushes of a server that was killed, and sweeps what they left behind in every repository.
    ///
    /// A repository that cannot be swept stays as it is.
    pub fn sweep_quarantines(&self) -> Result<()> {
        orphans::end(&fs::canonicalize(&self.inner.repos).map_err(no_data_dir)?);
        let entries = fs::read_dir(&self.inner.repos).map_err(no_data_dir)?;
        for repo in entries.flatten().map(|entry| entry.path()) {
            if let Err(err) = quarantine::sweep(&repo).and_then(|()| quarantine::sweep_leftovers(&repo)) {
                tracing::warn!(repo = %repo.display(), error = %err, "what a killed push left behind could not be swept");
            }
        }
        Ok(())
    }

    pub(super) fn path(&self, app: &AppId) -> PathBuf {
        self.inner.repos.join(format!("{app}.git"))
    }

    /// Returns the path of a repository that must be there.
    pub(super) fn existing(&self, app: &AppId) -> Result<PathBuf> {
        if self.exists(app) { Ok(self.path(app)) } else { Err(Error::not_found("nothing has been pushed to this app yet")) }
    }

    pub(super) fn pushes_under_way(&self, app: &AppId) -> usize {
        lock(&self.inner.receiving).get(app).copied().unwrap_or(0)
    }

    pub(super) fn receiving(&self, app: &AppId) -> Receiving {
        *lock(&self.inner.receiving).entry(app.clone()).or_insert(0) += 1;
        Receiving { git: self.clone(), app: app.clone() }
    }
}

// === impl Receiving ===

impl Drop for Receiving {
    fn drop(&mut self) {
        // The lock is held over the sweep: a push that begins meanwhile would lose its objects.
        let mut receiving = lock(&self.git.inner.receiving);
        let count = receiving.entry(self.app.clone()).or_insert(1);
        *count -= 1;
        if *count == 0 {
            receiving.remove(&self.app);
            if let Err(err) = quarantine::sweep(&self.git.path(&self.app)) {
                tracing::warn!(app.id = %self.app, error = %err, "objects of an ended push could not be swept");
            }
        }
    }
}

/// A panic elsewhere leaves these plain values whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a hook beside and renames it: a push may be about to run the old one.
/// Writes our hooks. A disk without room refuses pushes, and not the start: apps are served without them.
fn write_hooks(hooks: &Path) -> io::Result<Option<GitProgram>> {
    match write_hook(hooks, "pre-receive", PRE_RECEIVE).and_then(|()| write_hook(hooks, "update", UPDATE)) {
        Err(err) if matches!(err.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            Ok(Some(GitProgram::HooksNotWritten))
        }
        written => written.map(|()| None),
    }
}

fn write_hook(hooks: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = hooks.join(name);
    if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) && fs::metadata(&path)?.permissions().mode() & 0o777 == 0o700 {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(hooks)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(0o700))?;
    file.as_file().sync_all()?;
    // Closed before it gets its name: a file open for writing cannot be executed.
    file.into_temp_path().persist(&path)?;
    Ok(())
}

fn no_data_dir(cause: io::Error) -> Error {
    Error::setup("the data dir cannot hold repositories").because(cause)
}

/// Tells libgit2, once, to open repositories whoever owns them (volumes have other owners), and to read no one's configuration.
#[allow(unsafe_code)]
fn trust_our_repositories() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: these set globals of libgit2, which is safe while nobody uses it: only this room does, and only through a `Git`.
        let result = unsafe {
            use git2::ConfigLevel::{Global, ProgramData, System, XDG};
            git2::opts::set_verify_owner_validation(false)
                .and_then(|()| [ProgramData, System, XDG, Global].into_iter().try_for_each(|level| git2::opts::set_search_path(level, "")))
        };
        if let Err(err) = result {
            tracing::warn!(error = %err, "libgit2 could not be told to read no configuration");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn a_repository_is_made_once_and_removed() {
        let bench = Bench::new();
        let app = AppId::random();

        bench.git.create(&app).unwrap();
        bench.git.create(&app).unwrap();

        assert!(bench.git.exists(&app));
        assert_eq!(fs::read_to_string(bench.git.path(&app).join("HEAD")).unwrap(), "ref: refs/heads/deployed\n");
        bench.git.remove(&app).unwrap();
        bench.git.remove(&app).unwrap();
        assert!(!bench.git.exists(&app));
    }

    #[test]
    fn opening_twice_keeps_the_hooks_executable_and_finds_git() {
        let bench = Bench::new();
        let again = Git::open(bench.dir.path()).unwrap();

        assert!(matches!(again.program(), GitProgram::Ready { .. }), "{:?}", again.program());
        for hook in ["pre-receive", "update"] {
            assert_eq!(fs::metadata(bench.dir.path().join("hooks").join(hook)).unwrap().permissions().mode() & 0o777, 0o700);
        }
        assert_eq!(fs::read_dir(bench.dir.path().join("hooks")).unwrap().count(), 2);
    }

    #[test]
    fn a_sweep_removes_quarantines_and_locks_and_nothing_else() {
        let bench = Bench::new();
        let commit = bench.commit(&[("a", "b")]);
        bench.git.set_ref(&bench.app, "refs/heads/main", &commit).unwrap();
        let repo = bench.git.path(&bench.app);
        fs::create_dir(repo.join("objects/tmp_objdir-incoming-abc")).unwrap();
        fs::write(repo.join("objects/tmp_objdir-incoming-abc/x"), "x").unwrap();
        fs::write(repo.join("refs/heads/main.lock"), "").unwrap();

        bench.git.sweep_quarantines().unwrap();

        assert!(!repo.join("objects/tmp_objdir-incoming-abc").exists() && !repo.join("refs/heads/main.lock").exists());
        assert_eq!(bench.git.ref_value(&bench.app, "refs/heads/main").unwrap(), Some(commit));
    }

    #[test]
    fn the_last_push_that_ends_sweeps() {
        let bench = Bench::new();
        let left = bench.git.path(&bench.app).join("objects/tmp_objdir-incoming-abc");
        let (one, two) = (bench.git.receiving(&bench.app), bench.git.receiving(&bench.app));
        fs::create_dir(&left).unwrap();

        drop(one);
        assert!(left.exists(), "it may belong to the other push");
        drop(two);

        assert!(!left.exists());
    }
}
