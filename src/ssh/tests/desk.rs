//! A desk that does a few simple things and remembers who left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::command::{GitIo, GitService};
use crate::model::{Caller, Fingerprint, Origin, Role, Scope};
use crate::ssh::{Desk, WordsIo};

#[derive(Clone, Default)]
pub struct PaperDesk {
    callers: Arc<Mutex<HashMap<Fingerprint, Caller>>>,
    /// How many sessions of `wait` began, and how many ended because their client left.
    pub waiting: Arc<watch::Sender<usize>>,
    pub left: Arc<watch::Sender<usize>>,
    tasks: TaskTracker,
}

impl PaperDesk {
    pub fn admit(&self, key: Fingerprint, name: &str) {
        let caller = Caller { name: name.into(), origin: Origin::Key(key.clone()), role: Role::Deploy, scope: Scope::All };
        self.callers.lock().unwrap().insert(key, caller);
    }

    async fn do_words(&self, caller: &Caller, words: &[&str], mut io: WordsIo) -> std::io::Result<u32> {
        match words {
            [] => io.stdout.write_all(b"help\n").await?,
            ["whoami"] => io.stdout.write_all(format!("{}\n", caller.name).as_bytes()).await?,
            ["words", rest @ ..] => io.stdout.write_all(format!("{rest:?}\n").as_bytes()).await?,
            ["both"] => {
                io.stdout.write_all(b"data\n").await?;
                io.stderr.write_all(b"talk\n").await?;
                return Ok(7);
            }
            ["flood", bytes] => io.stdout.write_all(&vec![b'x'; bytes.parse().unwrap()]).await?,
            ["cat"] => {
                tokio::io::copy(&mut io.stdin, &mut io.stdout).await?;
            }
            ["count"] => {
                let bytes = tokio::io::copy(&mut io.stdin, &mut tokio::io::sink()).await?;
                io.stdout.write_all(format!("{bytes}\n").as_bytes()).await?;
            }
            ["sizes"] => {
                let mut terminal = io.terminal.expect("a terminal");
                terminal.resizes.changed().await.unwrap();
                let line = format!("{}x{} {:?}\n", terminal.cols, terminal.rows, *terminal.resizes.borrow());
                io.stdout.write_all(line.as_bytes()).await?;
            }
            ["terminal"] => {
                let term = io.terminal.map_or("none".into(), |t| t.term);
                io.stdout.write_all(format!("{term}\nsecond\n").as_bytes()).await?;
                io.stderr.write_all(b"third\n").await?;
            }
            ["raw"] => {
                io.terminal.expect("a terminal").enter_raw();
                io.stdout.write_all(b"ready\n").await?;
                let mut typed = [0; 3];
                io.stdin.read_exact(&mut typed).await?;
                io.stdout.write_all(format!("{typed:?}\n").as_bytes()).await?;
            }
            ["wait"] => {
                self.waiting.send_modify(|count| *count += 1);
                io.gone.cancelled().await;
                self.left.send_modify(|count| *count += 1);
                io.stdout.write_all(b"stopped\n").await?;
            }
            ["drip"] => {
                self.waiting.send_modify(|count| *count += 1);
                while io.stdout.write_all(&[b'x'; 4096]).await.is_ok() {}
                self.left.send_modify(|count| *count += 1);
            }
            ["sleep", ms] => {
                self.waiting.send_modify(|count| *count += 1);
                tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
                io.stdout.write_all(b"slept\n").await?;
            }
            ["leak"] => {
                io.stdout.write_all(b"kept\n").await?;
                let stdout = io.stdout;
                self.tasks.spawn(async move {
                    let _kept = stdout;
                    std::future::pending::<()>().await;
                });
            }
            ["panic"] => panic!("the desk fell over"),
            other => panic!("no such word: {other:?}"),
        }
        Ok(0)
    }
}

impl Desk for PaperDesk {
    async fn logged_in(&self, _key: &Fingerprint) {}

    async fn identify(&self, key: &Fingerprint) -> Option<Caller> {
        self.callers.lock().unwrap().get(key).cloned()
    }

    async fn git(&self, caller: &Caller, service: GitService, repository: &str, mut io: GitIo) -> u32 {
        let line = format!("{} {service:?} {repository} {:?}\n", caller.name, io.protocol);
        io.stdout.write_all(line.as_bytes()).await.unwrap();
        0
    }

    async fn words(&self, caller: &Caller, words: Vec<String>, io: WordsIo) -> u32 {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.do_words(caller, &words, io).await.unwrap_or(99)
    }
}
