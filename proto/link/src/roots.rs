//! The list of certificate authorities that an authority signs: how a fleet learns of a new one. Pure.
//!
//! Room: `link`.  May use: `crypto`, `proto`.  Used by: `identity`, `store`, `ca`.
//!
//! ```text
//! list  := CBOR { "body": bytes, "signatures": [bytes] }            at most ROOTS_BYTES_MAX
//! body  := CBOR { "version": 1, "number", "roots": [bytes], "issuer", "cross": [bytes],
//!                 "retired": [bytes], "spread_s" }
//! ```
//! `roots` are the self-signed certificates to trust, DER; `issuer` says which of them issues now, by its
//! place. `cross` are certificates of a newer root's key by an older root's key (NewWithOld of RFC 4210 §4.4):
//! they are shown behind one's own certificate, so that who knows the older root only accepts it too.
//! `retired` are roots that are not trusted any more, to tell their certificates from a stranger's. `spread_s`
//! is the time over which hosts renew when the issuer has changed.
//!
//! A signature is by the key of a root, over a purpose and the body. The purpose keeps it from ever being the
//! signature of anything else, because a certificate begins with 0x30.
//!
//! Invariants
//! - A list counts only when a root that is trusted already has signed it: a host's key, or a root out of
//!   nowhere, moves nobody.
//! - Numbers never go back: an old list cannot bring a retired root back.
//! - Every root is a certificate authority that has signed itself.
//!
//! Absent on purpose: the older root's key certified by the newer one (OldWithNew). Whoever has it could make
//! certificates of the retired root good again for as long as it is valid.

use muster_proto::cbor::{self, CborError};
use muster_proto::limits::ROOTS_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::crypto;

/// What the signature is for; stands before the body when it is signed.
const PURPOSE: &[u8] = b"muster-roots/1\0";
/// Version of the body. Raised when a field changes its meaning.
const VERSION: u16 = 1;
/// Roots that are trusted at a time. Two during a rollover.
const ROOTS_MAX: usize = 4;
/// Certificates of a newer root's key by an older one.
pub(crate) const CROSS_MAX: usize = 2;
/// Retired roots that are remembered. A fleet has one in years.
pub(crate) const RETIRED_MAX: usize = 4;
/// Signatures of one list: one by each key that the authority has.
const SIGNATURES_MAX: usize = 2;

/// Which certificate authorities a fleet goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootsList {
    /// Grows with every list of the same fleet; the time it was made, in microseconds since 1970.
    pub number: u64,
    /// Whom to trust, DER. At least one.
    pub roots: Vec<Vec<u8>>,
    /// Place in `roots` of the one that issues.
    pub issuer: usize,
    /// To be shown behind one's own certificate, DER.
    pub cross: Vec<Vec<u8>>,
    /// Whom not to trust any more, DER; the oldest first.
    pub retired: Vec<Vec<u8>>,
    /// Hosts whose certificate is by another root renew within this time. Seconds.
    pub spread_s: u32,
}

/// Why a list of authorities is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RootsRefused {
    /// Not a list.
    #[error("the list of authorities cannot be read")]
    Unreadable(#[source] CborError),
    /// Of a later version of this program.
    #[error("the list of authorities is of version {0}, this program knows version {VERSION}")]
    Version(u16),
    /// It breaks a rule of its format.
    #[error("the list of authorities cannot be right: {0}")]
    Wrong(&'static str),
    /// None of the authorities that we trust has signed it.
    #[error("the list of authorities is not signed by one that we trust")]
    NotSigned,
    /// We have a later one.
    #[error("the list of authorities is older than the one we have")]
    Older,
}

/// Why a list of authorities cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key fails.
    #[error("the authority's key does not sign")]
    Sign(#[source] rcgen::Error),
    /// It would break a limit.
    #[error("the list of authorities cannot be written")]
    Write(#[source] CborError),
}

#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    signatures: Vec<ByteBuf>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    version: u16,
    number: u64,
    roots: Vec<ByteBuf>,
    issuer: u64,
    cross: Vec<ByteBuf>,
    retired: Vec<ByteBuf>,
    spread_s: u32,
}

impl RootsList {
    /// Reads a list. Does not say whether it may be trusted.
    ///
    /// # Errors
    /// [`RootsRefused`], but neither `NotSigned` nor `Older`.
    pub fn parse(list: &[u8]) -> Result<RootsList, RootsRefused> {
        Ok(open(list)?.1)
    }

    /// The root that issues, DER.
    pub fn issuer(&self) -> &[u8] {
        self.roots.get(self.issuer).map(Vec::as_slice).unwrap_or_default()
    }

    /// Writes the list, signed with each of the keys.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn seal(&self, keys: &[&rcgen::KeyPair]) -> Result<Vec<u8>, SealError> {
        let bufs = |ders: &[Vec<u8>]| ders.iter().cloned().map(ByteBuf::from).collect();
        let body = Body {
            version: VERSION,
            number: self.number,
            roots: bufs(&self.roots),
            issuer: self.issuer as u64,
            cross: bufs(&self.cross),
            retired: bufs(&self.retired),
            spread_s: self.spread_s,
        };
        let body = cbor::encode(&body, ROOTS_BYTES_MAX).map_err(SealError::Write)?;
        let message = [PURPOSE, &body].concat();
        let sign = |key: &&rcgen::KeyPair| rcgen::SigningKey::sign(*key, &message);
        let signatures = keys.iter().map(sign).map(|one| one.map(ByteBuf::from));
        let signatures = signatures.collect::<Result<_, _>>().map_err(SealError::Sign)?;
        cbor::encode(&Signed { body, signatures }, ROOTS_BYTES_MAX).map_err(SealError::Write)
    }
}

