//! The one cryptographic provider: hashes, random bytes, cipher suites. aws-lc-rs behind rustls.
//!
//! Room: `link`.  Used by: every file here that hashes or draws random bytes.
//! Absent on purpose: a process-wide default provider. Each configuration names its own.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::tls13::OkmBlock;

/// Random bytes could not be drawn: the kernel or the library failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Draws the provider's first random bytes, which costs about 22 ms once in a process.
///
/// Call it at start-up, on a thread that nobody waits for; otherwise the first handshake pays.
///
/// # Errors
/// [`NoRandom`].
///
/// # Source
/// aws-lc-rs #1140, #899: CPU jitter entropy.
pub fn warm() -> Result<(), NoRandom> {
    random::<1>().map(|_| ())
}

/// `N` random bytes from the provider.
///
/// # Errors
/// [`NoRandom`].
pub fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// SHA-256 of `bytes` (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    if let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13() {
        digest.copy_from_slice(suite.common.hash_provider.hash(bytes).as_ref());
    }
    digest
}

/// HMAC-SHA-256 of `bytes` under `key` (RFC 2104).
pub(crate) fn hmac_sha256(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let mut tag = [0; 32];
    if let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13() {
        tag.copy_from_slice(suite.hkdf_provider.hmac_sign(&OkmBlock::new(key), bytes).as_ref());
    }
    tag
}

/// Whether `signature` over `message` is by `key`, the bits of a public key. An algorithm is never taken from what
/// is verified: any of the provider's that verifies will do.
pub(crate) fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let provider = provider();
    let mut known = provider.signature_verification_algorithms.all.iter();
    known.any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes of hexadecimal digits, or `None` when the text is something else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_the_published_examples() {
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // RFC 4231, test case 2, with the key padded to 32 bytes as HMAC itself does.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            hex(&hmac_sha256(&key, b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn hex_goes_there_and_back_and_refuses_the_rest() {
        assert_eq!(unhex("00ff1a"), Some(vec![0, 255, 26]));
        assert_eq!(hex(&[0, 255, 26]), "00ff1a");
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("+1"), None);
        assert_eq!(unhex("zz"), None);
    }
}
