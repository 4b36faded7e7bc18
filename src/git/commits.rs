//! Reads objects, those of a push in quarantine too.

use std::fmt;
use std::path::Path;

use git2::{ObjectType, Oid, Repository, RepositoryOpenFlags};

use super::{Facts, Git, RefUpdate, quarantine};
use crate::error::{Error, Result};
use crate::model::limits::MIB;
use crate::model::{AppId, CommitId};

/// A commit holds a message and a few ids; git takes longer ones, nobody writes them.
const MAX_COMMIT_BYTES: u64 = MIB;

/// What an object id stands for, without following tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Commit,
    /// An annotated tag.
    Tag,
    Tree,
    Blob,
}

/// The id of a tree: two commits of the same tree have the same files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeId(Oid);

// === impl Git ===

impl Git {
    /// Gathers what [`plan`](super::plan) must know about a push; of several updates it looks at the first. Blocks briefly.
    pub fn facts(&self, app: &AppId, quarantine: Option<&Path>, updates: &[RefUpdate]) -> Result<Facts> {
        let Some(update) = updates.first() else { return Ok(Facts::default()) };
        let object = match &update.new {
            Some(id) => self.object_kind(app, quarantine, id)?,
            None => None,
        };
        Ok(Facts { current: self.ref_value(app, &update.name)?, object })
    }

    /// Tells what an object is; `None` if it is not there. Blocks briefly.
    pub fn object_kind(&self, app: &AppId, quarantine: Option<&Path>, id: &CommitId) -> Result<Option<ObjectKind>> {
        let repo = self.open_repo(app, quarantine)?;
        let odb = repo.odb().map_err(unreadable)?;
        match odb.read_header(oid(id)?) {
            Ok((_, ObjectType::Commit)) => Ok(Some(ObjectKind::Commit)),
            Ok((_, ObjectType::Tag)) => Ok(Some(ObjectKind::Tag)),
            Ok((_, ObjectType::Tree)) => Ok(Some(ObjectKind::Tree)),
            Ok((_, _)) => Ok(Some(ObjectKind::Blob)),
            Err(err) if err.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(err) => Err(unreadable(err)),
        }
    }

    /// Tells whether a commit is in the repository for good. Blocks briefly.
    pub fn has_commit(&self, app: &AppId, id: &CommitId) -> Result<bool> {
        Ok(self.exists(app) && self.object_kind(app, None, id)? == Some(ObjectKind::Commit))
    }

    /// Returns the tree of a commit, in quarantine or not; `None` if there is no such commit. Blocks briefly.
    pub fn tree_of(&self, app: &AppId, quarantine: Option<&Path>, id: &CommitId) -> Result<Option<TreeId>> {
        if self.object_kind(app, quarantine, id)? != Some(ObjectKind::Commit) {
            return Ok(None);
        }
        let repo = self.open_repo(app, quarantine)?;
        Ok(Some(TreeId(find_commit(&repo, id)?.tree_id())))
    }

    /// Returns the first line of a commit's message, at most 200 characters, without control characters. Blocks briefly.
    pub fn summary(&self, app: &AppId, quarantine: Option<&Path>, id: &CommitId) -> Result<String> {
        const MAX_CHARS: usize = 200;
        let repo = self.open_repo(app, quarantine)?;
        let commit = find_commit(&repo, id)?;
        let text = String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned();
        Ok(text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect())
    }

    /// Opens a repository and adds a push's quarantine, if it is really one of this repository, to where objects are looked up.
    pub(super) fn open_repo(&self, app: &AppId, quarantine: Option<&Path>) -> Result<Repository> {
        let path = self.existing(app)?;
        let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE;
        let repo = Repository::open_ext(&path, flags, std::iter::empty::<&Path>()).map_err(unreadable)?;
        if let Some(folder) = quarantine {
            quarantine::check(&path, folder)?;
            let folder = folder.to_str().ok_or_else(|| Error::setup("the data dir's path is not UTF-8"))?;
            repo.odb().and_then(|odb| odb.add_disk_alternate(folder)).map_err(unreadable)?;
        }
        Ok(repo)
    }
}

/// Finds a commit, not what a tag of it points to: git refuses a tag on a branch, but only after the hook.
pub(super) fn find_commit<'r>(repo: &'r Repository, id: &CommitId) -> Result<git2::Commit<'r>> {
    let missing = |err| Error::not_found(format!("commit {} is not in the app's repository", id.short())).because(err);
    let oid = oid(id)?;
    let (size, _) = repo.odb().and_then(|odb| odb.read_header(oid)).map_err(missing)?;
    if size as u64 > MAX_COMMIT_BYTES {
        return Err(Error::failed(format!("the message of commit {} is too long", id.short())));
    }
    repo.find_commit(oid).map_err(missing)
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn oid(id: &CommitId) -> Result<Oid> {
    Oid::from_str(id.as_str()).map_err(unreadable)
}

pub(super) fn commit_id(oid: Oid) -> Result<CommitId> {
    oid.to_string().parse()
}

pub(super) fn unreadable(cause: git2::Error) -> Error {
    Error::failed("the app's repository could not be read").because(cause)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn an_object_is_what_it_is_and_not_what_it_points_to() {
        let bench = Bench::new();
        let commit = bench.commit(&[("a", "b")]);
        let tag = bench.shell(&format!("git tag -a v1 -m x {commit} && git rev-parse v1")).parse().unwrap();
        let tree = bench.shell(&format!("git rev-parse {commit}^{{tree}}")).parse().unwrap();
        let blob = bench.shell(&format!("git rev-parse {commit}:a")).parse().unwrap();
        let kind = |id| bench.git.object_kind(&bench.app, None, id).unwrap();

        assert_eq!(kind(&commit), Some(ObjectKind::Commit));
        assert_eq!(kind(&tag), Some(ObjectKind::Tag));
        assert_eq!((kind(&tree), kind(&blob)), (Some(ObjectKind::Tree), Some(ObjectKind::Blob)));
        assert_eq!(kind(&"d".repeat(40).parse().unwrap()), None);
        assert!(bench.git.has_commit(&bench.app, &commit).unwrap() && !bench.git.has_commit(&bench.app, &tag).unwrap());
        assert_eq!(bench.git.summary(&bench.app, None, &commit).unwrap(), "a commit");
    }

    #[test]
    fn objects_in_quarantine_are_seen_only_through_it() {
        let bench = Bench::new();
        let commit = bench.commit(&[("a", "b")]);
        let objects = bench.repo().join("objects");
        let quarantine = objects.join("tmp_objdir-incoming-x1");
        bench.shell("mkdir objects/tmp_objdir-incoming-x1 && mv objects/?? objects/tmp_objdir-incoming-x1/");

        assert!(!bench.git.has_commit(&bench.app, &commit).unwrap());
        assert_eq!(bench.git.object_kind(&bench.app, Some(&quarantine), &commit).unwrap(), Some(ObjectKind::Commit));
        for elsewhere in [bench.dir.path(), &objects, &objects.join("pack"), &quarantine.join("..").join("tmp_objdir-incoming-x1")] {
            assert!(bench.git.object_kind(&bench.app, Some(elsewhere), &commit).is_err(), "{} was opened", elsewhere.display());
        }
    }
}
