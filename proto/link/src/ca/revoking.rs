//! Revoking certificates and publishing the list of them.
//!
//! Room: `link`.  Used by: `ca`.

use std::io;
use std::path::Path;
use std::time::Duration;

use muster_proto::clock::Utc;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};

use super::sign::date;
use super::{BACKDATE, Ca, CaError, Issued, Revoked, Which, file};
use crate::identity::{pem_block, read_crls};
use crate::peer::bare_serial;
use crate::{crypto, files, revocations};

/// A revocation list says that it is good for this long. Readers use it longer, see `tls`.
const CRL_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

impl Ca {
    /// The revocation list as it stands, PEM; empty before the first revocation.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn crl(&self) -> Result<Vec<u8>, CaError> {
        let path = self.dir.join("ca.crl");
        match std::fs::read(&path) {
            Ok(pem) => Ok(pem),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(file(&path, source)),
        }
    }

    /// Revokes certificates: adds them to the list and writes a new `ca.crl`.
    ///
    /// Out: what is newly revoked, for [`crate::IdentityStore::revoke`].
    ///
    /// # Errors
    /// [`CaError::Unknown`], [`CaError::File`], [`CaError::Sign`].
    pub fn revoke(&self, which: Which<'_>, now: Utc) -> Result<Vec<Revoked>, CaError> {
        let _lock = self.lock()?;
        let issued = self.issued()?;
        let mut revoked = self.revoked()?;
        let (what, named): (String, Vec<&Issued>) = match which {
            Which::Name(name) => {
                let of = |one: &&Issued| one.name == name && one.expires_at >= now;
                (name.to_owned(), issued.iter().filter(of).collect())
            }
            Which::Serial(serial) => {
                let serial = bare_serial(serial);
                let of = |one: &&Issued| one.serial == serial;
                (crypto::hex(serial), issued.iter().filter(of).collect())
            }
        };
        if named.is_empty() {
            return Err(CaError::Unknown { what });
        }
        let fresh: Vec<Revoked> = named
            .into_iter()
            .filter(|one| revoked.iter().all(|old| old.serial != one.serial))
            .map(|one| Revoked {
                serial: one.serial.clone(),
                revoked_at: now,
                name: one.name.clone(),
            })
            .collect();
        let lines: String = fresh.iter().map(Revoked::line).collect();
        self.append("revoked.list", &lines)?;
        revoked.extend(fresh.iter().cloned());
        // Signed by who issues now, whatever step was taken since we were opened.
        Ca::read_dir(&self.dir)?.write_crl(&revoked, now)?;
        Ok(fresh)
    }

    /// Copies `ca.crl` into an identity directory, and `ca.crt` as long as there is no list of authorities; a
    /// reload then uses them.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn publish(&self, identity: &Path) -> Result<(), CaError> {
        let names: &[&str] =
            if self.roots()?.is_empty() { &["ca.crt", "ca.crl"] } else { &["ca.crl"] };
        for name in names {
            let (source, target) = (self.dir.join(name), identity.join(name));
            match std::fs::read(&source) {
                Ok(bytes) => files::write_whole(&target, &bytes, files::PUBLIC)
                    .map_err(|error| file(&target, error))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(file(&source, error)),
            }
        }
        Ok(())
    }

    /// The list as it stands, signed by those who issue and issued; nothing before the first revocation.
    pub(super) fn write_crl_again(&self, now: Utc) -> Result<(), CaError> {
        match self.revoked()? {
            revoked if revoked.is_empty() => Ok(()),
            revoked => self.write_crl(&revoked, now),
        }
    }

    fn write_crl(&self, revoked: &[Revoked], now: Utc) -> Result<(), CaError> {
        let path = self.dir.join("ca.crl");
        // Never the same twice and never back, whatever the clock does: readers refuse an older list.
        let number = now.0.max(0).unsigned_abs().max(self.crl_number()?.saturating_add(1));
        let entry = |one: &Revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&one.serial),
            revocation_time: date(one.revoked_at, Duration::ZERO, true),
            reason_code: Some(RevocationReason::CessationOfOperation),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date(now, BACKDATE, false),
            next_update: date(now, CRL_TTL, true),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let mut pem = String::new();
        let others = self.crl_issuers()?;
        for issuer in std::iter::once(&self.issuer).chain(&others) {
            let crl = params.signed_by(issuer).map_err(CaError::Sign)?;
            pem.push_str(&pem_block("X509 CRL", crl.der()));
        }
        files::write_whole(&path, pem.as_bytes(), files::PUBLIC)
            .map_err(|source| file(&path, source))
    }

    /// Number of the list as it stands; 0 when there is none.
    fn crl_number(&self) -> Result<u64, CaError> {
        let lists = read_crls(&self.dir, &self.crl()?).map_err(CaError::Open)?;
        Ok(lists.iter().filter_map(|crl| revocations::number(crl)).max().unwrap_or(0))
    }
}
