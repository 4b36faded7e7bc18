//! The bytes of an uploaded archive: inflated if need be, counted on both sides of that, and cut at a limit.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::Budget;
use crate::error::{Error, Result};
use crate::model::limits::{KIB, MIB};

/// What packs a folder as it is wanted here.
pub(super) const PACK_IT: &str = "pack the folder's content: tar -C app -czf app.tar.gz .";

/// How many times its own size an archive may unfold to, once [`FREE_BYTES`] are out. Sources come to 10, logs of one line to 100.
const MAX_RATIO: u64 = 200;
/// Small things may be as dense as they like.
const FREE_BYTES: u64 = 16 * MIB;

/// What an entry may cost besides its content: its header, its padding, long names.
const ENTRY_BYTES: u64 = 2 * KIB;

/// All of a tar is in such blocks.
const BLOCK_BYTES: u64 = 512;

const BUFFER_BYTES: usize = 128 << 10;

/// How archives that are no tar begin, and what packs them.
const OTHERS: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\xfd7zXZ", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf", "7z"),
];
const GZIP: &[u8] = b"\x1f\x8b";

/// An archive as plain tar, whatever it came as. Reading it blocks.
pub(super) struct Feed<'a> {
    from: Box<dyn Read + 'a>,
    meter: Rc<Meter>,
}

/// What has passed, and why it stopped: `io::Error` cannot say that to a person.
pub(super) struct Meter {
    limit: u64,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    is_at_end: Cell<bool>,
    fault: RefCell<Option<Error>>,
}

/// The archive as it comes from the network.
struct Raw<'a, R> {
    from: R,
    meter: Rc<Meter>,
    is_cancelled: &'a dyn Fn() -> bool,
}

// === impl Feed ===

impl<'a> Feed<'a> {
    /// Looks at the first bytes and refuses what is neither tar nor gzip.
    pub(super) fn open(archive: impl Read + 'a, budget: Budget, is_cancelled: &'a dyn Fn() -> bool) -> Result<Feed<'a>> {
        let meter = Rc::new(Meter::new(budget));
        let raw = Raw { from: archive, meter: Rc::clone(&meter), is_cancelled };
        let mut raw = BufReader::with_capacity(BUFFER_BYTES, raw);
        let mut start = Vec::new();
        Read::take(&mut raw, 8).read_to_end(&mut start).map_err(|err| meter.explain(cut().because(err)))?;
        check_start(&start)?;
        let is_gzip = start.starts_with(GZIP);
        let whole = Cursor::new(start).chain(raw);
        let mut from: Box<dyn BufRead + 'a> = Box::new(whole);
        if is_gzip {
            // A gzip file may be several in a row (RFC 1952, 2.2).
            from = Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(from)));
        }
        Ok(Feed { from: Box::new(from), meter })
    }

    pub(super) fn meter(&self) -> Rc<Meter> {
        Rc::clone(&self.meter)
    }
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.from.read(buffer) {
            Err(err) if err.kind() != io::ErrorKind::Interrupted => return Err(self.meter.not_inflated(err)),
            result => result?,
        };
        if count == 0 && !buffer.is_empty() {
            self.meter.is_at_end.set(true);
        }
        self.meter.unpacked.set(self.meter.unpacked.get() + count as u64);
        self.meter.check_unpacked()?;
        Ok(count)
    }
}

// === impl Raw ===

impl<R: Read> Read for Raw<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.is_cancelled)() {
            return Err(self.meter.stop(cancelled()));
        }
        let count = match self.from.read(buffer) {
            Err(err) if err.kind() != io::ErrorKind::Interrupted => return Err(self.meter.stop(broken_off(err))),
            result => result?,
        };
        self.meter.packed.set(self.meter.packed.get() + count as u64);
        if self.meter.packed.get() > self.meter.limit {
            return Err(self.meter.stop(too_large(self.meter.limit)));
        }
        Ok(count)
    }
}

// === impl Meter ===

impl Meter {
    fn new(budget: Budget) -> Meter {
        let limit = budget.bytes.saturating_add(budget.entries.saturating_mul(ENTRY_BYTES)).saturating_add(MIB);
        Meter { limit, packed: Cell::default(), unpacked: Cell::default(), is_at_end: Cell::default(), fault: RefCell::default() }
    }

    /// Returns why reading stopped, if it did; `otherwise` did not come from reading then.
    pub(super) fn explain(&self, otherwise: Error) -> Error {
        self.fault.take().unwrap_or(otherwise)
    }

    /// The same for a reader who had not come to the end mark yet.
    pub(super) fn explain_before_end(&self, otherwise: Error) -> Error {
        // What has not even a header is more likely another file than a cut one.
        let is_cut = self.is_at_end.get() && self.unpacked.get() >= BLOCK_BYTES;
        self.explain(if is_cut { cut() } else { otherwise })
    }

    /// Tells whether the archive was read to its last byte.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_at_end.get()
    }

    fn check_unpacked(&self) -> io::Result<()> {
        let (packed, unpacked) = (self.packed.get(), self.unpacked.get());
        if unpacked > self.limit {
            return Err(self.stop(too_large(self.limit)));
        }
        if unpacked > FREE_BYTES && unpacked / MAX_RATIO > packed {
            return Err(self.stop(bomb()));
        }
        Ok(())
    }

    /// Keeps the first reason to stop: the next ones are its echo.
    fn stop(&self, fault: Error) -> io::Error {
        self.fault.borrow_mut().get_or_insert(fault);
        io::Error::other("the archive is not read on")
    }

    fn not_inflated(&self, cause: io::Error) -> io::Error {
        let is_cut = cause.kind() == io::ErrorKind::UnexpectedEof;
        self.stop(if is_cut { cut() } else { damaged().because(cause) })
    }
}

fn check_start(start: &[u8]) -> Result<()> {
    if start.is_empty() {
        return Err(Error::failed("the archive is empty").hint(PACK_IT));
    }
    match OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, name)) => Err(Error::failed(format!("the archive is packed with {name}; mini takes tar and tar.gz")).hint(PACK_IT)),
        None => Ok(()),
    }
}

fn cut() -> Error {
    Error::failed("the archive was cut off: it ends before its end mark")
        .hint("send it again; `tar -t` tells whether the file itself is whole")
}

fn damaged() -> Error {
    Error::failed("the archive is damaged: it cannot be inflated").hint("send it again; `gzip -t` tells whether the file itself is whole")
}

fn bomb() -> Error {
    Error::failed(format!("the archive unfolds to more than {MAX_RATIO} times its size"))
        .hint("leave generated files out of it, or send it as a plain tar")
}

fn too_large(limit: u64) -> Error {
    Error::failed(format!("the archive is larger than {} MiB", limit / MIB))
        .hint("keep large files out of it: an object store holds them better")
}

fn broken_off(cause: io::Error) -> Error {
    Error::failed("the upload broke off").hint("send it again").because(cause)
}

pub(super) fn cancelled() -> Error {
    Error::failed("the upload was cancelled").hint("deploy again")
}
