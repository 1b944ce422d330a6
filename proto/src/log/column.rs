//! Varints and run-length columns: the bytes between the block and the reader.

/// Longest varint of a `u64`, bytes.
const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as unsigned LEB128.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one varint from the front of `bytes`; `None` when it is cut short or too long.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (at, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == VARINT_BYTES_MAX - 1 && bits > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// Maps small signed numbers to small unsigned ones: 0, -1, 1, -2, …
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The reverse of [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Writes `(value, count)` pairs, merging equal neighbours.
#[derive(Debug, Default)]
pub(super) struct RunWriter {
    bytes: Vec<u8>,
    value: u64,
    count: u64,
}

impl RunWriter {
    /// `count` more lines have `value`.
    pub(super) fn push(&mut self, value: u64, count: u64) {
        if value != self.value {
            self.flush();
            self.value = value;
        }
        self.count += count;
    }

    /// `count` more lines have the value of the open run.
    pub(super) fn extend(&mut self, count: u64) {
        self.count += count;
    }

    /// The next lines begin a new run even if their value equals the last one.
    pub(super) fn flush(&mut self) {
        if self.count > 0 {
            put_varint(&mut self.bytes, self.value);
            put_varint(&mut self.bytes, self.count);
            self.count = 0;
        }
    }

    /// Bytes written so far, without the open run.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished column.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.flush();
        &self.bytes
    }

    /// Empties the column, keeping its memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.value = 0;
        self.count = 0;
    }
}

/// Reads what a [`RunWriter`] wrote.
#[derive(Debug, Clone)]
pub(super) struct RunReader<'a> {
    bytes: &'a [u8],
}

impl<'a> RunReader<'a> {
    /// A reader from the first run.
    pub(super) fn new(bytes: &'a [u8]) -> RunReader<'a> {
        RunReader { bytes }
    }

    /// The next `(value, count)`; `Ok(None)` at the end, `Err` when the bytes are no run.
    pub(super) fn take(&mut self) -> Result<Option<(u64, u64)>, NotARun> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let value = take_varint(&mut self.bytes).ok_or(NotARun)?;
        let count = take_varint(&mut self.bytes).ok_or(NotARun)?;
        if count == 0 { Err(NotARun) } else { Ok(Some((value, count))) }
    }
}

/// The bytes of a column are not `(value, count)` pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotARun;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_refuse_what_is_too_long() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let value = rng.u64(..) >> rng.u32(0..64);
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut rest = &bytes[..];
            assert_eq!(take_varint(&mut rest), Some(value));
            assert!(rest.is_empty());
            let cut = &bytes[..bytes.len() - 1];
            assert_eq!(take_varint(&mut &cut[..]), None);
        }
        assert_eq!(take_varint(&mut &[0xff; 11][..]), None);
        assert_eq!(
            take_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]),
            None
        );
    }

    #[test]
    fn zigzag_is_its_own_way_back() {
        for value in [0, 1, -1, 2, i64::MAX, i64::MIN, 1_000_000, -1_000_000] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }

    #[test]
    fn equal_neighbours_are_one_run() {
        let mut column = RunWriter::default();
        for value in [0, 0, 3, 3, 3, 0] {
            column.push(value, 1);
        }
        assert_eq!(column.finish(), [0, 2, 3, 3, 0, 1]);
    }
}
