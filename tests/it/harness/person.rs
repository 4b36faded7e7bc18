//! Somebody with an SSH key: words over ssh, pushes and clones with git.

use std::io::{BufRead, BufReader, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Repo;

/// A person's folder: keys and an ssh config of their own.
pub struct Person {
    pub name: String,
    folder: PathBuf,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A program that is still running, such as a push that builds. Ended with its children when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Person {
    /// Makes a person with a new ed25519 key below `home`.
    pub fn new(home: &Path, name: &str) -> Self {
        Self::with_key(home, name, &["-t", "ed25519"])
    }

    /// Makes a person with a key of `ssh-keygen`'s choosing arguments.
    pub fn with_key(home: &Path, name: &str, keygen: &[&str]) -> Self {
        let folder = home.join("people").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let made = Command::new("ssh-keygen")
            .args(keygen)
            .args(["-q", "-N", "", "-C", &format!("{name}@test"), "-f"])
            .arg(folder.join("key"))
            .status();
        assert!(made.unwrap().success());
        Person { name: name.to_owned(), folder }
    }

    pub fn public_key(&self) -> String {
        std::fs::read_to_string(self.folder.join("key.pub")).unwrap()
    }

    pub fn key_file(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// The ssh command with this person's key and nothing of the machine's own configuration.
    pub fn ssh_command(&self, server: SocketAddr) -> Vec<String> {
        let mut words: Vec<String> =
            ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"]
                .into_iter()
                .map(str::to_owned)
                .collect();
        words.extend(["-o".into(), "UserKnownHostsFile=/dev/null".into(), "-o".into(), "BatchMode=yes".into()]);
        words.extend(["-i".into(), self.key_file().display().to_string(), "-p".into(), server.port().to_string()]);
        words
    }

    /// `ssh mini WORDS`
    pub fn ssh(&self, server: SocketAddr, words: &str) -> Said {
        self.ssh_with(server, words, "")
    }

    pub fn ssh_with(&self, server: SocketAddr, words: &str, input: &str) -> Said {
        Said::by(self.words_command(server, words), input.as_bytes())
    }

    /// Makes an `ssh mini WORDS` command.
    pub fn words_command(&self, server: SocketAddr, words: &str) -> Command {
        let line = self.ssh_command(server);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).arg("mini@127.0.0.1");
        if !words.is_empty() {
            command.arg(words);
        }
        command
    }

    /// `tar -cz . | ssh mini deploy WORDS`, in the folder of a repo and without its history.
    pub fn upload(&self, repo: &Repo, server: SocketAddr, words: &str) -> Said {
        Said::by(self.words_command(server, &format!("deploy {words}")), &repo.archive())
    }

    /// Starts an upload that the test goes on beside.
    pub fn begin_upload(&self, repo: &Repo, server: SocketAddr, words: &str) -> Running {
        Running::fed(self.words_command(server, &format!("deploy {words}")), &repo.archive())
    }

    /// Makes a git command run in `folder`, with this person's key.
    pub fn git(&self, folder: &Path, server: SocketAddr) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(folder)
            .env("GIT_SSH_COMMAND", self.ssh_command(server).join(" "))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        command
            .env("GIT_AUTHOR_NAME", &self.name)
            .env("GIT_AUTHOR_EMAIL", "a@test")
            .env("GIT_COMMITTER_NAME", &self.name)
            .env("GIT_COMMITTER_EMAIL", "a@test");
        command
    }

    /// `git push URL REFSPEC…`, options first.
    pub fn push(&self, folder: &Path, server: SocketAddr, app: &str, refspecs: &[&str]) -> Said {
        Said::by(self.push_command(folder, server, app, refspecs), b"")
    }

    /// Starts a push that the test goes on beside.
    pub fn begin_push(&self, folder: &Path, server: SocketAddr, app: &str, refspecs: &[&str]) -> Running {
        Running::of(self.push_command(folder, server, app, refspecs))
    }

    pub fn push_command(&self, folder: &Path, server: SocketAddr, app: &str, refspecs: &[&str]) -> Command {
        let mut command = self.git(folder, server);
        command.arg("push").arg(format!("ssh://mini@{server}/{app}")).args(refspecs);
        command
    }

    /// `git clone URL folder/copy`
    pub fn clone(&self, folder: &Path, server: SocketAddr, app: &str) -> Said {
        let mut command = self.git(folder, server);
        command.args(["clone", "-q"]).arg(format!("ssh://mini@{server}/{app}")).arg("copy");
        Said::by(command, b"")
    }

    /// The refs of an app that anybody sees, as (name, commit), in git's order.
    pub fn refs(&self, server: SocketAddr, app: &str) -> Vec<(String, String)> {
        let mut command = self.git(&self.folder, server);
        command.arg("ls-remote").arg(format!("ssh://mini@{server}/{app}"));
        let text = Said::by(command, b"").ok().stdout;
        text.lines().map(|line| line.split_once('\t').unwrap()).map(|(commit, name)| (name.to_owned(), commit.to_owned())).collect()
    }
}

impl Running {
    /// Starts a command in a process group of its own.
    pub fn of(command: Command) -> Self {
        Self::with_input(command, Stdio::null())
    }

    /// Starts a command with an input that is there already.
    pub fn fed(command: Command, input: &[u8]) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        Self::with_input(command, file.into())
    }

    /// Starts a command with an input that comes while it runs, such as `Stdio::piped()`.
    pub fn with_input(mut command: Command, input: Stdio) -> Self {
        command.process_group(0).stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Running { child, lines, said: Vec::new() }
    }

    /// Waits until a line with `text` was said on stderr.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.said.iter().any(|line| line.contains(text)) {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("not said in time: {text:?}, but {:#?}", self.said),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without saying {text:?}, but {:#?}", self.said),
            }
        }
    }

    /// Returns the end into which a piped input is written.
    pub fn input(&mut self) -> std::process::ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Kills the program and all that it started, as a machine that goes away does.
    pub fn kill_9(mut self) {
        self.end_group();
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Said {
        self.said.extend(self.lines.iter());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        Said { code, stdout: String::new(), stderr: self.said.join("\n") + "\n" }
    }

    fn end_group(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            let group = format!("-{}", self.child.id());
            Command::new("kill").args(["-KILL", "--", &group]).status().unwrap();
            self.child.wait().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end_group();
    }
}

impl Said {
    /// Runs a command to its end with `input`.
    pub fn by(mut command: Command, input: &[u8]) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that does not read its input may end before it is written.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The lines that the server sent during a push, without git's `remote: ` and trailing blanks.
    pub fn remote(&self) -> Vec<String> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("remote: ")).map(|line| line.trim_end().to_owned()).collect()
    }

    /// What a push said on stderr, whole: without trailing blanks, and with `known` texts, such as ids, under their names.
    pub fn transcript(&self, known: &[(&str, &str)]) -> String {
        let lines = self.stderr.lines().map(|line| line.trim_end().to_owned() + "\n");
        known.iter().fold(lines.collect(), |text: String, (secret, name)| text.replace(secret, name))
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32, sentence: &str) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(sentence), "not said: {sentence:?}, but:\n{}", self.stderr);
        self
    }
}
