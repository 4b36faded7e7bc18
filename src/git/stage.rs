//! A repository on its way into a backup and out of one: its refs and objects, never its configuration.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use git2::{ObjectType, Oid, Repository, RepositoryOpenFlags};

use super::commits::unreadable;
use super::{DEPLOYED, Git};
use crate::error::{Error, Result};
use crate::model::AppId;

// === impl Git ===

impl Git {
    /// Puts what a repository holds at one moment into the folder `into`, which it makes: hard links, so that it takes no place. Blocks.
    ///
    /// Refs come first, objects after them: what a push brings meanwhile has its object before its ref, and nothing is ever pruned.
    pub fn stage(&self, app: &AppId, into: &Path) -> Result<()> {
        let failed = |err| Error::failed("the app's repository could not be read for the backup").because(err);
        stage(&self.path(app), into).map_err(failed)
    }
}

/// Makes a repository of the refs and objects that a backup brought to `repo`; `hooks` is where the server will have its hooks. Blocks.
///
/// Returns whether everything that its refs reach is there.
pub fn revive(repo: &Path, hooks: &Path) -> Result<bool> {
    let failed = |err| Error::failed("the app's repository could not be made again").because(err);
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).mkdir(true).external_template(false).initial_head(DEPLOYED);
    let made = Repository::init_opts(repo, &options).map_err(failed)?;
    made.config().and_then(|mut config| config.set_str("core.hooksPath", &hooks.to_string_lossy())).map_err(failed)?;
    drop(made);
    let repo = Repository::open_ext(repo, RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE, std::iter::empty::<&Path>())
        .map_err(failed)?;
    match is_connected(&repo) {
        Ok(()) => Ok(true),
        Err(err) => {
            tracing::debug!(error = %err, "a restored repository is not whole");
            Ok(false)
        }
    }
}

