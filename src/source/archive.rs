//! An uploaded archive is hostile: it is never extracted, but written anew, entry by entry, into a context.
//!
//! Taken are regular files, folders, and symbolic links that stay inside the source. Made harmless without a word: owners, times and all
//! bits of a mode but the executable one (set-user-id among them), a leading `./`, folders that come twice, PAX keys without a
//! meaning here, and the `._name` files in which macOS packs attributes. Left out with a warning: `.git`. All else is refused.

use std::borrow::Cow;
use std::io::{Cursor, Read};
use std::path::Path;

use tar::{Entry, EntryType};

use super::extended::Extended;
use super::feed::{Feed, PACK_IT};
use super::path::{refused, shown};
use super::writer::not_spooled;
use super::{Budget, Context, ContextWriter, IGNORE_FILE, Ignore, MAX_ROOT_FILE_BYTES, Manifest};
use crate::error::{Error, Result};
use crate::model::limits::MIB;

/// How a file begins in which macOS keeps what its file systems know besides (RFC 1740, `AppleDouble`).
const APPLE_DOUBLE: [u8; 4] = [0, 5, 0x16, 7];

/// Tars are padded with zeros to whole records: 10 KiB of most programs, 1 MiB of those told so.
const MAX_PADDING_BYTES: u64 = MIB;

/// An uploaded source: all that came, and the rules by which a part of it is built.
#[derive(Debug)]
pub struct Upload {
    whole: Context,
    ignore: Ignore,
}

/// Writes a tar or tar.gz anew below `tmp`, with flat memory. Blocks as long as the archive comes; `is_cancelled` is asked at every read.
///
/// Every error is for the person who sent the archive, with a hint, and leaves nothing on disk.
pub fn respool(archive: impl Read, tmp: &Path, budget: Budget, is_cancelled: &dyn Fn() -> bool) -> Result<Upload> {
    let feed = Feed::open(archive, budget, is_cancelled)?;
    let meter = feed.meter();
    let mut tar = tar::Archive::new(feed);
    let mut respool = Respool {
        writer: ContextWriter::new(tmp, Ignore::default())?.with_budget(budget),
        told: Extended::default(),
        has_history: false,
        last: Vec::new(),
    };
    // An end without an end mark is a cut.
    let read = respool.entries(&mut tar).and_then(|()| if meter.is_at_end() { Err(no_tar()) } else { Ok(()) });
    read.map_err(|err| with_hint(meter.explain_before_end(err)))?;
    padding(tar.into_inner()).map_err(|err| with_hint(meter.explain(err)))?;
    respool.finish().map_err(with_hint)
}

// === impl Upload ===

impl Upload {
    /// Returns all that came: what the app's repository is to remember.
    #[must_use]
    pub fn whole(&self) -> &Context {
        &self.whole
    }

    /// Returns what is to be built: without what the source's own `.dockerignore` leaves out, wherever in the archive that came.
    ///
    /// Without rules this costs nothing. With them the source is on disk twice while this runs, and half of that after it.
    pub fn into_context(self, is_cancelled: &dyn Fn() -> bool) -> Result<Context> {
        if self.ignore.is_empty() { Ok(self.whole) } else { self.whole.filtered(self.ignore, is_cancelled) }
    }
}

/// One archive on its way into a context.
struct Respool {
    writer: ContextWriter,
    /// What extension headers said about the entry that comes next.
    told: Extended,
    has_history: bool,
    /// The entry before, for sentences.
    last: Vec<u8>,
}

// === impl Respool ===

impl Respool {
    fn entries(&mut self, tar: &mut tar::Archive<Feed>) -> Result<()> {
        let mut is_announced = false;
        // Raw: the crate believes a PAX `size` over the header, and reads long names of any length into memory.
        for entry in tar.entries().map_err(not_spooled)?.raw(true) {
            let mut entry = entry.map_err(|err| self.unreadable().because(err))?;
            let kind = entry.header().entry_type();
            is_announced = Extended::is_extension(kind);
            if is_announced {
                self.told.read(kind, entry.size(), &mut entry)?;
            } else {
                self.entry(entry)?;
            }
        }
        if is_announced { Err(self.unreadable()) } else { Ok(()) }
    }

    fn entry(&mut self, entry: Entry<'_, Feed>) -> Result<()> {
        let told = std::mem::take(&mut self.told);
        let name = told.path.as_deref().map_or_else(|| entry.path_bytes(), Cow::Borrowed).into_owned();
        let (path, kind) = (clean(&name), kind_of(&entry, &name));
        self.last = path.to_vec();
        if path.split(|byte| *byte == b'/').any(|part| part == b".git") {
            self.has_history = true;
            return self.writer.leave_out(entry.size());
        }
        told.check(entry.size()).map_err(|why| refused(path, why))?;
        match kind {
            EntryType::Directory if path.is_empty() && !name.is_empty() => Ok(()),
            EntryType::Directory | EntryType::Symlink if entry.size() > 0 => Err(refused(path, "it is no file and has content")),
            EntryType::Directory => self.writer.add_dir(path),
            EntryType::Symlink => self.link(path, &told, &entry),
            EntryType::Regular => self.file(path, entry),
            other => Err(not_a_file(path, other)),
        }
    }

