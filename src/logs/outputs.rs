//! What deploys said, kept: one bounded file each, below `builds/<app>`, written while it is said.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lock;
use super::record::{Piece, RecordReader, RecordShape, RecordWriter};
use crate::error::{Error, Result};
use crate::model::limits::{BUILD_LOG_HEAD_BYTES, KEPT_OUTPUTS, MAX_BUILD_LOG_BYTES, MAX_LINE_BYTES, MIB};
use crate::model::{AppId, DeployId};

const SHAPE: RecordShape = RecordShape { head: BUILD_LOG_HEAD_BYTES, tail: MAX_BUILD_LOG_BYTES - BUILD_LOG_HEAD_BYTES, chunk: 64 << 10 };

/// All kept outputs below `<data>/builds`; clones are cheap and share them.
#[derive(Clone)]
pub struct Outputs {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// Deploys that go on saying something; the receiver notes that more was said, and closes at the end.
    open: Mutex<HashMap<DeployId, watch::Receiver<()>>>,
}

/// The end at which a deploy's output is kept. Dropped, the output has ended.
pub struct OutputWriter {
    outputs: Outputs,
    deploy: DeployId,
    record: RecordWriter,
    said: watch::Sender<()>,
    /// Lines that did not reach the disk since the last one that did.
    lost: u64,
}

/// The lines of a kept output, from the first on.
pub struct OutputLines {
    record: RecordReader,
    said: Option<watch::Receiver<()>>,
    partial: Vec<u8>,
    /// The rest of a line whose beginning is not kept is left out.
    is_cut: bool,
}

// === impl Outputs ===

impl Outputs {
    pub(super) fn open(data_dir: &Path) -> Result<Outputs> {
        let dir = data_dir.join("builds");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|err| Error::setup(format!("the folder `{}` cannot be written: {err}", dir.display())).because(err))?;
        Ok(Outputs { inner: Arc::new(Inner { dir, open: Mutex::default() }) })
    }

    /// Begins to keep what a deploy says; the oldest of the app's outputs goes for it.
    pub async fn keep(&self, app: AppId, deploy: DeployId) -> Result<OutputWriter> {
        let outputs = self.clone();
        blocking(move || {
            let dir = outputs.dir_of(&app);
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            let record = made.and_then(|()| RecordWriter::create(&dir.join(deploy.to_string()), SHAPE));
            let record = record.map_err(|err| Error::unavailable("the output of a deploy cannot be kept").because(err))?;
            drop_old(&dir);
            let (said, hears) = watch::channel(());
            lock(&outputs.inner.open).insert(deploy, hears);
            Ok(OutputWriter { outputs, deploy, record, said, lost: 0 })
        })
        .await
    }

    /// Opens what a deploy said, to be read from its beginning. Errors: `NotFound` when it is not kept.
    pub async fn read(&self, app: AppId, deploy: DeployId) -> Result<OutputLines> {
        let outputs = self.clone();
        blocking(move || {
            // Before the file is read: what comes in between is then noted.
            let said = lock(&outputs.inner.open).get(&deploy).cloned();
            match RecordReader::open(&outputs.dir_of(&app).join(deploy.to_string()), SHAPE) {
                Ok(record) => Ok(OutputLines { record, said, partial: Vec::new(), is_cut: false }),
                Err(err) if err.kind() == ErrorKind::NotFound => {
                    Err(Error::not_found(format!("the output of deploy {deploy} is not kept"))
                        .hint(format!("that of an app's last {KEPT_OUTPUTS} deploys is")))
                }
                Err(err) => Err(unreadable(err)),
            }
        })
        .await
    }

    /// Waits until a deploy has said all that it will say.
    pub async fn ended(&self, deploy: DeployId) {
        let said = lock(&self.inner.open).get(&deploy).cloned();
        if let Some(mut said) = said {
            while said.changed().await.is_ok() {}
        }
    }

    /// Removes what an app's deploys said.
    pub async fn remove(&self, app: AppId) -> Result<()> {
        let outputs = self.clone();
        blocking(move || remove_folder(&outputs.dir_of(&app))).await
    }

    /// Removes the outputs of all apps that are not among `known`.
    pub async fn sweep(&self, known: Vec<AppId>) -> Result<()> {
        let outputs = self.clone();
        blocking(move || {
            let entries = fs::read_dir(&outputs.inner.dir).map_err(unreadable)?.flatten();
            let is_strange = |name: &str| known.iter().all(|app| app.as_str() != name);
            let strange = entries.filter(|entry| entry.file_name().to_str().is_none_or(is_strange));
            strange.map(|entry| entry.path()).try_for_each(|path| remove_folder(&path))
        })
        .await
    }

    fn dir_of(&self, app: &AppId) -> PathBuf {
        self.inner.dir.join(app.as_str())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|err| Err(Error::failed("the server stopped in the middle of this").because(err)))
}

