//! What one aggregator asks of another, as bytes.
//!
//! Question: CBOR of [`Errand`], at most `ASK_BYTES_MAX`. The answer to a page is what
//! [`crate::api::answer_peer`] gives, to a digest what [`super::exchange::answer_digest`] gives; to the
//! others CBOR of [`Renewed`], [`Revocations`] or [`RootsAnswer`].

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Errand {
    /// What do you know about this? CBOR of a [`crate::api::Question`].
    Page(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Which hosts do you hear? CBOR of a [`muster_proto::digest::DigestAsk`].
    Digest(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Please sign a new key for the holder of a certificate.
    Renew {
        /// Serial number of the certificate that is to be renewed.
        #[serde(with = "serde_bytes")]
        serial: Vec<u8>,
        /// PKCS#10 request, DER.
        #[serde(with = "serde_bytes")]
        csr: Vec<u8>,
    },
    /// Has the revocation list changed?
    Revocations {
        /// SHA-256 of the list that the asker has; of nothing, when it has none.
        #[serde(with = "serde_bytes")]
        known: Vec<u8>,
    },
    /// Do you go by a newer list of certificate authorities?
    Roots {
        /// Number of the list that the asker has; 0 when it has none.
        number: u64,
    },
}

/// Answer to [`Errand::Roots`]: the signed list; nothing when it is no newer.
pub type RootsAnswer = Option<ByteBuf>;

/// Answer to [`Errand::Renew`]: the chain, leaf first, DER, or why not.
pub type Renewed = Result<Vec<ByteBuf>, String>;

/// Answer to [`Errand::Revocations`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revocations {
    /// There is no authority here.
    NotHere,
    /// The list that you have is the last one.
    Same,
    /// This is the list now, PEM.
    List(ByteBuf),
}
