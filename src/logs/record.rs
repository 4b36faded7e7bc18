//! The file of one deploy's output: its beginning as it was said, and its end in a ring. It never grows beyond its shape.
//!
//! The first line of the file is the number of bytes that were said; a ring that has come around starts behind them.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Twenty digits and a line end.
const HEADER_BYTES: u64 = 21;

/// How many bytes of the beginning and of the end are kept.
#[derive(Clone, Copy)]
pub(super) struct RecordShape {
    pub head: u64,
    pub tail: u64,
    /// Written and read at a time; a crash, or a writer beside a reader, spoils at most this much of the ring's oldest part.
    pub chunk: u64,
}

/// The end at which a record is written.
pub(super) struct RecordWriter {
    file: File,
    shape: RecordShape,
    said: u64,
}

/// Reads a record from its beginning, while it is written too.
pub(super) struct RecordReader {
    file: File,
    shape: RecordShape,
    at: u64,
}

/// What a reader found next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes that are not kept between what was read before and this.
    pub omitted: u64,
    pub bytes: Vec<u8>,
}

// === impl RecordShape ===

impl RecordShape {
    /// Returns where the byte with this number stands, and how many may follow it there.
    fn place(self, number: u64) -> (u64, u64) {
        if number < self.head {
            return (HEADER_BYTES + number, self.head - number);
        }
        let around = (number - self.head) % self.tail;
        (HEADER_BYTES + self.head + around, self.tail - around)
    }

    /// Returns the first byte of the ring that is still there when `said` bytes were said.
    fn oldest(self, said: u64) -> u64 {
        if said <= self.head + self.tail { self.head } else { said - self.tail + self.chunk }
    }
}

// === impl RecordWriter ===

impl RecordWriter {
    pub(super) fn create(path: &Path, shape: RecordShape) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let writer = RecordWriter { file, shape, said: 0 };
        writer.write_header(0)?;
        Ok(writer)
    }

    /// Appends bytes; what an error interrupts was not said.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (offset, room) = self.shape.place(self.said);
            let length = bytes.len().min(usize::try_from(room.min(self.shape.chunk)).unwrap_or(usize::MAX));
            self.file.write_all_at(&bytes[..length], offset)?;
            let said = self.said + length as u64;
            self.write_header(said)?;
            self.said = said;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn write_header(&self, said: u64) -> Result<()> {
        self.file.write_all_at(format!("{said:020}\n").as_bytes(), 0)
    }
}

// === impl RecordReader ===

impl RecordReader {
    pub(super) fn open(path: &Path, shape: RecordShape) -> Result<Self> {
        Ok(RecordReader { file: File::open(path)?, shape, at: 0 })
    }

    /// Reads on; an empty piece means that no more was said yet.
    pub(super) fn read(&mut self) -> Result<Piece> {
        let mut omitted = 0;
        loop {
            let said = self.said()?;
            if self.at >= said {
                return Ok(Piece { omitted, bytes: Vec::new() });
            }
            omitted += self.pass_what_is_gone(said);
            let (offset, room) = self.shape.place(self.at);
            let length = room.min(self.shape.chunk).min(said - self.at);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
            self.file.read_exact_at(&mut bytes, offset)?;
            let is_whole = self.at < self.shape.head || self.at >= self.shape.oldest(self.said()?);
            if is_whole {
                self.at += length;
                return Ok(Piece { omitted, bytes });
            }
            // The writer came around meanwhile: this was written over.
        }
    }

    fn pass_what_is_gone(&mut self, said: u64) -> u64 {
        let oldest = self.shape.oldest(said);
        if self.at < self.shape.head || self.at >= oldest {
            return 0;
        }
        let gone = oldest - self.at;
        self.at = oldest;
        gone
    }

    fn said(&self) -> Result<u64> {
        let mut header = [0; 20];
        self.file.read_exact_at(&mut header, 0)?;
        let digits = std::str::from_utf8(&header).ok().and_then(|digits| digits.parse().ok());
        digits.ok_or_else(|| Error::from(ErrorKind::InvalidData))
    }
}

#[cfg(test)]
impl RecordWriter {
    /// A record on a disk that takes nothing (full(4)).
    pub(super) fn full_disk(shape: RecordShape) -> Self {
        RecordWriter { file: OpenOptions::new().write(true).open("/dev/full").unwrap(), shape, said: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: RecordShape = RecordShape { head: 20, tail: 50, chunk: 10 };

    fn all(reader: &mut RecordReader) -> (String, u64) {
        let (mut text, mut omitted) = (String::new(), 0);
        loop {
            let piece = reader.read().unwrap();
            omitted += piece.omitted;
            if piece.bytes.is_empty() {
                return (text, omitted);
            }
            text += std::str::from_utf8(&piece.bytes).unwrap();
        }
    }

    #[test]
    fn what_fits_is_kept_whole_and_can_be_read_while_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        let mut writer = RecordWriter::create(&path, SHAPE).unwrap();
        let mut reader = RecordReader::open(&path, SHAPE).unwrap();

        assert_eq!(all(&mut reader), (String::new(), 0));
        writer.append("0123456789".repeat(3).as_bytes()).unwrap();
        assert_eq!(all(&mut reader), ("0123456789".repeat(3), 0));
        writer.append(b"the end").unwrap();

        assert_eq!(all(&mut reader), ("the end".into(), 0));
    }

    #[test]
    fn of_more_the_beginning_and_the_end_are_kept_in_a_file_of_the_same_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        let mut writer = RecordWriter::create(&path, SHAPE).unwrap();
        let said = (0..1000).map(|number: u32| format!("{number:04}")).collect::<Vec<_>>().concat();

        writer.append(said.as_bytes()).unwrap();

        let (text, omitted) = all(&mut RecordReader::open(&path, SHAPE).unwrap());
        assert_eq!(text, format!("{}{}", &said[..20], &said[4000 - 40..]));
        assert_eq!(omitted, 4000 - 20 - 40);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), HEADER_BYTES + 70);
    }

    #[test]
    fn a_reader_who_falls_behind_goes_on_with_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1");
        let mut writer = RecordWriter::create(&path, SHAPE).unwrap();
        let mut reader = RecordReader::open(&path, SHAPE).unwrap();
        writer.append(&[b'a'; 30]).unwrap();
        assert_eq!(all(&mut reader), ("a".repeat(30), 0));

        writer.append(&[b'b'; 100]).unwrap();

        assert_eq!(all(&mut reader), ("b".repeat(40), 60));
    }
}
