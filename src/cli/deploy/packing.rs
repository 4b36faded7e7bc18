//! The source on its way: packed on one thread while it is sent, and how far it is.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::listing::{Entry, What};
use crate::cli::transport::{Feed, Sink};
use crate::error::Error;
use crate::source::Packer;

/// How much of the source is on its way, in bytes of its files.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files that are packed.
    done: AtomicU64,
    /// The size of the file that is being packed, and what was sent since it was begun.
    current: AtomicU64,
    sent: AtomicU64,
}

/// Counts what leaves.
struct Counted {
    to: Sink,
    progress: Arc<Progress>,
}

/// Makes the input of a deploy. It ends whole, or with an error and no end.
pub fn feed(folder: PathBuf, entries: Vec<Entry>, progress: Arc<Progress>) -> Feed {
    Box::new(move |sink| {
        let mut packer = Packer::new(Counted { to: sink, progress: progress.clone() });
        for Entry { path, what } in entries {
            let full = folder.join(OsStr::from_bytes(&path));
            match what {
                What::File { bytes } => {
                    progress.begin(bytes);
                    packer.add_file(&path, &full)?;
                    progress.end(bytes);
                }
                What::Link => {
                    let target = std::fs::read_link(&full).map_err(|err| {
                        Error::failed(format!("`{}` changed while it was packed", String::from_utf8_lossy(&path).escape_debug()))
                            .hint("deploy again when nothing writes to the folder")
                            .because(err)
                    })?;
                    packer.add_symlink(&path, target.as_os_str().as_bytes())?;
                }
                What::Submodule => packer.add_dir(&path)?,
            }
        }
        packer.finish().map(drop)
    })
}

// === impl Progress ===

impl Progress {
    /// Returns how many bytes of files are on their way. Inside a file it is an estimate that ends with the truth.
    pub fn bytes(&self) -> u64 {
        let inside = self.sent.load(Ordering::Relaxed).min(self.current.load(Ordering::Relaxed));
        self.done.load(Ordering::Relaxed) + inside
    }

    fn begin(&self, bytes: u64) {
        self.sent.store(0, Ordering::Relaxed);
        self.current.store(bytes, Ordering::Relaxed);
    }

    fn end(&self, bytes: u64) {
        self.current.store(0, Ordering::Relaxed);
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }
}

// === impl Counted ===

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.progress.sent.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
