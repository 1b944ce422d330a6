//! Numbers of varying length, for the columns of both block codecs.
//!
//! Room: `stores`.  May use: nobody.  Used by: the block codecs.
//!
//! `varint`: LEB128, seven bits a byte, the lowest first, the top bit says that more follow; at
//! most ten bytes. Signed numbers are folded first (zigzag): 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4.

/// Appends `value`.
#[inline]
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed `value`, folded.
#[inline]
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends a byte string: its length, then its bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of a slice. `None` means cut short or out of range, never a panic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    rest: &'a [u8],
}

impl<'a> Reading<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Reading<'a> {
        Reading { rest }
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (place, byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[place + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline]
    pub(super) fn next_signed(&mut self) -> Option<i64> {
        let folded = self.next()?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A count or length of at most `max`.
    pub(super) fn next_len(&mut self, max: usize) -> Option<usize> {
        self.next().and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= max)
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|one| one[0])
    }

    /// A byte string of at most `max` bytes.
    pub(super) fn bytes(&mut self, max: usize) -> Option<&'a [u8]> {
        let len = self.next_len(max)?;
        self.take(len)
    }

    /// A UTF-8 text of at most `max` bytes.
    pub(super) fn text(&mut self, max: usize) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(max)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let edges = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN, 1 << 40];
        let mut bytes = Vec::new();
        for edge in edges {
            put_signed(&mut bytes, edge);
            put(&mut bytes, edge.cast_unsigned());
        }
        let mut reading = Reading::new(&bytes);
        for edge in edges {
            assert_eq!(reading.next_signed(), Some(edge));
            assert_eq!(reading.next(), Some(edge.cast_unsigned()));
        }
        assert!(reading.is_empty());
        assert_eq!(reading.next(), None);
    }

    #[test]
    fn a_number_that_is_too_long_is_refused() {
        assert_eq!(Reading::new(&[0xff; 11]).next(), None);
        assert_eq!(Reading::new(&[0x80]).next(), None);
        let mut over = [0x80; 10];
        over[9] = 2;
        assert_eq!(Reading::new(&over).next(), None);
    }
}
