//! The frame in which hooks and the command line speak to the server: `u8 kind, u32 length (big endian), payload`.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest payload; a longer one is refused before it is read.
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;

/// One frame: a kind, by convention an ASCII letter, and up to [`MAX_PAYLOAD_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub payload: Vec<u8>,
}

// === impl Frame ===

impl Frame {
    pub fn new(kind: u8, payload: impl Into<Vec<u8>>) -> Self {
        Frame { kind, payload: payload.into() }
    }

    /// Reads a frame; `None` at a clean end, `UnexpectedEof` inside a frame, `InvalidData` for one that is too long.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        if from.read(&mut head[..1]).await? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut head[1..]).await?;
        let mut payload = vec![0; payload_length(head)?];
        from.read_exact(&mut payload).await?;
        Ok(Some(Frame { kind: head[0], payload }))
    }

    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.encode()?).await?;
        to.flush().await
    }

    /// As [`Frame::read`], without a runtime: hooks are small programs.
    pub fn read_blocking(from: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 5];
        if from.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut head[1..])?;
        let mut payload = vec![0; payload_length(head)?];
        from.read_exact(&mut payload)?;
        Ok(Some(Frame { kind: head[0], payload }))
    }

    /// As [`Frame::write`], without a runtime.
    pub fn write_blocking(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.encode()?)?;
        to.flush()
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(too_long(self.payload.len()));
        }
        let length = u32::try_from(self.payload.len()).map_err(|_| too_long(self.payload.len()))?;
        let mut bytes = Vec::with_capacity(5 + self.payload.len());
        bytes.push(self.kind);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        Ok(bytes)
    }
}

fn payload_length(head: [u8; 5]) -> io::Result<usize> {
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > MAX_PAYLOAD_BYTES { Err(too_long(length)) } else { Ok(length) }
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is over the limit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_back_as_they_went_in_and_end_cleanly() {
        let mut wire = Vec::new();
        Frame::new(b'H', *b"hello").write(&mut wire).await.unwrap();
        Frame::new(b'X', []).write_blocking(&mut wire).unwrap();

        let mut reader = wire.as_slice();
        assert_eq!(Frame::read(&mut reader).await.unwrap(), Some(Frame::new(b'H', *b"hello")));
        assert_eq!(Frame::read_blocking(&mut reader).unwrap(), Some(Frame::new(b'X', [])));
        assert_eq!(Frame::read(&mut reader).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_cut_frame_and_a_giant_one_are_errors() {
        let cut = [b'H', 0, 0, 0, 9, b'x'];
        let giant = [b'H', 0xff, 0xff, 0xff, 0xff];

        assert_eq!(Frame::read(&mut &cut[..]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Frame::read(&mut &giant[..]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
