//! A work tree that somebody pushes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A git work tree with one branch `main`.
pub struct Repo {
    folder: tempfile::TempDir,
}

impl Repo {
    /// Makes a repo of the given files and commits them.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let repo = Self::empty();
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.commit("first");
        repo
    }

    /// Makes a repo from a folder of this project, such as `examples/hello` or `tests/apps/crash-at-start`.
    pub fn from_folder(folder: &str) -> Self {
        let repo = Self::empty();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(".");
        assert!(Command::new("cp").arg("-a").arg(source).arg(repo.path()).status().unwrap().success());
        repo.commit("first");
        repo
    }

    fn empty() -> Self {
        let repo = Repo { folder: tempfile::tempdir().unwrap() };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Commits everything and returns the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    #[track_caller]
    pub fn git(&self, words: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(words).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env("GIT_AUTHOR_NAME", "t")
            .env("GIT_AUTHOR_EMAIL", "t@test")
            .env("GIT_COMMITTER_NAME", "t")
            .env("GIT_COMMITTER_EMAIL", "t@test");
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
