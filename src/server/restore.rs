//! `mini restore`: an empty data dir becomes what a backup says; checked before, or nothing of it stays.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::setup::say;
use crate::backup::{self, DATABASE, HOST_KEY, MASTER_KEY, Manifest, REPOSITORIES, repository_folder};
use crate::command::{Look, render_error};
use crate::config::{NewDataDir, default_data_dir};
use crate::error::{Error, Result};
use crate::git;
use crate::model::InstanceId;
use crate::ssh::HostKey;
use crate::store::{App, Store};

// Help texts are for a terminal: no backticks in them.
#[allow(clippy::doc_markdown)]
/// Restores a backup into an empty data dir, where no server runs
#[derive(Parser)]
#[command(name = "mini restore", version, term_width = 80, after_help = AFTER)]
struct Line {
    /// The backup; - reads it from the input
    #[arg(value_name = "FILE|-")]
    backup: PathBuf,
    /// The data dir to make; default: /var/lib/mini as root, $XDG_DATA_HOME/mini else
    #[arg(long, value_name = "DIR", env = "MINI_DATA", hide_env = true)]
    data: Option<PathBuf>,
    /// The master key, for a backup that was taken --without-key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Be another server than the one that was backed up, which goes on beside it
    #[arg(long)]
    new_instance: bool,
}

const AFTER: &str = "Run it as the user that runs the server. A backup may have 256 GiB; what is
damaged, or holds anything but a backup's files, is refused and leaves nothing.

Images are not in a backup. At its start the server builds those that its
engine does not have from the commits in the backup, one app after the other.

The restored server is the one that was backed up: in the engine it takes over,
and clears away, what that one made. To look into a backup while that one still
runs on the same engine, say --new-instance: nothing of the other is touched
then, and its apps start here only when the other's are gone.";

/// What has come back.
struct Restored {
    manifest: Manifest,
    instance: InstanceId,
    apps: usize,
    /// Apps whose repository is not all there.
    torn: Vec<App>,
}

/// Runs `mini restore` with its flags and returns the exit code: 0, 1 for a backup that cannot be used, 78 for the data dir, 2 for wrong flags.
#[must_use]
pub fn main(words: &[String]) -> u8 {
    let line = match Line::try_parse_from(std::iter::once("mini restore".to_owned()).chain(words.iter().cloned())) {
        Ok(line) => line,
        Err(err) => {
            let _ = err.print();
            return u8::try_from(err.exit_code()).unwrap_or(2);
        }
    };
    match run(&line) {
        Ok(()) => 0,
        Err(err) => {
            eprint!("{}", render_error(&err, &Look::default()));
            err.exit_code()
        }
    }
}

fn run(line: &Line) -> Result<()> {
    let data = match &line.data {
        Some(dir) => dir.clone(),
        None => default_data_dir()?,
    };
    let data = std::path::absolute(data).map_err(|err| Error::setup("the data dir has no absolute path").because(err))?;
    let key = line.key.as_deref().map(read_key).transpose()?;
    let from = open(&line.backup)?;
    let new = NewDataDir::claim(&data)?;
    let manifest = backup::unpack(from, &new.content())?;
    if let Some(key) = key {
        put_key(&new.content(), &key)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Error::failed("the restore could not start").because(err))?;
    let restored = runtime.block_on(check(&new.content(), &data, manifest, line.new_instance))?;
    drop(runtime);
    new.settle()?;
    tell(&restored, &data, line.new_instance);
    Ok(())
}

fn open(backup: &Path) -> Result<Box<dyn Read>> {
    if backup == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(backup).map_err(|err| Error::usage(format!("the backup `{}` cannot be read: {err}", backup.display())))?;
    Ok(Box::new(file))
}

fn read_key(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|err| Error::usage(format!("the master key `{}` cannot be read: {err}", path.display())))
}

/// Puts the key that was named in the place of whichever came with the backup.
fn put_key(content: &Path, key: &[u8]) -> Result<()> {
    let path = content.join(MASTER_KEY);
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(key)).map_err(|err| Error::setup(format!("`{}` cannot be written: {err}", path.display())))
}

/// Opens everything as a server would, and makes of it what a server needs.
async fn check(content: &Path, data: &Path, manifest: Manifest, as_new: bool) -> Result<Restored> {
    for name in [DATABASE, HOST_KEY] {
        if !content.join(name).exists() {
            return Err(Error::failed(format!("the backup holds no `{name}`")).hint("nothing was restored"));
        }
    }
    if !content.join(MASTER_KEY).exists() {
        return Err(Error::failed("the backup holds no master key, and without it no config value can be read")
            .hint("name the master.key of the server that was backed up: --key FILE"));
    }
    HostKey::load_or_make(&content.join(HOST_KEY)).map_err(|err| unfit(content, err))?;
    let store = Store::open(content).map_err(|err| unfit(content, err))?;
    store.forget_engine(as_new).await?;
    let apps = store.apps().await?;
    let mut torn = Vec::new();
    for app in &apps {
        if !revive(content, data, app)? {
            torn.push(app.clone());
        }
    }
    // The identity may be a new one by now.
    drop(store);
    let instance = Store::open(content)?.instance().clone();
    forget_copies(content)?;
    Ok(Restored { manifest, instance, apps: apps.len(), torn })
}

/// Makes the app's repository of what came; tells whether it is whole.
fn revive(content: &Path, data: &Path, app: &App) -> Result<bool> {
    let repo = content.join(REPOSITORIES).join(repository_folder(&app.id));
    if !repo.exists() {
        return Ok(app.deploy_branch.is_none());
    }
    git::revive(&repo, &data.join("hooks"))
}

/// Removes the copy that a migration made of the database: the backup itself is one.
fn forget_copies(content: &Path) -> Result<()> {
    let failed = |err| Error::setup("the restored folder cannot be read").because(err);
    for entry in fs::read_dir(content).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b"mini.db.") {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// Says what is wrong with the backup's own files: where they stood meanwhile is gone when it is read.
fn unfit(content: &Path, err: Error) -> Error {
    let sentence = err.sentence().replace(&format!("{}/", content.display()), "");
    Error::new(err.kind(), format!("the backup cannot be used: {sentence}")).hint("nothing was restored").because(err)
}

fn tell(restored: &Restored, data: &Path, as_new: bool) {
    let Restored { manifest, instance, apps, torn } = restored;
    let mut talk =
        vec!["Images are not in a backup: those that the engine does not have are built again when the server starts.".to_owned()];
    talk.push(if as_new {
        format!("It is instance {instance}: what instance {} has in the engine is left alone.", manifest.instance)
    } else {
        format!("It is instance {instance}, as before: the server that was backed up must not run on this engine any more.")
    });
    let warning = |app: &App| format!("warning: the repository of `{}` is not whole: push to it again from a full clone", app.name);
    talk.extend(torn.iter().map(warning));
    for line in talk {
        eprintln!("{line}");
    }
    let apps = if *apps == 1 { "1 app".to_owned() } else { format!("{apps} apps") };
    say(&format!("Restored {apps} into {} as of {}.", data.display(), manifest.taken_at));
    say(&format!("  mini server --data {}", data.display()));
}
