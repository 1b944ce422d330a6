//! What goes into a certificate, and what is taken from a request: its public key, nothing else.
//!
//! Room: `link`.  Used by: `ca`.

use std::time::Duration;

use muster_proto::clock::Utc;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use rustls_pki_types::DnsName;
use time::OffsetDateTime;

use super::CaError;
use crate::crypto::{self, NoRandom};
use crate::peer::{Peer, Role};

/// A request for a certificate. Bytes. Ours have 250.
const CSR_BYTES_MAX: usize = 16 * 1024;

/// Reads a request and checks that its asker holds the private key of it.
pub(super) fn parse_request(csr: &[u8]) -> Result<CertificateSigningRequestParams, CaError> {
    if csr.len() > CSR_BYTES_MAX {
        return Err(CaError::Request("it is too long"));
    }
    let request = CertificateSigningRequestParams::from_der(&csr.into())
        .map_err(|_| CaError::Request("it is not a request signed by its own key"))?;
    // An uncompressed point on P-256: one byte and two coordinates.
    let point = rcgen::PublicKeyData::der_bytes(&request.public_key);
    if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 || point.len() != 65 {
        return Err(CaError::Request("its key is not on the curve P-256"));
    }
    Ok(request)
}

/// What a certificate of this name and role says. Times and serial are still to be filled in.
pub(super) fn leaf_params(name: &str, role: Role) -> Result<CertificateParams, CaError> {
    let bad = || CaError::Name { name: name.to_owned() };
    let plain = name.bytes().all(|byte| !byte.is_ascii_uppercase() && byte != b'*');
    if !plain || DnsName::try_from(name).is_err() {
        return Err(bad());
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![
        SanType::DnsName(name.try_into().map_err(|_| bad())?),
        SanType::URI(Peer::uri(role, name).as_str().try_into().map_err(|_| bad())?),
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if role == Role::Aggregator {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 128 random bits, positive in DER, never zero in front.
pub(super) fn draw_serial() -> Result<[u8; 16], NoRandom> {
    let mut serial = crypto::random::<16>()?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// A moment `span` after or before `at`, in whole seconds, within what X.509 can say.
pub(super) fn date(at: Utc, span: Duration, after: bool) -> OffsetDateTime {
    let span = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let base = at.0.div_euclid(1_000_000);
    let moved = if after { base.saturating_add(span) } else { base.saturating_sub(span) };
    OffsetDateTime::from_unix_timestamp(moved).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
