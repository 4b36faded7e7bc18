//! Writes single entries of a tar: the same for the same content, and names byte for byte.

use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

/// 2000-01-01T00:00:00Z, for every entry: the same tree is the same tar. Not 0, because zip knows no time before 1980 and what
/// packs zips in a build (Python wheels, Java archives) fails on it.
const MODIFIED: u64 = 946_684_800;

/// Writes a file; `content` has `size` bytes, or fails.
pub(super) fn file(tar: &mut Builder<impl Write>, path: &[u8], executable: bool, size: u64, content: impl Read) -> io::Result<()> {
    let mode = if executable { 0o755 } else { 0o644 };
    append(tar, header(EntryType::Regular, size, mode), path, content)
}

/// Writes a folder.
pub(super) fn folder(tar: &mut Builder<impl Write>, path: &[u8]) -> io::Result<()> {
    append(tar, header(EntryType::Directory, 0, 0o755), &[path, b"/"].concat(), io::empty())
}

/// Writes a symbolic link.
pub(super) fn link(tar: &mut Builder<impl Write>, path: &[u8], target: &[u8]) -> io::Result<()> {
    long_name(tar, EntryType::GNULongLink, target)?;
    let mut header = header(EntryType::Symlink, 0, 0o777);
    put(&mut header.as_old_mut().linkname, target);
    append(tar, header, path, io::empty())
}

/// The crate's own ways take `./` out of short names, which is another link for git, and refuse long ones that are not UTF-8.
fn append(tar: &mut Builder<impl Write>, mut header: Header, path: &[u8], content: impl Read) -> io::Result<()> {
    long_name(tar, EntryType::GNULongName, path)?;
    put(&mut header.as_old_mut().name, path);
    header.set_cksum();
    tar.append(&header, content)
}

/// Writes a name that is too long for the next header in front of it, as GNU tar does (its manual, "Basic Tar Format").
fn long_name(tar: &mut Builder<impl Write>, kind: EntryType, name: &[u8]) -> io::Result<()> {
    if name.len() <= header(kind, 0, 0).as_old().name.len() {
        return Ok(());
    }
    let mut header = header(kind, name.len() as u64 + 1, 0o644);
    put(&mut header.as_old_mut().name, b"././@LongLink");
    header.set_cksum();
    tar.append(&header, name.chain(&[0][..]))
}

/// Writes as much of a name as there is room for.
fn put(field: &mut [u8; 100], name: &[u8]) {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MODIFIED);
    header
}
