//! A work tree that somebody pushes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mode, name and object id of a tree's entry.
pub type Entry<'a> = (&'a str, &'a [u8], &'a str);

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

    pub fn empty() -> Self {
        let repo = Repo { folder: tempfile::tempdir().unwrap() };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// A clone of one commit's depth, whose `origin` is the other repo.
    pub fn shallow_clone_of(other: &Repo) -> Self {
        let repo = Repo { folder: tempfile::tempdir().unwrap() };
        repo.git(&["clone", "-q", "--depth", "1", &format!("file://{}", other.path().display()), "."]);
        repo
    }

    /// A repo in git's newer hash format.
    pub fn sha256() -> Self {
        let repo = Repo { folder: tempfile::tempdir().unwrap() };
        repo.git(&["init", "-q", "-b", "main", "--object-format=sha256"]);
        repo.commit("first");
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
        self.git(&["rev-parse", "HEAD"])
    }

    /// The example app, ready to push.
    pub fn hello() -> Self {
        Self::from_folder("examples/hello")
    }

    /// The example app with its whole work tree in `/www`, and a build that first runs a command.
    pub fn building(run: &str) -> Self {
        let repo = Self::empty();
        repo.write(
            "Dockerfile",
            &format!("FROM busybox\nRUN {run}\nCOPY . /www/\nCMD [\"sh\", \"-c\", \"exec httpd -f -p $PORT -h /www\"]\n"),
        );
        repo.write("index.html", "hello\n");
        repo.commit("first");
        repo
    }

    /// Changes the page and commits.
    pub fn next(&self, text: &str) -> String {
        self.write("index.html", text);
        self.commit(text)
    }

    /// The work tree as a tar.gz, without its history.
    pub fn archive(&self) -> Vec<u8> {
        self.tar(&["-cz", "--exclude=./.git", "."])
    }

    /// What tar writes of the work tree.
    pub fn tar(&self, words: &[&str]) -> Vec<u8> {
        let output = Command::new("tar").args(["-f", "-"]).args(words).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub fn link(&self, path: &str, target: &str) {
        std::os::unix::fs::symlink(target, self.path().join(path)).unwrap();
    }

    /// Writes a blob into the object store.
    pub fn blob(&self, content: &[u8]) -> String {
        self.git_with(&["hash-object", "-w", "--stdin"], content)
    }

    /// Writes a tree of entries as they are, also one that git itself would never make.
    pub fn tree(&self, entries: &[Entry]) -> String {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend([mode.as_bytes(), b" ", name, b"\0"].concat());
            content.extend((0..id.len()).step_by(2).map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()));
        }
        self.git_with(&["hash-object", "-t", "tree", "--literally", "-w", "--stdin"], &content)
    }

    /// Makes a commit of a tree without touching branch or work tree.
    pub fn commit_tree(&self, tree: &str) -> String {
        self.git_with(&["commit-tree", tree, "-m", "by hand"], b"")
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    #[track_caller]
    pub fn git(&self, words: &[&str]) -> String {
        self.git_with(words, b"")
    }

    /// Runs git with `input` and returns its output without trailing blanks.
    #[track_caller]
    pub fn git_with(&self, words: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(words).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env("GIT_AUTHOR_NAME", "t")
            .env("GIT_AUTHOR_EMAIL", "t@test")
            .env("GIT_COMMITTER_NAME", "t")
            .env("GIT_COMMITTER_EMAIL", "t@test");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}
