//! Revocation lists that come from elsewhere: read, verified, compared with what we have. Pure.
//!
//! Room: `link`.  May use: `crypto`, `peer`.  Used by: `store`, `ca`.
//!
//! Invariants
//! - A list counts only when one of our authorities has signed it (RFC 5280 §6.3.3 (f) and (g)).
//! - The number of an authority's list never goes back, so an old list cannot let a revoked host in again.
//!
//! Absent on purpose: the end of a list's time. An old list is better than none, see `tls`.

use std::collections::HashSet;

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use crate::crypto;
use crate::peer::bare_serial;

/// Why a revocation list is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// Not a list, or one without a number.
    #[error("it is not a revocation list with a number")]
    Unreadable,
    /// None of our authorities has signed it.
    #[error("the revocation list is not signed by our authority")]
    NotSigned,
    /// We have a later one of the same authority.
    #[error("the revocation list is older than the one we have")]
    Older,
}

/// What a list says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List {
    /// Name of its authority, DER.
    issuer: Vec<u8>,
    /// Its number, big-endian, without leading zeros.
    number: Vec<u8>,
    serials: HashSet<Vec<u8>>,
}

/// Serials that a list names; none when it cannot be read.
pub(crate) fn serials(crl: &[u8]) -> HashSet<Vec<u8>> {
    parse(crl).map(|list| list.serials).unwrap_or_default()
}

/// The number of a list, big-endian, when it can be read and has one of at most eight bytes.
pub(crate) fn number(crl: &[u8]) -> Option<u64> {
    let number = parse(crl)?.number;
    (number.len() <= 8).then(|| number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Whether the offered lists, all of them good, say more than the held ones.
///
/// # Errors
/// [`ListRefused`] when one of them is not good; nothing of the offer may be used then.
pub(crate) fn judge(
    roots: &[CertificateDer<'_>],
    held: &[CertificateRevocationListDer<'_>],
    offered: &[CertificateRevocationListDer<'_>],
) -> Result<bool, ListRefused> {
    let good = |crl: &CertificateRevocationListDer<'_>| {
        let list = parse(crl).ok_or(ListRefused::Unreadable)?;
        let is_signed = roots.iter().any(|root| is_signed_by(crl, root));
        if is_signed { Ok(list) } else { Err(ListRefused::NotSigned) }
    };
    let offered = offered.iter().map(good).collect::<Result<Vec<List>, _>>()?;
    if offered.is_empty() {
        return Ok(false);
    }
    // The list of an authority that was retired has no successor and needs none.
    let is_ours =
        |crl: &&CertificateRevocationListDer<'_>| roots.iter().any(|root| is_signed_by(crl, root));
    let held: Vec<List> = held.iter().filter(is_ours).filter_map(|crl| parse(crl)).collect();
    // A number is compared by its length first: there are no leading zeros.
    let rank = |list: &List| (list.number.len(), list.number.clone());
    for known in &held {
        let successor = offered.iter().find(|list| list.issuer == known.issuer);
        if successor.is_none_or(|list| rank(list) < rank(known)) {
            return Err(ListRefused::Older);
        }
    }
    Ok(offered.iter().any(|list| !held.contains(list)))
}

fn parse(crl: &[u8]) -> Option<List> {
    let (_, list) = CertificateRevocationList::from_der(crl).ok()?;
    let serials = list.iter_revoked_certificates();
    Some(List {
        issuer: list.issuer().as_raw().to_vec(),
        number: list.crl_number()?.to_bytes_be(),
        serials: serials.map(|one| bare_serial(one.raw_serial()).to_vec()).collect(),
    })
}

/// Whether `root` issued and signed the list.
fn is_signed_by(crl: &[u8], root: &[u8]) -> bool {
    let (Ok((_, list)), Ok((_, root))) =
        (CertificateRevocationList::from_der(crl), X509Certificate::from_der(root))
    else {
        return false;
    };
    let key = &root.public_key().subject_public_key.data;
    let signed = list.tbs_cert_list.as_ref();
    list.issuer().as_raw() == root.subject().as_raw()
        && crypto::verifies(key, signed, &list.signature_value.data)
}