fn unreadable(err: std::io::Error) -> Error {
    Error::unavailable("the output of a deploy cannot be read").because(err)
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            Err(Error::unavailable(format!("`{}` cannot be removed", path.display())).because(err))
        }
        _ => Ok(()),
    }
}

/// What cannot be removed now is tried again at the next deploy.
fn drop_old(dir: &Path) {
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i64>().ok();
    let mut numbers: Vec<i64> = fs::read_dir(dir).into_iter().flatten().flatten().filter_map(number).collect();
    numbers.sort_unstable();
    let old = numbers.len().saturating_sub(KEPT_OUTPUTS);
    for number in &numbers[..old] {
        let _ = fs::remove_file(dir.join(number.to_string()));
    }
}

// === impl OutputWriter ===

impl OutputWriter {
    /// Appends lines; blocks. A disk that takes none costs the lines and nothing else: how many is said where they belong.
    pub fn append<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        let mut text = String::new();
        let mut count = 0;
        for line in lines {
            text.push_str(line);
            text.push('\n');
            count += 1;
        }
        if self.lost > 0 {
            text.insert_str(0, &format!("… {} lines are not kept: the disk took none …\n", self.lost));
        }
        match self.record.append(text.as_bytes()) {
            Ok(()) => self.lost = 0,
            Err(err) => {
                if self.lost == 0 {
                    tracing::warn!(deploy = %self.deploy, ?err, "the output of a deploy is not kept");
                }
                self.lost += count;
            }
        }
        self.said.send_replace(());
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        lock(&self.outputs.inner.open).remove(&self.deploy);
    }
}

// === impl OutputLines ===

impl OutputLines {
    /// Returns the next lines, some at a time; with `follow` it waits for those to come. Empty at the end.
    pub async fn next(mut self, follow: bool) -> Result<(Self, Vec<String>)> {
        loop {
            // Looked at before the file is: more that is said then is noted.
            let has_ended = match &mut self.said {
                Some(said) if follow => {
                    said.mark_unchanged();
                    said.has_changed().is_err()
                }
                _ => true,
            };
            let (lines, is_all);
            (self, lines, is_all) = blocking(move || self.read(has_ended).map(|(lines, is_all)| (self, lines, is_all))).await?;
            if !lines.is_empty() || (is_all && has_ended) {
                return Ok((self, lines));
            }
            if is_all && let Some(said) = &mut self.said {
                // An error is the end, which the next look sees.
                let _ = said.changed().await;
            }
        }
    }

    fn read(&mut self, has_ended: bool) -> Result<(Vec<String>, bool)> {
        let Piece { omitted, bytes } = self.record.read().map_err(unreadable)?;
        let mut lines = Vec::new();
        if omitted > 0 {
            lines.extend(self.rest());
            lines.push(format!("… {} MB omitted …", omitted.div_ceil(MIB)));
            self.is_cut = true;
        }
        for byte in &bytes {
            self.take(*byte, &mut lines);
        }
        let is_all = bytes.is_empty();
        // A crash may have left half a line.
        if is_all && has_ended {
            lines.extend(self.rest());
        }
        Ok((lines, is_all))
    }

    fn take(&mut self, byte: u8, lines: &mut Vec<String>) {
        match byte {
            b'\n' if self.is_cut => self.is_cut = false,
            b'\n' => lines.push(text_of(std::mem::take(&mut self.partial))),
            _ if self.is_cut || self.partial.len() >= 2 * MAX_LINE_BYTES => {}
            _ => self.partial.push(byte),
        }
    }

