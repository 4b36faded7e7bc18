//! A data dir with one app's repository, and hands to put commits into it, honest and hostile.

use std::path::PathBuf;
use std::process::Command;

use git2::{ObjectType, Oid, Repository, Signature};
use tempfile::TempDir;

use super::Git;
use crate::model::{AppId, CommitId};

pub(super) struct Bench {
    pub(super) dir: TempDir,
    pub(super) git: Git,
    pub(super) app: AppId,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let dir = TempDir::new().unwrap();
        let git = Git::open(dir.path()).unwrap();
        let app = AppId::random();
        git.create(&app).unwrap();
        Bench { dir, git, app }
    }

    pub(super) fn repo(&self) -> PathBuf {
        self.git.path(&self.app)
    }

    fn open(&self) -> Repository {
        Repository::open(self.repo()).unwrap()
    }

    pub(super) fn blob(&self, content: &str) -> Oid {
        self.open().blob(content.as_bytes()).unwrap()
    }

    /// Writes a tree object as it is, whatever is in it; entries must be in git's order.
    pub(super) fn tree(&self, entries: &[(&str, &str, Oid)]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, oid) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend_from_slice(oid.as_bytes());
        }
        self.open().odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
    }

    pub(super) fn commit_tree(&self, tree: Oid) -> CommitId {
        let text = format!("tree {tree}\nauthor a <a@x> 1700000000 +0000\ncommitter a <a@x> 1700000000 +0000\n\na commit\n\nmore\n");
        let oid = self.open().odb().unwrap().write(ObjectType::Commit, text.as_bytes()).unwrap();
        oid.to_string().parse().unwrap()
    }

    /// Commits files; folders come from the paths.
    pub(super) fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        let repo = self.open();
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, content) in files {
            update.upsert(*path, repo.blob(content.as_bytes()).unwrap(), git2::FileMode::Blob);
        }
        let empty = repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap();
        let tree = repo.find_tree(update.create_updated(&repo, &empty).unwrap()).unwrap();
        let anna = Signature::now("anna", "anna@example.org").unwrap();
        repo.commit(None, &anna, &anna, "a commit\n\nmore", &tree, &[]).unwrap().to_string().parse().unwrap()
    }

    /// Runs a shell line in the repository and returns what it printed.
    pub(super) fn shell(&self, line: &str) -> String {
        shell(&self.repo(), line)
    }
}

pub(super) fn shell(folder: &std::path::Path, line: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-ec", line]).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for (name, value) in [("NAME", "anna"), ("EMAIL", "anna@example.org")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
