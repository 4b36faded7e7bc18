//! The refs of a repository: the branch, what is live, and the hidden ones that keep every kept release's commit.

use super::Git;
use super::commits::{commit_id, oid, unreadable};
use crate::error::{Error, Result};
use crate::model::{AppId, CommitId, Version};

/// What `HEAD` is on: always what is live, so that this is what `git clone` gives.
pub const DEPLOYED: &str = "refs/heads/deployed";

/// Below this stand the hidden refs of releases.
pub(super) const RELEASE_REFS: &str = "refs/mini/releases/";

/// Returns the full name of a branch.
#[must_use]
pub fn branch_ref(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Returns the full name of the hidden ref of a release.
#[must_use]
pub fn release_ref(version: Version) -> String {
    format!("{RELEASE_REFS}{version}")
}

// === impl Git ===

impl Git {
    /// Returns where a ref stands; `None` if there is none of this name. Blocks briefly, as all of these.
    pub fn ref_value(&self, app: &AppId, name: &str) -> Result<Option<CommitId>> {
        if !git2::Reference::is_valid_name(name) {
            return Ok(None);
        }
        let repo = self.open_repo(app, None)?;
        match repo.refname_to_id(name) {
            Ok(oid) => commit_id(oid).map(Some),
            Err(err) if err.code() == git2::ErrorCode::NotFound => Ok(None),
            Err(err) => Err(unreadable(err)),
        }
    }

    /// Makes or moves a ref to a commit that is in the repository.
    pub fn set_ref(&self, app: &AppId, name: &str, commit: &CommitId) -> Result<()> {
        let repo = self.open_repo(app, None)?;
        let result = repo.reference(name, oid(commit)?, true, "mini");
        result.map(drop).map_err(|err| Error::failed(format!("`{}` could not be moved", name.escape_debug())).because(err))
    }

    /// Deletes a ref; one that is not there is fine.
    pub fn delete_ref(&self, app: &AppId, name: &str) -> Result<()> {
        let repo = self.open_repo(app, None)?;
        match repo.find_reference(name).and_then(|mut found| found.delete()) {
            Err(err) if err.code() != git2::ErrorCode::NotFound => {
                Err(Error::failed(format!("`{}` could not be deleted", name.escape_debug())).because(err))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a release's commit for as long as the release is kept: a rollback can then move the branch to it.
    pub fn set_release_ref(&self, app: &AppId, version: Version, commit: &CommitId) -> Result<()> {
        self.set_ref(app, &release_ref(version), commit)
    }

    /// Says which commit is live.
    pub fn set_deployed(&self, app: &AppId, commit: &CommitId) -> Result<()> {
        self.set_ref(app, DEPLOYED, commit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;

    #[test]
    fn refs_are_made_moved_read_and_deleted() {
        let bench = Bench::new();
        let (one, two) = (bench.commit(&[("a", "1")]), bench.commit(&[("a", "2")]));
        let (git, app) = (&bench.git, &bench.app);

        git.set_ref(app, "refs/heads/main", &one).unwrap();
        git.set_ref(app, "refs/heads/main", &two).unwrap();
        git.set_release_ref(app, Version(12), &one).unwrap();
        git.set_deployed(app, &two).unwrap();

        assert_eq!(git.ref_value(app, &branch_ref("main")).unwrap(), Some(two.clone()));
        assert_eq!(git.ref_value(app, "refs/mini/releases/v12").unwrap(), Some(one));
        assert_eq!(bench.shell("git rev-parse HEAD"), two.as_str());
        git.delete_ref(app, "refs/mini/releases/v12").unwrap();
        git.delete_ref(app, "refs/mini/releases/v12").unwrap();
        assert_eq!(git.ref_value(app, "refs/mini/releases/v12").unwrap(), None);
    }

    #[test]
    fn odd_names_and_missing_commits_are_refused() {
        let bench = Bench::new();
        let commit = bench.commit(&[("a", "1")]);

        for name in ["", "refs/heads/../x", "refs/heads/a b", "refs/heads/x.lock", "/etc/passwd"] {
            assert!(bench.git.set_ref(&bench.app, name, &commit).is_err(), "{name} was set");
            assert_eq!(bench.git.ref_value(&bench.app, name).unwrap(), None);
        }
        assert!(bench.git.set_ref(&bench.app, "refs/heads/main", &"d".repeat(40).parse().unwrap()).is_err());
    }
}
