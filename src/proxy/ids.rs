//! Request ids, which tell requests apart without a word on them.

use bytes::{BufMut, BytesMut};
use hyper::header::HeaderValue;

use crate::model::AppId;

/// The ids of one core: a random half of its own, and a number in hex.
pub(super) struct Ids {
    prefix: String,
    next: u64,
    /// Room for the next ones: an allocation is for dozens of them.
    room: BytesMut,
}

/// An id that is kept keeps those that were cut from the same room.
const ROOM_BYTES: usize = 1 << 10;
const NUMBER_DIGITS: usize = 16;

// === impl Ids ===

impl Ids {
    pub(super) fn new() -> Ids {
        // 16 random hex digits, whatever they are called.
        Ids { prefix: AppId::random().into(), next: 0, room: BytesMut::new() }
    }

    pub(super) fn next(&mut self) -> HeaderValue {
        let longest = self.prefix.len() + 1 + NUMBER_DIGITS;
        if self.room.capacity() < longest {
            self.room = BytesMut::with_capacity(ROOM_BYTES.max(longest));
        }
        self.room.put_slice(self.prefix.as_bytes());
        self.room.put_u8(b'-');
        let shown = NUMBER_DIGITS - self.next.leading_zeros() as usize / 4;
        for at in (0..shown.max(1)).rev() {
            let digit = char::from_digit((self.next >> (4 * at) & 0xf) as u32, 16);
            self.room.put_u8(digit.map_or(b'0', |digit| digit as u8));
        }
        self.next += 1;
        HeaderValue::from_maybe_shared(self.room.split().freeze()).expect("hex digits are visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_a_prefix_and_a_number_in_hex() {
        let (mut ids, mut other) = (Ids::new(), Ids::new());

        for number in (0..40u64).chain([0xf, 0x10, 0xff, 0x100, u64::MAX >> 4]) {
            ids.next = number;
            assert_eq!(ids.next().to_str().unwrap(), format!("{}-{number:x}", ids.prefix));
        }
        assert_ne!(ids.next(), other.next());
    }
}
