//! Gzip for a stream of anything: what is dense already is stored, the rest is compressed fast.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// One gzip member each: long enough for its few bytes to be nothing, short enough to follow a change of content.
const CHUNK_BYTES: usize = 512 << 10;

/// A chunk is judged by these pieces, spread over it.
const SAMPLES: usize = 4;
const SAMPLE_BYTES: usize = 4 << 10;

/// A chunk is worth the work when its samples shrink below this share of them.
const WORTH_PERCENT: usize = 90;

/// No name, no time, no system: the same content is the same file (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Writes what it is given as a gzip file of many members (RFC 1952, 2.2).
pub(super) struct Squeeze<W> {
    to: W,
    chunk: Vec<u8>,
    packed: Vec<u8>,
    fast: Compress,
    store: Compress,
    is_abandoned: bool,
}

// === impl Squeeze ===

impl<W: Write> Squeeze<W> {
    pub(super) fn new(to: W) -> Squeeze<W> {
        let (fast, store) = (Compress::new(Compression::fast(), false), Compress::new(Compression::none(), false));
        Squeeze { to, chunk: Vec::with_capacity(CHUNK_BYTES), packed: Vec::new(), fast, store, is_abandoned: false }
    }

    /// Writes the last member and returns the writer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.member()?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Takes nothing more, so that what was written stays visibly cut.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
    }

    fn member(&mut self) -> io::Result<()> {
        let is_worth_it = self.is_worth_it()?;
        self.packed.clear();
        self.packed.extend_from_slice(&HEADER);
        let compress = if is_worth_it { &mut self.fast } else { &mut self.store };
        deflate(compress, &self.chunk, &mut self.packed)?;
        let mut crc = Crc::new();
        crc.update(&self.chunk);
        self.packed.extend_from_slice(&crc.sum().to_le_bytes());
        self.packed.extend_from_slice(&crc.amount().to_le_bytes());
        self.chunk.clear();
        self.to.write_all(&self.packed)
    }

    /// Tries to compress a little of the chunk.
    fn is_worth_it(&mut self) -> io::Result<bool> {
        if self.chunk.len() <= SAMPLES * SAMPLE_BYTES {
            return Ok(true);
        }
        let stride = self.chunk.len() / SAMPLES;
        let sample: Vec<u8> = self.chunk.chunks_exact(stride).flat_map(|part| &part[..SAMPLE_BYTES]).copied().collect();
        self.packed.clear();
        deflate(&mut self.fast, &sample, &mut self.packed)?;
        Ok(self.packed.len() * 100 < sample.len() * WORTH_PERCENT)
    }
}

impl<W: Write> Write for Squeeze<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_abandoned {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK_BYTES {
            self.member()?;
        }
        Ok(count)
    }

    /// Keeps what is no chunk yet: a member of its own for every small write would be no compression.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends `bytes` as one raw deflate stream.
fn deflate(compress: &mut Compress, bytes: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
    compress.reset();
    // Stored blocks have five bytes each; with room for all there is one call.
    packed.reserve(bytes.len() + bytes.len() / 1000 + 1024);
    loop {
        let done = usize::try_from(compress.total_in()).unwrap_or(usize::MAX).min(bytes.len());
        match compress.compress_vec(&bytes[done..], packed, FlushCompress::Finish)? {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError => packed.reserve(SAMPLE_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;

    use super::*;

    fn squeezed(bytes: &[u8]) -> Vec<u8> {
        let mut squeeze = Squeeze::new(Vec::new());
        squeeze.write_all(bytes).unwrap();
        squeeze.finish().unwrap()
    }

    fn dense(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn whatever_goes_in_comes_out() {
        let text = b"the same line again and again\n".repeat(60_000);

        for bytes in [Vec::new(), vec![7], text.clone(), dense(3 * CHUNK_BYTES + 1), [text, dense(CHUNK_BYTES)].concat()] {
            let mut back = Vec::new();
            MultiGzDecoder::new(squeezed(&bytes).as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == bytes, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn text_shrinks_and_dense_bytes_grow_by_next_to_nothing() {
        let text = b"the same line again and again\n".repeat(60_000);
        let dense = dense(4 << 20);

        assert!(squeezed(&text).len() < text.len() / 20);
        assert!(squeezed(&dense).len() < dense.len() + dense.len() / 1000);
    }
}
