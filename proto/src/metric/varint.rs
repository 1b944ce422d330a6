//! Base 128 numbers, and a reader that never runs over the end.

use super::MetricError;

/// Appends `value`, seven bits a byte, the lowest first.
pub(super) fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small numbers of either sign as small numbers without one.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The way back.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Bytes that are being read.
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { rest: bytes }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Cuts the last `len` bytes off.
    pub(super) fn split_tail(
        self,
        len: usize,
        what: &'static str,
    ) -> Result<(Bytes<'a>, Bytes<'a>), MetricError> {
        let at = self.rest.len().checked_sub(len).ok_or(MetricError::Short(what))?;
        let (rest, tail) = self.rest.split_at(at);
        Ok((Bytes { rest }, Bytes { rest: tail }))
    }

    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, MetricError> {
        let (byte, rest) = self.rest.split_first().ok_or(MetricError::Short(what))?;
        self.rest = rest;
        Ok(*byte)
    }

    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], MetricError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(MetricError::Short(what))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn float(&mut self, what: &'static str) -> Result<f64, MetricError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(MetricError::Short(what))?;
        self.rest = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    pub(super) fn varint(&mut self, what: &'static str) -> Result<u64, MetricError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(MetricError::Unknown(what))
    }

    /// A count of `what`, at most `limit`.
    pub(super) fn count(&mut self, what: &'static str, limit: usize) -> Result<usize, MetricError> {
        let value = self.varint(what)?;
        match usize::try_from(value) {
            Ok(count) if count <= limit => Ok(count),
            _ => Err(MetricError::Limit { what, value, limit: limit as u64 }),
        }
    }

    pub(super) fn end(&self) -> Result<(), MetricError> {
        if self.rest.is_empty() { Ok(()) } else { Err(MetricError::Trailing) }
    }
}
