//! Runs `iptables`, of either backend: argument vectors and a closed environment, no shell.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::listing::Listing;
use crate::error::{Error, Kind, Result};
use crate::model::limits::FIREWALL_ANSWER;

/// Besides `PATH`: a service's or cron's often lacks them.
const PLACES: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
/// Seconds to wait for another program that changes rules.
const LOCK_WAIT: &str = "2";

/// An internet protocol with tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

// === impl Family ===

impl Family {
    /// Lists those that this machine speaks.
    pub fn of_this_machine() -> impl Iterator<Item = Self> {
        let has_v6 = Path::new("/proc/net/if_inet6").exists();
        [Family::V4, Family::V6].into_iter().filter(move |family| *family == Family::V4 || has_v6)
    }

    pub fn program(self) -> &'static str {
        match self {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        }
    }
}

/// Reads the filter table.
pub async fn list(family: Family) -> Result<Listing> {
    let output = run(family.program(), &["-w", LOCK_WAIT, "-S"], "").await?;
    Ok(Listing::parse(&output))
}

/// Changes the filter table by all of the script or, after an error, by none.
pub async fn commit(family: Family, script: &str) -> Result<()> {
    let program = format!("{}-restore", family.program());
    run(&program, &["--noflush", "-w", LOCK_WAIT], script).await.map(drop)
}

async fn run(program: &str, words: &[&str], input: &str) -> Result<String> {
    let path = find(program).ok_or_else(|| {
        Error::unavailable(format!("this machine has no `{program}`, which sets firewall rules")).hint("install the package iptables")
    })?;
    let work = async {
        let mut command = Command::new(path);
        command.args(words).env_clear().env("PATH", PLACES).env("LC_ALL", "C").kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A program that ends early says why on stderr.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    match tokio::time::timeout(FIREWALL_ANSWER, work).await {
        Ok(Ok(output)) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(Ok(output)) => Err(refused(program, &output)),
        Ok(Err(err)) => Err(Error::failed(format!("`{program}` could not be run: {err}"))),
        Err(_) => Err(Error::failed(format!("`{program}` did not end within {} s", FIREWALL_ANSWER.as_secs()))),
    }
}

fn refused(program: &str, output: &Output) -> Error {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<String> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let why = lines.first().cloned().unwrap_or_else(|| output.status.to_string());
    Error::new(Kind::Failed, format!("`{program}` refused: {why}")).details(lines.into_iter().skip(1).take(5))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(std::env::split_paths(PLACES)).collect::<Vec<_>>();
    folders.into_iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(program)).find(|path| path.is_file())
}
