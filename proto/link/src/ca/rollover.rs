//! From one authority to the next, in three steps that a person takes: announce, switch, retire.
//!
//! Room: `link`.  May use: `roots`.  Used by: `ca`.
//!
//! ```text
//! steady ── announce ──> announced ── switch ──> switched ── retire ──> steady
//!            a next key,             the next one        the old one is
//!            trusted                 issues              trusted no more
//! ```
//! ```text
//! next.key, next.crt   while announced: who issues after the switch
//! old.key, old.crt     while switched: who issued before it; signs lists, nothing else
//! old.issued           while switched: how many lines of issued.list are its
//! ca.roots             the list of authorities as it stands, see `crate::roots`
//! ```
//! The files say which step was taken last; the list follows them. A step that was cut off in the middle is
//! finished when the authority is opened, or by taking it again. Each step reads the files anew under the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use muster_proto::clock::Utc;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::sign::{date, draw_serial};
use super::{BACKDATE, CA_TTL, Ca, CaError, file};
use crate::crypto;
use crate::files;
use crate::identity::{certificates, pem_of};
use crate::roots::{RETIRED_MAX, RootsList};

const LIST: &str = "ca.roots";
const OLD_ISSUED: &str = "old.issued";

/// Which step was taken last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// One authority.
    Steady,
    /// A second one is trusted and does not issue yet.
    Announced,
    /// The second one issues, the first is trusted still.
    Switched,
}

impl Stage {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Steady => "steady",
            Stage::Announced => "announced",
            Stage::Switched => "switched",
        }
    }
}

/// The authority that does not issue: the next one, or the old one.
pub(super) struct Second {
    stage: Stage,
    key: KeyPair,
    certificate: Vec<u8>,
}

