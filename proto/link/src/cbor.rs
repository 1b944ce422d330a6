//! Looks through a CBOR document before it is decoded: is it one, and how deep is it?
//!
//! Room: `link`.  Used by: `control`, `enrol`.
//! serde's decoder recurses up to 128 levels, ours allows `CBOR_DEPTH_MAX`. Lengths are checked
//! against the bytes at hand, so nothing is ever allocated for what is only announced.

use muster_proto::limits::CBOR_DEPTH_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::LinkError;

/// Decodes one document.
///
/// # Errors
/// [`LinkError::Protocol`].
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LinkError> {
    check_depth(bytes).map_err(LinkError::protocol)?;
    serde_cbor::from_slice(bytes)
        .map_err(|error| LinkError::protocol(format!("a message cannot be decoded: {error}")))
}

/// Encodes a document behind its length, `u32` little-endian.
///
/// # Errors
/// [`LinkError::TooLong`] over `limit` bytes, [`LinkError::Encode`].
pub(crate) fn encode_framed<T: Serialize>(
    message: &T,
    what: &'static str,
    limit: usize,
) -> Result<Vec<u8>, LinkError> {
    let mut framed = vec![0; 4];
    serde_cbor::to_writer(&mut framed, message).map_err(LinkError::Encode)?;
    let len = framed.len() - 4;
    match u32::try_from(len) {
        Ok(word) if len <= limit => framed[..4].copy_from_slice(&word.to_le_bytes()),
        _ => return Err(LinkError::TooLong { what, len, limit }),
    }
    Ok(framed)
}

/// Walks over the heads of a document (RFC 8949 §3) without recursion.
fn check_depth(bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "a message is cut short";
    const DEEP: &str = "a message is nested too deep";
    /// Items that are still missing on a level; indefinite ones end with a break.
    const ENDLESS: u64 = u64::MAX;
    let mut missing = vec![1_u64];
    let mut at = 0;
    while let Some(level) = missing.last_mut() {
        if *level == 0 {
            missing.pop();
            continue;
        }
        let first = *bytes.get(at).ok_or(CUT)?;
        at += 1;
        if first == 0xff && *level == ENDLESS {
            missing.pop();
            continue;
        }
        if *level != ENDLESS {
            *level -= 1;
        }
        let (major, short) = (first >> 5, first & 31);
        let extra = match short {
            0..=23 | 31 => 0,
            24..=27 => 1_usize << (short - 24),
            _ => return Err("a message is not CBOR"),
        };
        let word = bytes.get(at..at + extra).ok_or(CUT)?;
        at += extra;
        let count = match short {
            0..=23 => u64::from(short),
            31 => ENDLESS,
            _ => word.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        match major {
            // Byte and text strings; an indefinite one holds definite ones.
            2 | 3 if count != ENDLESS => {
                let left = (bytes.len() - at) as u64;
                at += usize::try_from(count).ok().filter(|_| count <= left).ok_or(CUT)?;
            }
            2 | 3 => missing.push(ENDLESS),
            4 => missing.push(count),
            5 if count != ENDLESS => missing.push(count.saturating_mul(2).min(ENDLESS - 1)),
            5 => missing.push(ENDLESS),
            6 => missing.push(1),
            _ => {}
        }
        if missing.len() > CBOR_DEPTH_MAX + 1 {
            return Err(DEEP);
        }
    }
    if at == bytes.len() { Ok(()) } else { Err("a message has bytes behind its end") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let found = check_depth(bytes).err().unwrap_or("fine");
        assert_eq!(found, expected, "{bytes:02x?}");
    }

    #[test]
    fn ordinary_documents_pass() {
        check(&[0x01], "fine");
        check(&[0x82, 0x01, 0x61, b'a'], "fine");
        check(&[0xa1, 0x61, b'a', 0x81, 0xf6], "fine");
        check(&[0xbf, 0x61, b'a', 0x9f, 0x01, 0xff, 0xff], "fine");
        check(&[0x7f, 0x61, b'a', 0x61, b'b', 0xff], "fine");
        check(&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], "fine");
        check(&[0xc1, 0x00], "fine");
    }

    #[test]
    fn announced_lengths_are_not_believed() {
        check(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a message is cut short");
        check(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a message is cut short");
        check(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "a message is cut short");
        check(&[0x1c], "a message is not CBOR");
        check(&[0x01, 0x01], "a message has bytes behind its end");
        check(&[], "a message is cut short");
        check(&[0x9f], "a message is cut short");
    }

    #[test]
    fn depth_is_limited_however_it_is_made() {
        for head in [0x81_u8, 0x9f, 0xc1] {
            let mut deep = vec![head; 100_000];
            deep.push(0);
            check(&deep, "a message is nested too deep");
        }
        let mut allowed = vec![0x81; CBOR_DEPTH_MAX];
        allowed.push(0);
        check(&allowed, "fine");
    }

    #[test]
    fn noise_never_panics_and_the_decoder_agrees() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let noise: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            let decoded: Result<serde_cbor::Value, _> = serde_cbor::from_slice(&noise);
            if decoded.is_ok() {
                check(&noise, "fine");
            }
        }
    }
}