fn stage(repo: &Path, into: &Path) -> io::Result<()> {
    make_folder(into)?;
    link_all(&repo.join("refs"), &into.join("refs"), &|name| !name.as_encoded_bytes().ends_with(b".lock"))?;
    // After the loose ones: a ref moves from there to here, never back.
    for file in ["packed-refs", "shallow"] {
        match link(&repo.join(file), &into.join(file)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    // Quarantines, `info` and unfinished packs stay behind.
    for entry in fs::read_dir(repo.join("objects"))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_fan = name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
        if is_fan {
            link_all(&entry.path(), &into.join("objects").join(&name), &|name| name.len() == 38)?;
        } else if name == "pack" {
            link_all(&entry.path(), &into.join("objects/pack"), &is_of_a_pack)?;
        }
    }
    Ok(())
}

fn is_of_a_pack(name: &OsStr) -> bool {
    let end = Path::new(name).extension().and_then(OsStr::to_str);
    name.as_encoded_bytes().starts_with(b"pack-") && matches!(end, Some("pack" | "idx" | "rev"))
}

fn link_all(from: &Path, into: &Path, wanted: &dyn Fn(&OsStr) -> bool) -> io::Result<()> {
    make_folder(into)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if kind.is_dir() {
            link_all(&entry.path(), &into.join(name), wanted)?;
        } else if kind.is_file() && wanted(&name) {
            match link(&entry.path(), &into.join(&name)) {
                // A ref that was deleted in this moment.
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Links a file that nobody changes in place; some file systems have no hard links.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => fs::copy(from, to).map(drop),
        linked => linked,
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads every commit and tree that a ref reaches, and looks for every file; below a `shallow` commit nothing is expected.
fn is_connected(repo: &Repository) -> Result<()> {
    let odb = repo.odb().map_err(unreadable)?;
    let shallow = fs::read_to_string(repo.path().join("shallow")).unwrap_or_default();
    let shallow: HashSet<&str> = shallow.lines().collect();
    let mut waiting = Vec::new();
    for reference in repo.references().map_err(unreadable)? {
        waiting.extend(reference.map_err(unreadable)?.target());
    }
    let mut seen: HashSet<Oid> = HashSet::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let (_, kind) = odb.read_header(id).map_err(unreadable)?;
        match kind {
            ObjectType::Commit => {
                let commit = repo.find_commit(id).map_err(unreadable)?;
                waiting.push(commit.tree_id());
                if !shallow.contains(id.to_string().as_str()) {
                    waiting.extend(commit.parent_ids());
                }
            }
            ObjectType::Tree => {
                let tree = repo.find_tree(id).map_err(unreadable)?;
                // A submodule's commit is not in here.
                waiting.extend(tree.iter().filter(|entry| entry.kind() != Some(ObjectType::Commit)).map(|entry| entry.id()));
            }
            ObjectType::Tag => waiting.push(repo.find_tag(id).map_err(unreadable)?.target_id()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, shell};
    use super::*;

    #[test]
    fn a_staged_repository_is_revived_with_all_that_its_refs_reach() {
        let bench = Bench::new();
        let (one, two) = (bench.commit(&[("a/b", "1"), ("c", "2")]), bench.commit(&[("a/b", "3")]));
        bench.git.set_ref(&bench.app, "refs/heads/main", &one).unwrap();
        bench.git.set_deployed(&bench.app, &two).unwrap();
        bench.shell("git gc -q && mkdir objects/tmp_objdir-incoming-x && touch objects/tmp_objdir-incoming-x/y refs/heads/main.lock");
        let three = bench.commit(&[("d", "4")]);
        bench.git.set_ref(&bench.app, "refs/mini/releases/v3", &three).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let staged = dir.path().join("staged");

        bench.git.stage(&bench.app, &staged).unwrap();
        bench.git.remove(&bench.app).unwrap();
        let is_whole = revive(&staged, Path::new("/srv/mini/hooks")).unwrap();

        assert!(is_whole);
        let shown = |words: &str| shell(&staged, &format!("git --git-dir . {words}"));
        assert_eq!(shown("rev-parse HEAD main refs/mini/releases/v3"), format!("{two}\n{one}\n{three}"));
        assert_eq!(shown("config core.hooksPath"), "/srv/mini/hooks");
        assert!(!staged.join("objects/tmp_objdir-incoming-x").exists() && !staged.join("refs/heads/main.lock").exists());
        shown("fsck --strict");
    }

    #[test]
    fn a_repository_with_a_lost_object_is_not_whole() {
        for lost in ["main", "main^{tree}", "main:a"] {
            let bench = Bench::new();
            let commit = bench.commit(&[("a", "1")]);
            bench.git.set_ref(&bench.app, "refs/heads/main", &commit).unwrap();
            bench.shell(&format!("id=$(git rev-parse {lost}) && rm -f objects/$(echo $id | cut -c1-2)/$(echo $id | cut -c3-)"));
            let dir = tempfile::tempdir().unwrap();

            bench.git.stage(&bench.app, &dir.path().join("staged")).unwrap();

            assert!(!revive(&dir.path().join("staged"), Path::new("/hooks")).unwrap(), "{lost}");
        }
    }

    #[test]
    fn a_shallow_repository_is_whole_without_what_is_below() {
        let bench = Bench::new();
        let dir = tempfile::tempdir().unwrap();
        bench.shell("git init -q ../src && cd ../src && for n in 1 2 3; do git commit -q --allow-empty -m $n; done");
        bench.shell("git fetch -q --depth 1 file://$PWD/../src HEAD:refs/heads/main");

        bench.git.stage(&bench.app, &dir.path().join("staged")).unwrap();

        assert!(revive(&dir.path().join("staged"), Path::new("/hooks")).unwrap());
        std::fs::remove_file(dir.path().join("staged/shallow")).unwrap();
        assert!(!revive(&dir.path().join("staged"), Path::new("/hooks")).unwrap());
    }

    #[test]
    fn a_repository_that_goes_away_meanwhile_is_an_error() {
        let bench = Bench::new();
        bench.git.remove(&bench.app).unwrap();
        let dir = tempfile::tempdir().unwrap();

        assert!(bench.git.stage(&bench.app, &dir.path().join("staged")).is_err());
    }
}
