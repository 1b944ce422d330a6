//! A look at CBOR (RFC 8949) from outside before serde may recurse into it.
//!
//! Room: `proto`.  May use: `limits`.  Used by: `control`, `state`, and any room that decodes CBOR.
//!
//! Invariants
//! - One pass, no recursion, no allocation: at most `depth_max` counters on a small stack.
//! - What passes is exactly one item, complete, with nothing after it, nested at most `depth_max` deep.
//!
//! Absent on purpose: meaning. Types, text encoding and lengths of fields are for the reader behind.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::CBOR_DEPTH_MAX;

/// Why bytes are not acceptable CBOR.
#[derive(Debug, thiserror::Error)]
pub enum CborError {
    /// More bytes than allowed.
    #[error("document is {bytes} bytes long, over the limit of {limit}")]
    Long {
        /// How long it is.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Arrays, maps and tags are nested too deeply.
    #[error("document is nested deeper than {limit}")]
    Deep {
        /// What is allowed.
        limit: usize,
    },
    /// The bytes end in the middle of an item.
    #[error("document is cut short")]
    Short,
    /// Bytes follow the item.
    #[error("{bytes} bytes follow the document")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A byte that CBOR does not define, or a break where none may be.
    #[error("byte {at} of the document is not CBOR")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// It is CBOR, but not of this type.
    #[error("document does not have the expected fields")]
    Fields(#[source] serde_cbor::Error),
    /// The value cannot be written as CBOR.
    #[error("value cannot be written as CBOR")]
    Encode(#[source] serde_cbor::Error),
}

/// Checks that `bytes` are one complete CBOR item, nested at most `depth_max` deep (an integer has
/// depth 0, an array of integers 1). `depth_max` over 64 counts as 64.
///
/// # Errors
/// [`CborError::Deep`], `Short`, `Trailing` or `Malformed`.
pub fn within_depth(bytes: &[u8], depth_max: usize) -> Result<(), CborError> {
    let mut scan = Scan { bytes, at: 0, open: [Open::Items(0); STACK], depth: 0 };
    let depth_max = depth_max.min(STACK);
    loop {
        scan.item(depth_max)?;
        if scan.close() {
            break;
        }
    }
    match bytes.len() - scan.at {
        0 => Ok(()),
        bytes => Err(CborError::Trailing { bytes }),
    }
}

/// Writes `value` as CBOR, at most `bytes_max` long.
///
/// # Errors
/// [`CborError::Encode`] or `Long`.
pub fn encode<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, CborError> {
    let bytes = serde_cbor::to_vec(value).map_err(CborError::Encode)?;
    within_length(&bytes, bytes_max)?;
    Ok(bytes)
}

/// Reads a value from CBOR from outside: length, depth (`CBOR_DEPTH_MAX`), then fields.
///
/// # Errors
/// Any [`CborError`] but `Encode`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, CborError> {
    within_length(bytes, bytes_max)?;
    within_depth(bytes, CBOR_DEPTH_MAX)?;
    serde_cbor::from_slice(bytes).map_err(CborError::Fields)
}

fn within_length(bytes: &[u8], limit: usize) -> Result<(), CborError> {
    if bytes.len() > limit {
        return Err(CborError::Long { bytes: bytes.len(), limit });
    }
    Ok(())
}

const STACK: usize = 64;

/// A container that is not complete.
#[derive(Clone, Copy)]
enum Open {
    /// So many items are still to come.
    Items(u64),
    /// Items until a break.
    UntilBreak,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    open: [Open; STACK],
    depth: usize,
}

impl Scan<'_> {
    /// Reads one head, and the content when it is a string.
    fn item(&mut self, depth_max: usize) -> Result<(), CborError> {
        let at = self.at;
        let head = self.byte()?;
        let (major, short) = (head >> 5, head & 31);
        if head == 0xff {
            return self.end_by_break(at);
        }
        if short == 31 {
            return match major {
                2..=5 => self.enter(Open::UntilBreak, depth_max),
                _ => Err(CborError::Malformed { at }),
            };
        }
        let value = self.argument(short, at)?;
        match major {
            2 | 3 => self.skip(value),
            4 => self.enter(Open::Items(value), depth_max),
            5 => {
                let items = value.checked_mul(2).ok_or(CborError::Short)?;
                self.enter(Open::Items(items), depth_max)
            }
            6 => self.enter(Open::Items(1), depth_max),
            _ => Ok(()),
        }
    }

    /// The number in or after a head byte.
    fn argument(&mut self, short: u8, at: usize) -> Result<u64, CborError> {
        let bytes = match short {
            0..=23 => return Ok(u64::from(short)),
            24..=27 => 1_usize << (short - 24),
            _ => return Err(CborError::Malformed { at }),
        };
        let mut value = 0;
        for _ in 0..bytes {
            value = value << 8 | u64::from(self.byte()?);
        }
        Ok(value)
    }

    fn byte(&mut self) -> Result<u8, CborError> {
        let byte = *self.bytes.get(self.at).ok_or(CborError::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), CborError> {
        let left = self.bytes.len() - self.at;
        let bytes = usize::try_from(bytes).map_err(|_| CborError::Short)?;
        if bytes > left {
            return Err(CborError::Short);
        }
        self.at += bytes;
        Ok(())
    }

    fn enter(&mut self, open: Open, limit: usize) -> Result<(), CborError> {
        if self.depth == limit {
            return Err(CborError::Deep { limit });
        }
        // `close` takes one item off for the container's own head.
        self.open[self.depth] = match open {
            Open::Items(items) => Open::Items(items.checked_add(1).ok_or(CborError::Short)?),
            Open::UntilBreak => Open::UntilBreak,
        };
        self.depth += 1;
        Ok(())
    }

    /// A break ends the innermost container, which then counts as one complete item.
    fn end_by_break(&mut self, at: usize) -> Result<(), CborError> {
        if self.depth == 0 || !matches!(self.open[self.depth - 1], Open::UntilBreak) {
            return Err(CborError::Malformed { at });
        }
        self.depth -= 1;
        Ok(())
    }

    /// An item is complete: closes every container that it completes. True at the end of all.
    fn close(&mut self) -> bool {
        while self.depth > 0 {
            match &mut self.open[self.depth - 1] {
                Open::UntilBreak => return false,
                Open::Items(items) => {
                    *items -= 1;
                    if *items > 0 {
                        return false;
                    }
                    self.depth -= 1;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: the error's text, or "ok".
    #[track_caller]
    fn check(bytes: &[u8], depth_max: usize, expected: &str) {
        let said = within_depth(bytes, depth_max).map_or_else(|e| e.to_string(), |()| "ok".into());
        assert_eq!(said, expected, "{bytes:02x?}");
    }

    #[test]
    fn counts_depth_like_brackets() {
        check(&[0x01], 0, "ok");
        check(&[0x80], 0, "document is nested deeper than 0");
        check(&[0x80], 1, "ok");
        check(&[0x81, 0x81, 0x80], 2, "document is nested deeper than 2");
        check(&[0x83, 0x80, 0x80, 0x81, 0x01], 2, "ok");
        check(&[0xa1, 0x61, b'a', 0xa1, 0x01, 0x02], 2, "ok");
        check(&[0xc1, 0xc1, 0xc1, 0x01], 2, "document is nested deeper than 2");
        check(&[0x9f, 0x01, 0x9f, 0xff, 0xff], 2, "ok");
        check(&[0x5f, 0x41, 0x00, 0xff], 1, "ok");
        check(&[0x81; 100_000], 16, "document is nested deeper than 16");
    }

    #[test]
    fn refuses_what_is_not_one_whole_item() {
        check(&[], 16, "document is cut short");
        check(&[0x82, 0x01], 16, "document is cut short");
        check(&[0x19, 0x01], 16, "document is cut short");
        check(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 16, "document is cut short");
        check(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 16, "document is cut short");
        check(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 16, "document is cut short");
        check(&[0x01, 0x02], 16, "1 bytes follow the document");
        check(&[0xff], 16, "byte 0 of the document is not CBOR");
        check(&[0x81, 0xff], 16, "byte 1 of the document is not CBOR");
        check(&[0x1c], 16, "byte 0 of the document is not CBOR");
        check(&[0x1f], 16, "byte 0 of the document is not CBOR");
    }

    #[test]
    fn any_bytes_end_in_an_answer() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
            let _ = within_depth(&bytes, rng.usize(0..80));
            let _ = parse::<crate::state::StateBatch>(&bytes, 4096);
        }
    }
}