    fn rest(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| text_of(std::mem::take(&mut self.partial)))
    }
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn outputs() -> (tempfile::TempDir, Outputs, AppId) {
        let dir = tempfile::tempdir().unwrap();
        let outputs = Outputs::open(dir.path()).unwrap();
        (dir, outputs, AppId::random())
    }

    async fn all(mut lines: OutputLines, follow: bool) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let more;
            (lines, more) = lines.next(follow).await.unwrap();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    #[tokio::test]
    async fn a_follower_reads_what_is_said_until_its_end() {
        let (_dir, outputs, app) = outputs();
        let mut writer = outputs.keep(app.clone(), DeployId(1)).await.unwrap();
        writer.append(["first", "second"].into_iter());

        let so_far = all(outputs.read(app.clone(), DeployId(1)).await.unwrap(), false).await;
        let following = all(outputs.read(app.clone(), DeployId(1)).await.unwrap(), true);
        let saying = async {
            tokio::task::yield_now().await;
            writer.append(std::iter::once("third"));
            drop(writer);
        };
        let (followed, ()) = tokio::join!(following, saying);

        assert_eq!(so_far, ["first", "second"]);
        assert_eq!(followed, ["first", "second", "third"]);
        outputs.ended(DeployId(1)).await;
    }

    #[tokio::test]
    async fn a_long_output_keeps_its_beginning_and_its_end_and_says_what_is_missing() {
        let (_dir, outputs, app) = outputs();
        let mut writer = outputs.keep(app.clone(), DeployId(1)).await.unwrap();
        let line = "x".repeat(1023);
        for _ in 0..30 {
            writer.append(std::iter::repeat_n(line.as_str(), 1024));
        }
        writer.append(std::iter::once("the end"));
        drop(writer);

        let lines = all(outputs.read(app, DeployId(1)).await.unwrap(), true).await;

        assert!(lines[..2048].iter().all(|kept| *kept == line));
        assert_eq!(lines[2048], "… 21 MB omitted …");
        assert!(lines[2049..lines.len() - 1].iter().all(|kept| *kept == line));
        assert_eq!((lines.last().map(String::as_str), lines.len()), (Some("the end"), 2048 + 1 + 8192 - 64));
    }

    #[tokio::test]
    async fn the_last_outputs_of_an_app_are_kept_and_go_with_it() {
        let (dir, outputs, app) = outputs();
        let last = i64::try_from(KEPT_OUTPUTS).unwrap() + 2;
        for number in 1..=last {
            drop(outputs.keep(app.clone(), DeployId(number)).await.unwrap());
        }

        let gone = outputs.read(app.clone(), DeployId(2)).await.err().unwrap();
        assert_eq!((gone.kind(), gone.sentence()), (Kind::NotFound, "the output of deploy 2 is not kept"));
        assert!(outputs.read(app.clone(), DeployId(3)).await.is_ok());
        outputs.sweep(vec![app.clone()]).await.unwrap();
        assert!(dir.path().join("builds").join(app.as_str()).is_dir());
        outputs.remove(app.clone()).await.unwrap();
        outputs.remove(app).await.unwrap();

        let strange = dir.path().join("builds").join(AppId::random().as_str());
        fs::create_dir(&strange).unwrap();
        outputs.sweep(Vec::new()).await.unwrap();
        assert_eq!(fs::read_dir(dir.path().join("builds")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_costs_the_lines_and_says_how_many() {
        let (_dir, outputs, app) = outputs();
        let mut writer = outputs.keep(app.clone(), DeployId(1)).await.unwrap();
        writer.append(std::iter::once("first"));
        let full = RecordWriter::full_disk(SHAPE);
        let good = std::mem::replace(&mut writer.record, full);
        writer.append(["lost", "lost"].into_iter());
        writer.append(std::iter::once("lost"));

        writer.record = good;
        writer.append(std::iter::once("last"));
        drop(writer);

        let lines = all(outputs.read(app, DeployId(1)).await.unwrap(), true).await;
        assert_eq!(lines, ["first", "… 3 lines are not kept: the disk took none …", "last"]);
    }

    #[tokio::test]
    async fn half_a_line_that_a_crash_left_is_told() {
        let (_dir, outputs, app) = outputs();
        let mut writer = outputs.keep(app.clone(), DeployId(1)).await.unwrap();
        writer.append(std::iter::once("whole"));
        writer.record.append(b"hal").unwrap();
        drop(writer);

        assert_eq!(all(outputs.read(app, DeployId(1)).await.unwrap(), false).await, ["whole", "hal"]);
    }
}
