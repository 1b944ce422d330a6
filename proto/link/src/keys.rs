//! The secrets of an endpoint that must survive a restart, so that peers notice the restart.
//!
//! Room: `link`.  Used by: `tuning`.
//! A restarted process knows no connection. When a packet of an old one comes in, it can say "reset"
//! only if it derives the same reset tokens (`reset`) and still accepts the old connection ids
//! (`cid`); otherwise the packet is dropped in silence and the peer waits for its idle timeout.
//!
//! The file holds 40 bytes: `reset [u8; 32] | cid u64 le`, mode 0600, written once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;

use crate::crypto::{self, NoRandom};
use crate::files;
use crate::steer::SteeredIds;

/// Reset key and connection id key of an endpoint.
pub struct EndpointKeys {
    reset: [u8; 32],
    cid: u64,
}

/// The keys cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file is there and cannot be read, or cannot be written.
    #[error("cannot use the endpoint keys {path}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one of ours.
    #[error("the endpoint keys {path} have {len} bytes instead of 40; remove the file to make new ones", path = path.display())]
    Length {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        len: usize,
    },
    /// No random bytes for new keys.
    #[error("cannot make endpoint keys")]
    Random(#[from] NoRandom),
}

impl EndpointKeys {
    /// Reads the keys at `path`, or makes them.
    ///
    /// # Errors
    /// [`KeysError`]. A missing file is not an error.
    pub fn open(path: &Path) -> Result<EndpointKeys, KeysError> {
        let file = |source| KeysError::File { path: path.to_owned(), source };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let fresh = crypto::random::<40>()?.to_vec();
                files::write_whole(path, &fresh, files::SECRET).map_err(file)?;
                fresh
            }
            Err(error) => return Err(file(error)),
        };
        let length = KeysError::Length { path: path.to_owned(), len: bytes.len() };
        let (reset, cid) = bytes.split_first_chunk().ok_or(length)?;
        let cid: [u8; 8] = cid
            .try_into()
            .map_err(|_| KeysError::Length { path: path.to_owned(), len: bytes.len() })?;
        Ok(EndpointKeys { reset: *reset, cid: u64::from_le_bytes(cid) })
    }

    /// For the endpoint at `door`, or for the only one.
    pub(crate) fn endpoint(&self, door: Option<u8>) -> EndpointConfig {
        let cid = self.cid;
        let mut endpoint = EndpointConfig::new(Arc::new(ResetKey(self.reset)));
        endpoint.cid_generator(move || {
            let keyed = HashedConnectionIdGenerator::from_key(cid);
            match door {
                Some(door) => Box::new(SteeredIds { door, keyed }),
                None => Box::new(keyed),
            }
        });
        endpoint
    }
}

impl std::fmt::Debug for EndpointKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointKeys(secret)")
    }
}

struct ResetKey([u8; 32]);

impl quinn::crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(&crypto::hmac_sha256(&self.0, data));
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let expected = crypto::hmac_sha256(&self.0, data);
        let differing = expected.iter().zip(signature).fold(0, |seen, (a, b)| seen | (a ^ b));
        if signature.len() == expected.len() && differing == 0 {
            return Ok(());
        }
        Err(quinn::crypto::CryptoError)
    }
}