/// Makes a self-signed authority. Its name has a part of its key in it, so that no two of a fleet are called alike.
pub(super) fn make_root(
    organisation: &str,
    key: &KeyPair,
    now: Utc,
) -> Result<(CertificateParams, Vec<u8>), CaError> {
    let mark = crypto::hex(&crypto::sha256(rcgen::PublicKeyData::der_bytes(key))[..4]);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organisation);
    params.distinguished_name.push(DnType::CommonName, format!("{organisation} Muster CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from_slice(&draw_serial()?));
    (params.not_before, params.not_after) = (date(now, BACKDATE, false), date(now, CA_TTL, true));
    let certificate = params.self_signed(key).map_err(CaError::Sign)?.der().to_vec();
    Ok((params, certificate))
}

impl Ca {
    /// Which step was taken last.
    pub fn stage(&self) -> Stage {
        self.second.as_ref().map_or(Stage::Steady, |second| second.stage)
    }

    /// The certificate of the authority that does not issue, DER: the next or the old one.
    pub fn second(&self) -> Option<&[u8]> {
        self.second.as_ref().map(|second| second.certificate.as_slice())
    }

    /// The list of authorities as it is signed; empty before the first announcement.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn roots(&self) -> Result<Vec<u8>, CaError> {
        let path = self.dir.join(LIST);
        match std::fs::read(&path) {
            Ok(list) => Ok(list),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(file(&path, source)),
        }
    }

    /// Makes the next authority and lists it: from now on everybody comes to trust it.
    ///
    /// # Errors
    /// [`CaError::Step`] when one is announced already, [`CaError::File`], [`CaError::Sign`].
    pub fn announce(&mut self, spread: Duration, now: Utc) -> Result<(), CaError> {
        let _lock = self.lock()?;
        *self = Ca::read_dir(&self.dir)?;
        self.expect_stage(Stage::Steady, "announce")?;
        let key = KeyPair::generate().map_err(CaError::Sign)?;
        let (_, certificate) = make_root(&organisation(&self.certificate), &key, now)?;
        self.write("next.key", key.serialize_pem().as_bytes(), files::SECRET)?;
        self.write(
            "next.crt",
            pem_of(std::slice::from_ref(&certificate)).as_bytes(),
            files::PUBLIC,
        )?;
        self.second = Some(Second { stage: Stage::Announced, key, certificate });
        self.write_roots(spread, now)
    }

    /// Lets the next authority issue. `spread`: hosts renew their certificates over this time.
    ///
    /// # Errors
    /// [`CaError::Step`] when none is announced, [`CaError::File`], [`CaError::Sign`].
    pub fn switch(&mut self, spread: Duration, now: Utc) -> Result<(), CaError> {
        let _lock = self.lock()?;
        *self = Ca::read_dir(&self.dir)?;
        self.expect_stage(Stage::Announced, "switch")?;
        let lines = self.issued()?.len().to_string();
        self.write(OLD_ISSUED, lines.as_bytes(), files::PUBLIC)?;
        for (from, to, mode) in
            [("ca.key", "old.key", files::SECRET), ("ca.crt", "old.crt", files::PUBLIC)]
        {
            let path = self.dir.join(from);
            let bytes = std::fs::read(&path).map_err(|source| file(&path, source))?;
            self.write(to, &bytes, mode)?;
        }
        self.rename("next.key", "ca.key")?;
        self.rename("next.crt", "ca.crt")?;
        *self = Ca::read_dir(&self.dir)?;
        self.write_roots(spread, now)?;
        self.write_crl_again(now)
    }

    /// Trusts the old authority no more. `force`: also while hosts have certificates of it.
    ///
    /// # Errors
    /// [`CaError::Step`] before the switch, [`CaError::InUse`], [`CaError::File`], [`CaError::Sign`].
    pub fn retire(&mut self, force: bool, now: Utc) -> Result<(), CaError> {
        let _lock = self.lock()?;
        *self = Ca::read_dir(&self.dir)?;
        self.expect_stage(Stage::Switched, "retire")?;
        let holders = self.holders_of_old(now)?;
        if !force && !holders.is_empty() {
            return Err(CaError::InUse { holders });
        }
        // The bridge stays in the list: a host that knows the old authority only still hears why it is refused.
        let retired = self.second().map(<[u8]>::to_vec);
        let mut list = self.list(now, Duration::ZERO, retired.as_deref())?;
        list.roots.truncate(1);
        let signed = list.seal(&self.keys())?;
        self.second = None;
        self.write_crl_again(now)?;
        self.write(LIST, &signed, files::PUBLIC)?;
        self.forget_old()
    }

    /// Names whose newest certificate is by the old authority and still good.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn holders_of_old(&self, now: Utc) -> Result<Vec<String>, CaError> {
        if self.stage() != Stage::Switched {
            return Ok(Vec::new());
        }
        // Counted, not dated: clocks are set back. Without a number that can be read all are taken for the old one's.
        let lines = std::fs::read_to_string(self.dir.join(OLD_ISSUED)).unwrap_or_default();
        let of_old = lines.trim().parse().unwrap_or(usize::MAX);
        let revoked: BTreeSet<_> = self.revoked()?.into_iter().map(|one| one.serial).collect();
        let issued = self.issued()?;
        let mut newest: BTreeMap<(&str, &str), bool> = BTreeMap::new();
        for (line, one) in issued.iter().enumerate() {
            if one.expires_at >= now && !revoked.contains(&one.serial) {
                newest.insert((one.role.name(), &one.name), line < of_old);
            }
        }
        let old = newest.into_iter().filter(|(_, is_of_old)| *is_of_old);
        Ok(old.map(|((_, name), _)| name.to_owned()).collect())
    }

    fn expect_stage(&self, wanted: Stage, step: &'static str) -> Result<(), CaError> {
        match self.stage() {
            found if found == wanted => Ok(()),
            found => Err(CaError::Step { step, found: found.name(), wanted: wanted.name() }),
        }
    }

    /// The second authority in `dir`, after a step that was cut off has been finished.
    pub(super) fn open_second(dir: &std::path::Path) -> Result<Option<Second>, CaError> {
        let path = |name: &str| dir.join(name);
        // The key is renamed first: a certificate without it follows.
        if path("next.crt").exists() && !path("next.key").exists() {
            let (from, to) = (path("next.crt"), path("ca.crt"));
            std::fs::rename(&from, &to).map_err(|source| file(&from, source))?;
        }
        for (name, stage) in [("old", Stage::Switched), ("next", Stage::Announced)] {
            let (key_path, crt) = (path(&format!("{name}.key")), path(&format!("{name}.crt")));
            if !key_path.exists() || !crt.exists() {
                continue;
            }
            // The copies of a switch that was cut off before anything changed.
            if name == "old" && path("next.key").exists() {
                continue;
            }
            let pem =
                std::fs::read_to_string(&key_path).map_err(|source| file(&key_path, source))?;
            let key = KeyPair::from_pem(&pem).map_err(CaError::Authority)?;
            let found = certificates(&crt).map_err(CaError::Open)?;
            let certificate = found.first().map(|der| der.to_vec()).unwrap_or_default();
            return Ok(Some(Second { stage, key, certificate }));
        }
        Ok(None)
    }

    /// Finishes a retirement that was cut off after its list was written.
    pub(super) fn finish_retirement(&mut self) -> Result<(), CaError> {
        let Ok(list) = RootsList::parse(&self.roots()?) else { return Ok(()) };
        let is_retired = self.second().is_some_and(|der| list.retired.iter().any(|old| old == der));
        if is_retired {
            self.second = None;
            self.forget_old()?;
        }
        Ok(())
    }

    fn forget_old(&self) -> Result<(), CaError> {
        for name in ["old.crt", "old.key", OLD_ISSUED] {
            let path = self.dir.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file(&path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Signs a list of what the files say, with every key there is.
    fn write_roots(&self, spread: Duration, now: Utc) -> Result<(), CaError> {
        let signed = self.list(now, spread, None)?.seal(&self.keys())?;
        self.write(LIST, &signed, files::PUBLIC)
    }

    /// Every key there is.
    fn keys(&self) -> Vec<&KeyPair> {
        let second = self.second.as_ref().map(|second| &second.key);
        std::iter::once(self.issuer.key()).chain(second).collect()
    }

    /// Writes the list anew when it does not say what the files say: a step was cut off before it.
    ///
    /// # Errors
    /// [`CaError::File`], [`CaError::Sign`].
    pub fn settle(&mut self, spread: Duration, now: Utc) -> Result<(), CaError> {
        let _lock = self.lock()?;
        *self = Ca::read_dir(&self.dir)?;
        let signed = self.roots()?;
        if signed.is_empty() && self.second.is_none() {
            return Ok(());
        }
        let mut wanted = vec![self.certificate.as_slice()];
        wanted.extend(self.second());
        let is_so = RootsList::parse(&signed)
            .is_ok_and(|list| list.issuer() == self.certificate && list.roots.iter().eq(&wanted));
        if is_so {
            return Ok(());
        }
        self.write_roots(spread, now)?;
        self.write_crl_again(now)
    }

    fn list(
        &self,
        now: Utc,
        spread: Duration,
        retired: Option<&[u8]>,
    ) -> Result<RootsList, CaError> {
        let before = RootsList::parse(&self.roots()?).ok();
        let mut all_retired = before.as_ref().map(|list| list.retired.clone()).unwrap_or_default();
        all_retired.extend(retired.map(<[u8]>::to_vec));
        let surplus = all_retired.len().saturating_sub(RETIRED_MAX);
        all_retired.drain(..surplus);
        let mut roots = vec![self.certificate.clone()];
        roots.extend(self.second().map(<[u8]>::to_vec));
        // Never the same twice and never back, whatever the clock does.
        let after = before.map_or(0, |list| list.number.saturating_add(1));
        Ok(RootsList {
            number: now.0.max(0).unsigned_abs().max(after),
            roots,
            issuer: 0,
            cross: self.cross(now)?,
            retired: all_retired,
            spread_s: u32::try_from(spread.as_secs()).unwrap_or(u32::MAX),
        })
    }

    /// The newer authority's key, certified by the older one: who knows only the older accepts both.
    fn cross(&self, now: Utc) -> Result<Vec<Vec<u8>>, CaError> {
        let Some(second) = &self.second else { return Ok(Vec::new()) };
        let issuer_of = |der: &[u8], key: &KeyPair| {
            let pem = key.serialize_pem();
            let key = KeyPair::from_pem(&pem).map_err(CaError::Authority)?;
            Issuer::from_ca_cert_der(&der.into(), key).map_err(CaError::Authority)
        };
        let (newer, newer_key, older) = match second.stage {
            Stage::Announced => {
                (&second.certificate, &second.key, issuer_of(&self.certificate, self.issuer.key())?)
            }
            _ => {
                (&self.certificate, self.issuer.key(), issuer_of(&second.certificate, &second.key)?)
            }
        };
        let subject = organisation(newer);
        let (mut params, _) = make_root(&subject, newer_key, now)?;
        params.serial_number = Some(SerialNumber::from_slice(&draw_serial()?));
        Ok(vec![params.signed_by(newer_key, &older).map_err(CaError::Sign)?.der().to_vec()])
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), CaError> {
        let path = self.dir.join(name);
        files::write_whole(&path, bytes, mode).map_err(|source| file(&path, source))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), CaError> {
        let (from, to): (PathBuf, PathBuf) = (self.dir.join(from), self.dir.join(to));
        std::fs::rename(&from, &to)
            .and_then(|()| files::sync_parent(&to))
            .map_err(|source| file(&from, source))
    }

    /// Keys that sign revocation lists: of every authority whose certificates may be about.
    pub(super) fn crl_issuers(&self) -> Result<Vec<Issuer<'static, KeyPair>>, CaError> {
        let Some(second) = self.second.as_ref().filter(|two| two.stage == Stage::Switched) else {
            return Ok(Vec::new());
        };
        let key = KeyPair::from_pem(&second.key.serialize_pem()).map_err(CaError::Authority)?;
        let issuer = Issuer::from_ca_cert_der(&second.certificate.as_slice().into(), key);
        Ok(vec![issuer.map_err(CaError::Authority)?])
    }
}

/// The organisation in a certificate's subject.
fn organisation(certificate: &[u8]) -> String {
    let parsed = X509Certificate::from_der(certificate).ok();
    let name = parsed.as_ref().and_then(|(_, parsed)| {
        parsed.subject().iter_organization().next()?.as_str().ok().map(str::to_owned)
    });
    name.unwrap_or_else(|| "Muster".to_owned())
}