/// Whether an offered list is to be taken by who trusts `trusted` and took number `held` last; `None` when it is
/// that same list.
///
/// # Errors
/// [`RootsRefused`].
pub(crate) fn judge(
    trusted: &[impl AsRef<[u8]>],
    held: u64,
    offered: &[u8],
) -> Result<Option<RootsList>, RootsRefused> {
    let (signed, list) = open(offered)?;
    let message = [PURPOSE, &signed.body].concat();
    let by_one = |root: &[u8]| {
        let Ok((_, root)) = X509Certificate::from_der(root) else { return false };
        let key = &root.public_key().subject_public_key.data;
        signed.signatures.iter().any(|one| crypto::verifies(key, &message, one))
    };
    if !trusted.iter().any(|root| by_one(root.as_ref())) {
        return Err(RootsRefused::NotSigned);
    }
    match list.number.cmp(&held) {
        std::cmp::Ordering::Less => Err(RootsRefused::Older),
        std::cmp::Ordering::Equal => Ok(None),
        std::cmp::Ordering::Greater => Ok(Some(list)),
    }
}

fn open(list: &[u8]) -> Result<(Signed, RootsList), RootsRefused> {
    let signed: Signed = cbor::parse(list, ROOTS_BYTES_MAX).map_err(RootsRefused::Unreadable)?;
    if signed.signatures.len() > SIGNATURES_MAX {
        return Err(RootsRefused::Wrong("it has too many signatures"));
    }
    let body: Body =
        cbor::parse(&signed.body, ROOTS_BYTES_MAX).map_err(RootsRefused::Unreadable)?;
    if body.version != VERSION {
        return Err(RootsRefused::Version(body.version));
    }
    let plain = |bufs: Vec<ByteBuf>| bufs.into_iter().map(ByteBuf::into_vec).collect::<Vec<_>>();
    let list = RootsList {
        number: body.number,
        roots: plain(body.roots),
        issuer: usize::try_from(body.issuer).unwrap_or(usize::MAX),
        cross: plain(body.cross),
        retired: plain(body.retired),
        spread_s: body.spread_s,
    };
    check(&list)?;
    Ok((signed, list))
}

fn check(list: &RootsList) -> Result<(), RootsRefused> {
    let wrong = |what| Err(RootsRefused::Wrong(what));
    if list.roots.len() > ROOTS_MAX || list.issuer >= list.roots.len() {
        return wrong("it has too many roots, or none that issues");
    }
    if list.cross.len() > CROSS_MAX || list.retired.len() > RETIRED_MAX {
        return wrong("it has too many certificates");
    }
    let mut keys = Vec::new();
    for root in &list.roots {
        match X509Certificate::from_der(root) {
            Ok((_, parsed)) if is_ca(&parsed) && is_issued_by(root, root) => {
                keys.push(parsed.public_key().raw.to_vec());
            }
            _ => return wrong("a root is not a certificate authority that has signed itself"),
        }
    }
    for cross in &list.cross {
        match X509Certificate::from_der(cross) {
            Ok((_, parsed)) if is_ca(&parsed) => {
                if !keys.iter().any(|key| key == parsed.public_key().raw) {
                    return wrong("it has a certificate of a key that is no root's");
                }
            }
            _ => return wrong("it has a certificate that is not an authority's"),
        }
    }
    match list.retired.iter().all(|der| X509Certificate::from_der(der).is_ok()) {
        true => Ok(()),
        false => wrong("a retired root cannot be read"),
    }
}

/// RFC 5280 §4.2.1.9 and §4.2.1.3.
fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let signs = certificate.key_usage().ok().flatten();
    certificate.is_ca() && signs.is_some_and(|usage| usage.value.key_cert_sign())
}

/// Whether `root` is named as the issuer of a certificate and has signed it, both DER.
pub(crate) fn is_issued_by(certificate: &[u8], root: &[u8]) -> bool {
    let (Ok((_, certificate)), Ok((_, root))) =
        (X509Certificate::from_der(certificate), X509Certificate::from_der(root))
    else {
        return false;
    };
    let key = &root.public_key().subject_public_key.data;
    let signed = certificate.tbs_certificate.as_ref();
    certificate.issuer().as_raw() == root.subject().as_raw()
        && crypto::verifies(key, signed, &certificate.signature_value.data)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The signatures of one list over the body of another.
    pub(crate) fn with_body_of(signatures: &[u8], body: &[u8]) -> Vec<u8> {
        let (signed, _) = open(signatures).unwrap();
        let (other, _) = open(body).unwrap();
        let mixed = Signed { body: other.body, signatures: signed.signatures };
        cbor::encode(&mixed, ROOTS_BYTES_MAX).unwrap()
    }
}
