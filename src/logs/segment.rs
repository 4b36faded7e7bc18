//! The files of one app's log: numbered segments, the oldest goes when the newest is full.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::LogLine;

/// Read from the end of a segment first; grows until there are lines enough.
const FIRST_WINDOW_BYTES: u64 = 64 << 10;

/// How large one segment grows and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub segment_bytes: u64,
    pub segments: usize,
}

/// The end of an app's log, where lines are appended.
pub(super) struct Segments {
    dir: PathBuf,
    shape: Shape,
    current: Option<Current>,
}

/// Tells which lines somebody asked for.
pub(super) type Wanted<'a> = &'a dyn Fn(&LogLine) -> bool;

struct Current {
    number: u64,
    file: File,
    size_bytes: u64,
}

// === impl Segments ===

impl Segments {
    /// Names the directory; nothing is made before the first line.
    pub fn new(dir: PathBuf, shape: Shape) -> Self {
        Segments { dir, shape, current: None }
    }

    /// Appends one line in its file form, with its newline; after an error the file ends as it did before.
    pub fn append(&mut self, line: &str) -> Result<()> {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.open_newest()?,
        };
        if current.size_bytes > 0 && current.size_bytes + line.len() as u64 > self.shape.segment_bytes {
            current = self.start(current.number + 1)?;
            self.drop_old(current.number);
        }
        // An error leaves `current` closed: the next append looks at the directory anew.
        write_whole(&mut current, line.as_bytes())?;
        self.current = Some(current);
        Ok(())
    }

    /// Returns the last `n` lines that are `wanted`, oldest first; what is no line, or is gone meanwhile, is skipped.
    pub fn tail(&self, n: usize, wanted: Wanted<'_>) -> Result<Vec<LogLine>> {
        let mut newest_first = Vec::new();
        for number in numbers(&self.dir)?.into_iter().rev() {
            if newest_first.len() >= n {
                break;
            }
            match last_lines(&path_of(&self.dir, number), n - newest_first.len(), wanted) {
                Ok(lines) => newest_first.extend(lines.into_iter().rev()),
                Err(err) if err.kind() == ErrorKind::NotFound => {}
                Err(err) => return Err(err),
            }
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    /// Links all segments into the folder `into`; copies them where the file system has no hard links.
    pub fn stage(&self, into: &Path) -> Result<()> {
        let numbers = numbers(&self.dir)?;
        if !numbers.is_empty() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(into)?;
        }
        for number in numbers {
            let (from, to) = (path_of(&self.dir, number), path_of(into, number));
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
        Ok(())
    }

    /// Removes all segments and their directory.
    pub fn remove(&mut self) -> Result<()> {
        self.current = None;
        match fs::remove_dir_all(&self.dir) {
            Err(err) if err.kind() != ErrorKind::NotFound => Err(err),
            _ => Ok(()),
        }
    }

    fn open_newest(&self) -> Result<Current> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let mut current = self.start(numbers(&self.dir)?.last().copied().unwrap_or(1))?;
        end_cut_line(&mut current)?;
        Ok(current)
    }

    fn start(&self, number: u64) -> Result<Current> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path_of(&self.dir, number))?;
        let size_bytes = file.metadata()?.len();
        Ok(Current { number, file, size_bytes })
    }

    fn drop_old(&self, newest: u64) {
        let keep_from = (newest + 1).saturating_sub(self.shape.segments as u64);
        // What cannot be removed now is tried again at the next rotation.
        for number in numbers(&self.dir).unwrap_or_default().into_iter().filter(|number| *number < keep_from) {
            let _ = fs::remove_file(path_of(&self.dir, number));
        }
    }
}

fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.log"))
}

/// Lists the numbers of the segments there are, in order; other files are not ours.
fn numbers(dir: &Path) -> Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let number = |name: &str| name.strip_suffix(".log").and_then(|digits| digits.parse().ok());
    let mut numbers: Vec<u64> = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A crash may have left half a line: it must not swallow the next one.
fn end_cut_line(current: &mut Current) -> Result<()> {
    if current.size_bytes == 0 {
        return Ok(());
    }
    let mut last = [0];
    current.file.seek(SeekFrom::End(-1))?;
    current.file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { write_whole(current, b"\n") }
}

/// Writes all of `bytes` or, on a full disk, takes back the part that found place.
fn write_whole(current: &mut Current, bytes: &[u8]) -> Result<()> {
    let written = current.file.write_all(bytes);
    match written {
        Ok(()) => current.size_bytes += bytes.len() as u64,
        Err(_) => current.file.set_len(current.size_bytes)?,
    }
    written
}

/// Returns the last `n` wanted lines of one file, oldest first.
fn last_lines(path: &Path, n: usize, wanted: Wanted<'_>) -> Result<Vec<LogLine>> {
    let mut file = File::open(path)?;
    let size_bytes = file.metadata()?.len();
    let mut window = FIRST_WINDOW_BYTES;
    loop {
        let from = size_bytes.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&file).take(size_bytes - from).read_to_end(&mut bytes)?;
        let mut lines = parse(&bytes, from > 0, wanted);
        if lines.len() >= n || from == 0 {
            return Ok(lines.split_off(lines.len().saturating_sub(n)));
        }
        window = window.saturating_mul(4);
    }
}

/// Parses whole lines: what stands behind the last newline is cut, and so is the first line of a window.
fn parse(bytes: &[u8], starts_within: bool, wanted: Wanted<'_>) -> Vec<LogLine> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = bytes[..end].split(|byte| *byte == b'\n').skip(usize::from(starts_within));
    lines.filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok()).filter(|line| wanted(line)).collect()
}
