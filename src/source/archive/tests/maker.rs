//! Makes tars block by block, honest and hostile.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

pub(super) struct Maker {
    bytes: Vec<u8>,
    blank: fn() -> Header,
}

// === impl Maker ===

impl Maker {
    pub(super) fn gnu() -> Maker {
        Maker { bytes: Vec::new(), blank: Header::new_gnu }
    }

    pub(super) fn ustar() -> Maker {
        Maker { bytes: Vec::new(), blank: Header::new_ustar }
    }

    pub(super) fn v7() -> Maker {
        Maker { bytes: Vec::new(), blank: Header::new_old }
    }

    pub(super) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Maker {
        self.entry(EntryType::Regular, path, "", 0o644, content.as_ref())
    }

    pub(super) fn folder(self, path: &str) -> Maker {
        self.entry(EntryType::Directory, path, "", 0o755, b"")
    }

    pub(super) fn link(self, path: &str, target: &str) -> Maker {
        self.entry(EntryType::Symlink, path, target, 0o777, b"")
    }

    pub(super) fn entry(self, kind: EntryType, path: &str, target: &str, mode: u32, content: &[u8]) -> Maker {
        self.header(kind, path, target, mode, content.len() as u64).raw(content).aligned()
    }

    /// Only a header: the content is still to come, or never does.
    pub(super) fn large_file(self, path: &str, size: u64) -> Maker {
        self.header(EntryType::Regular, path, "", 0o644, size)
    }

    pub(super) fn header(self, kind: EntryType, path: &str, target: &str, mode: u32, size: u64) -> Maker {
        let mut header = (self.blank)();
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(0);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_cksum();
        self.raw(header.as_bytes())
    }

    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Maker {
        self.entry(EntryType::XHeader, "pax", "", 0o644, &pax_text(records))
    }

    pub(super) fn global_pax(self, records: &[(&str, &[u8])]) -> Maker {
        self.entry(EntryType::XGlobalHeader, "pax_global_header", "", 0o644, &pax_text(records))
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Maker {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn aligned(mut self) -> Maker {
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.end_blocks(2)
    }

    pub(super) fn end_blocks(self, count: usize) -> Vec<u8> {
        self.raw(&vec![0; count * 512]).bytes
    }
}

/// A record tells its own length, with the digits of that.
fn pax_text(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..9).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        text.extend_from_slice(format!("{length} {key}=").as_bytes());
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