    fn link(&mut self, path: &[u8], told: &Extended, entry: &Entry<'_, Feed>) -> Result<()> {
        let target = told.target.as_deref().map(Cow::Borrowed).or_else(|| entry.link_name_bytes()).unwrap_or_default();
        check_target(path, &target)?;
        self.writer.add_symlink(path, &target)
    }

    fn file(&mut self, path: &[u8], mut entry: Entry<'_, Feed>) -> Result<()> {
        let size = entry.size();
        let mode = entry.header().mode().map_err(|err| self.unreadable().because(err))?;
        if path == IGNORE_FILE.as_bytes() && size > MAX_ROOT_FILE_BYTES {
            return Err(Error::failed(format!("`{IGNORE_FILE}` is longer than {MAX_ROOT_FILE_BYTES} bytes")));
        }
        let mut start = Vec::new();
        if is_apple_double_name(path) {
            Read::take(&mut entry, APPLE_DOUBLE.len() as u64).read_to_end(&mut start).map_err(not_spooled)?;
            if start == APPLE_DOUBLE {
                return self.writer.leave_out(size);
            }
        }
        self.writer.add_file(path, mode & 0o100 != 0, size, Cursor::new(start).chain(entry))
    }

    fn finish(mut self) -> Result<Upload> {
        if self.has_history {
            self.writer.warn("`.git` was left out: a source is its files, not their history");
        }
        let mut whole = self.writer.finish()?;
        if whole.manifest().count() == 0 {
            return Err(Error::failed("the archive has no files in it"));
        }
        if let Some(folder) = only_folder(whole.manifest()) {
            let folder = folder.escape_debug();
            whole
                .warn(format!("everything is in the folder `{folder}`; if that is the app itself, pack its content: tar -C {folder} -c ."));
        }
        let ignore = ignore_rules(whole.manifest())?;
        Ok(Upload { whole, ignore })
    }

    fn unreadable(&self) -> Error {
        if self.last.is_empty() {
            return no_tar();
        }
        Error::failed(format!("the archive is damaged behind `{}`", shown(&self.last)))
    }
}

fn no_tar() -> Error {
    Error::failed("this is no tar archive; mini takes tar and tar.gz")
}

/// Takes off what says nothing: `./` in front, `/` behind.
fn clean(name: &[u8]) -> &[u8] {
    let mut path = name;
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    match path {
        b"." => b"",
        [rest @ .., b'/'] if !rest.is_empty() => rest,
        path => path,
    }
}

/// Returns the kind of an entry, with the old ways to say it: before POSIX a folder was an empty file with a slash behind its name.
fn kind_of(entry: &Entry<'_, Feed>, name: &[u8]) -> EntryType {
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous if !name.ends_with(b"/") => EntryType::Regular,
        EntryType::Regular if entry.size() == 0 => EntryType::Directory,
        other => other,
    }
}

/// Refuses a link that leaves the source, also by way of other links: `..` may only stand in front, where the folders are real ones.
pub fn check_target(path: &[u8], target: &[u8]) -> Result<()> {
    let depth = path.split(|byte| *byte == b'/').count() - 1;
    let mut names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let ups = names.by_ref().take_while(|name| *name == b"..").count();
    if target.starts_with(b"/") || ups > depth || names.any(|name| name == b"..") {
        let why = format!("it links to `{}`, which may be outside of it", shown(target));
        return Err(refused(path, &why).hint("link to it as `../name`, without a way back, or leave the link out"));
    }
    Ok(())
}

fn not_a_file(path: &[u8], kind: EntryType) -> Error {
    let (what, hint) = match kind {
        EntryType::Link => ("it is a hard link", "pack it with `tar --hard-dereference`"),
        EntryType::Char | EntryType::Block => ("it is a device", "leave it out: `tar --exclude`"),
        EntryType::Fifo => ("it is a fifo", "leave it out: `tar --exclude`"),
        EntryType::GNUSparse => ("it is a sparse file", "pack it without tar's `--sparse`"),
        _ => ("it is neither file, folder nor link", "pack it with `tar --format=ustar`"),
    };
    refused(path, what).hint(hint)
}

fn is_apple_double_name(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b"._"))
}

/// Refuses anything but zeros behind the end mark, and so reads to the end: a gzip's checksum is there.
fn padding(feed: Feed) -> Result<()> {
    let mut rest = Vec::new();
    feed.take(MAX_PADDING_BYTES + 1).read_to_end(&mut rest).map_err(not_spooled)?;
    if rest.len() as u64 > MAX_PADDING_BYTES || rest.iter().any(|byte| *byte != 0) {
        return Err(Error::failed("the archive goes on behind its end mark").hint("pack it anew, into a new file"));
    }
    Ok(())
}

/// Returns the folder that everything is in.
fn only_folder(manifest: &Manifest) -> Option<&str> {
    let (first, _) = manifest.paths().next()?.split_once('/')?;
    manifest.paths().all(|path| path.strip_prefix(first).is_some_and(|rest| rest.starts_with('/'))).then_some(first)
}

fn ignore_rules(manifest: &Manifest) -> Result<Ignore> {
    manifest.root_text(IGNORE_FILE).map_or_else(|| Ok(Ignore::default()), |text| Ignore::parse(&text))
}

fn with_hint(err: Error) -> Error {
    if err.next_step().is_some() { err } else { err.hint(PACK_IT) }
}

#[cfg(test)]
mod tests;
