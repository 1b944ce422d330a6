//! Messages as CBOR behind their length; how deep and how long one may be is `muster_proto::cbor`'s.
//!
//! Room: `link`.  Used by: `control`, `enrol`.

use muster_proto::cbor;
use muster_proto::errors::chain;
use muster_proto::limits::CONTROL_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::LinkError;

/// Decodes one document.
///
/// # Errors
/// [`LinkError::Protocol`].
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, LinkError> {
    let parsed = cbor::parse(bytes, CONTROL_BYTES_MAX);
    parsed.map_err(|error| LinkError::protocol(format!("a message is refused: {}", chain(&error))))
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
