//! Somebody's own machine: the `mini` binary, ssh with a key, and a home of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::{Person, Said};

/// A home folder and who sits there.
pub struct Laptop {
    home: tempfile::TempDir,
    ssh: String,
}

/// A server that says what a test wants it to say, in HTTP: hostile, old or cut.
pub struct Scripted {
    pub address: SocketAddr,
    /// The requests so far, heads and bodies.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Laptop {
    pub fn of(person: &Person) -> Self {
        let home = tempfile::tempdir().unwrap();
        let known = home.path().join("known_hosts");
        let options = format!(
            "-F none -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR",
            person.key_file().display()
        );
        let ssh = format!("ssh {options} -o UserKnownHostsFile={}", known.display());
        Laptop { home, ssh }
    }

    /// A laptop whose ssh is another program.
    pub fn with_ssh(ssh: &str) -> Self {
        Laptop { home: tempfile::tempdir().unwrap(), ssh: ssh.to_owned() }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The ssh command line, for a program that takes one.
    pub fn ssh(&self) -> &str {
        &self.ssh
    }

    /// Makes a folder below the home.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// `mini WORDS` in a folder, with nothing of this machine's own settings.
    pub fn command(&self, folder: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini"));
        for name in
            ["MINI_DATA", "MINI_HOST", "MINI_API_KEY", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "DISPLAY", "WAYLAND_DISPLAY"]
        {
            command.env_remove(name);
        }
        command.args(words).current_dir(folder).env("HOME", self.home()).env("MINI_SSH_COMMAND", &self.ssh);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    pub fn mini(&self, words: &[&str]) -> Said {
        self.mini_in(self.home(), words)
    }

    pub fn mini_in(&self, folder: &Path, words: &[&str]) -> Said {
        Said::by(self.command(folder, words), b"")
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.home().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
    }
}

impl Scripted {
    /// Answers a request whose path begins with the first with the second, as it is, and closes; other requests get a 404.
    pub fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<(String, String)> = answers.iter().map(|(path, answer)| ((*path).to_owned(), (*answer).to_owned())).collect();
        std::thread::spawn({
            let heard = heard.clone();
            move || {
                for stream in listener.incoming() {
                    let _ = serve(&stream.unwrap(), &answers, &heard);
                }
            }
        });
        Scripted { address, heard }
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, answers: &[(String, String)], requests: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = answers.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())).map(|(_, answer)| answer.clone());
    // An early answer does not wait for the body.
    let is_early = answer.as_ref().is_some_and(|answer| answer.starts_with("HTTP/1.1 413"));
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if lower.contains("transfer-encoding: chunked") && !is_early {
        while !body.ends_with(b"0\r\n\r\n") && reader.read_until(b'\n', &mut body)? > 0 {}
    } else if let Some(length) = lower.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok()) {
        body = vec![0; length];
        reader.read_exact(&mut body)?;
    }
    requests.lock().unwrap().push(head + &String::from_utf8_lossy(&body));
    let answer = answer.unwrap_or_else(|| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
    let mut writer = stream;
    writer.write_all(answer.as_bytes())?;
    if is_early {
        // Closing with unread input would reset the connection before the answer is read.
        stream.shutdown(std::net::Shutdown::Write)?;
        std::io::copy(&mut reader, &mut std::io::sink())?;
    }
    Ok(())
}
