//! Who we are: a private key, a certificate for it, and the CAs and revocations we go by.
//!
//! Room: `link`.  May use: `proto`.  Used by: `store`, `enrol`, and the programs.
//!
//! A directory with these files:
//!
//! ```text
//! host.key   PEM, PKCS#8 private key, mode 0600 (refused otherwise)
//! host.crt   PEM, the certificate chain, leaf first
//! ca.crt     PEM, the CAs whose certificates are trusted; one or more
//! ca.crl     PEM, optional: revocation lists of those CAs
//! ca.roots   optional: the last list of CAs that an authority signed, see `roots`
//! ```
//!
//! Trust is `ca.crt` alone. `ca.roots` says what that list said besides: its number, who issues, what to show
//! behind our certificate, whose certificates are no stranger's. It is written after `ca.crt`, and one that
//! cannot be read counts as none: either way the list is offered and taken once more.
//!
//! Renewal replaces key and certificate together: both are written and synced as `host.key.new` and
//! `host.crt.new`, then renamed, the key first. A crash between the two renames leaves a key that
//! fits only `host.crt.new`; [`Identity::load`] sees this and finishes the second rename.
//!
//! Absent on purpose: verification (see `tls`) and the network.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_proto::clock::Utc;
use muster_proto::limits::ROOTS_BYTES_MAX;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::crypto;
use crate::files::{self, beside, write_synced};
use crate::peer::{NotAPeer, Peer, Role};
use crate::roots::{self, RootsList};

mod pem_block;
mod renewing;

pub(crate) use pem_block::pem_block;
pub use pem_block::pem_of;
pub use renewing::RenewalClock;

const KEY: &str = "host.key";
const CHAIN: &str = "host.crt";
const ROOTS: &str = "ca.crt";
const CRL: &str = "ca.crl";
const LIST: &str = "ca.roots";
/// One PEM file. Bytes. A CRL of 10 000 revoked hosts has 0.5 MB.
const PEM_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Certificates in one chain or one list of CAs.
const CERTIFICATES_MAX: usize = 64;

/// Why an identity directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The private key is open to others.
    #[error("{path} may be read by others (mode {mode:03o}); run: chmod 600 {path}", path = path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no (readable) PEM of its kind.
    #[error("{path} holds no readable {what}", path = path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// Why; `None` when it is just empty.
        source: Option<pem::Error>,
    },
    /// Larger than anything we write.
    #[error("{path} is over its limit of {limit} {unit}", path = path.display())]
    Limit {
        /// Which.
        path: PathBuf,
        /// How much is allowed.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// Key and certificate do not belong together, or the key is of an unknown kind.
    #[error("the key and the certificate in {dir} do not fit each other", dir = dir.display())]
    Pair {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The certificate does not say who we are.
    #[error("{path} is not a Muster certificate", path = path.display())]
    NotAPeer {
        /// Which.
        path: PathBuf,
        /// Why.
        source: NotAPeer,
    },
    /// A CA or a revocation list cannot be used.
    #[error("cannot use {path}", path = path.display())]
    Trust {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key cannot be made.
    #[error("cannot make a key")]
    Key(#[source] rcgen::Error),
}

/// What an identity directory held when it was read. Immutable; a reload makes a new one.
#[derive(Debug, Clone)]
pub struct Identity {
    dir: PathBuf,
    me: Peer,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) root_ders: Vec<CertificateDer<'static>>,
    pub(crate) crls: Vec<CertificateRevocationListDer<'static>>,
    list: Option<Arc<Taken>>,
    is_current: bool,
}

/// The last list of authorities that was taken.
#[derive(Debug)]
struct Taken {
    signed: Vec<u8>,
    list: RootsList,
}

impl Identity {
    /// Reads the directory.
    ///
    /// # Errors
    /// [`IdentityError`]. A missing `ca.crl` is not an error; an expired certificate is not either,
    /// because it can still be renewed: see [`Identity::expires_at`].
    pub fn load(dir: &Path) -> Result<Identity, IdentityError> {
        let key_path = dir.join(KEY);
        let key_pem = read(&key_path)?;
        refuse_open_key(&key_path)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|source| no_pem(&key_path, "private key", Some(source)))?;
        let chain = load_chain(dir, &key)?;
        let mut certified = pair(dir, chain, key)?;
        let me = Peer::parse(&certified.cert[0])
            .map_err(|source| IdentityError::NotAPeer { path: dir.join(CHAIN), source })?;
        let root_ders = certificates(&dir.join(ROOTS))?;
        let list = load_list(&dir.join(LIST)).map(Arc::new);
        let is_current = list
            .as_ref()
            .is_none_or(|taken| roots::is_issued_by(&certified.cert[0], taken.list.issuer()));
        show(&mut certified.cert, me.role, list.as_deref());
        let mut roots = RootCertStore::empty();
        for der in &root_ders {
            let trust = |source: rustls::Error| IdentityError::Trust {
                path: dir.join(ROOTS),
                source: source.into(),
            };
            roots.add(der.clone()).map_err(trust)?;
        }
        let crls = revocations(&dir.join(CRL))?;
        let roots = Arc::new(roots);
        Ok(Identity {
            dir: dir.to_owned(),
            me,
            certified: Arc::new(certified),
            roots,
            root_ders,
            crls,
            list,
            is_current,
        })
    }

    /// Says whether an identity can be written into `dir`. Leaves nothing there.
    ///
    /// # Errors
    /// [`IdentityError::Write`].
    pub fn try_write(dir: &Path) -> Result<(), IdentityError> {
        let is_new = !dir.exists();
        files::make_dir(dir).map_err(|source| unwritten(dir, source))?;
        let trial = dir.join("trial.tmp");
        write_synced(&trial, b"", files::SECRET)
            .and_then(|()| std::fs::remove_file(&trial))
            .and_then(|()| if is_new { std::fs::remove_dir(dir) } else { Ok(()) })
            .map_err(|source| unwritten(&trial, source))
    }

    /// Writes a first identity: makes `dir` (0700) and every file in it.
    ///
    /// # Errors
    /// [`IdentityError::Write`].
    pub fn install(dir: &Path, fresh: &Fresh<'_>) -> Result<(), IdentityError> {
        files::make_dir(dir).map_err(|source| unwritten(dir, source))?;
        // The list of another life may be of another authority.
        let list = dir.join(LIST);
        match std::fs::remove_file(&list) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unwritten(&list, error));
            }
            _ => {}
        }
        let roots = pem_of(fresh.roots);
        let path = dir.join(ROOTS);
        files::write_whole(&path, roots.as_bytes(), files::PUBLIC)
            .map_err(|source| unwritten(&path, source))?;
        Identity::replace(dir, fresh.key_pem, fresh.chain)
    }

    /// Puts a renewed key and chain in the place of the old ones. See the module head for crashes.
    ///
    /// # Errors
    /// [`IdentityError::Write`]; the old pair then still stands.
    pub fn replace(dir: &Path, key_pem: &str, chain: &[Vec<u8>]) -> Result<(), IdentityError> {
        let key = dir.join(KEY);
        let crt = dir.join(CHAIN);
        let steps = || -> Result<(), (PathBuf, io::Error)> {
            let fresh_key = beside(&key, ".new");
            let fresh_crt = beside(&crt, ".new");
            write_synced(&fresh_key, key_pem.as_bytes(), files::SECRET)
                .map_err(|error| (fresh_key.clone(), error))?;
            write_synced(&fresh_crt, pem_of(chain).as_bytes(), files::PUBLIC)
                .map_err(|error| (fresh_crt.clone(), error))?;
            files::sync_parent(&key).map_err(|error| (key.clone(), error))?;
            std::fs::rename(&fresh_key, &key).map_err(|error| (key.clone(), error))?;
            std::fs::rename(&fresh_crt, &crt).map_err(|error| (crt.clone(), error))?;
            files::sync_parent(&key).map_err(|error| (key.clone(), error))
        };
        steps().map_err(|(path, source)| unwritten(&path, source))
    }

    /// Our name.
    pub fn name(&self) -> &str {
        &self.me.name
    }

    /// Our role.
    pub fn role(&self) -> Role {
        self.me.role
    }

    /// All that our certificate says.
    pub fn me(&self) -> &Peer {
        &self.me
    }

    /// Last moment of our certificate.
    pub fn expires_at(&self) -> Utc {
        self.me.expires_at
    }

    /// Where it was read.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The CAs we trust, DER.
    pub fn roots(&self) -> impl Iterator<Item = &[u8]> {
        self.root_ders.iter().map(AsRef::as_ref)
    }

    /// Number of the list of authorities that was taken last; 0 when none was.
    pub fn roots_number(&self) -> u64 {
        self.list().map_or(0, |list| list.number)
    }

    /// The list of authorities that was taken last.
    pub fn list(&self) -> Option<&RootsList> {
        self.list.as_ref().map(|taken| &taken.list)
    }

    /// The same as the authority signed it, to be passed on.
    pub fn signed_list(&self) -> Option<&[u8]> {
        self.list.as_ref().map(|taken| taken.signed.as_slice())
    }

    /// Whether our certificate is by the authority that issues now, as far as we know.
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// Whether a certificate is by an authority that was retired. In: DER.
    pub(crate) fn is_of_retired(&self, certificate: &[u8]) -> bool {
        let retired = self.list().map(|list| list.retired.as_slice()).unwrap_or_default();
        retired.iter().any(|root| roots::is_issued_by(certificate, root))
    }

    /// Our own certificate, DER.
    pub fn leaf(&self) -> &[u8] {
        self.certified.cert.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// When to ask for a new certificate: at two thirds of its life, moved by up to a twentieth.
    ///
    /// `jitter` is any number that differs between hosts and attempts; equal ones give equal times.
    pub fn renew_at(&self, jitter: u64) -> Utc {
        let life = self.me.expires_at.0.saturating_sub(self.me.valid_from.0).max(0);
        let spread = (life / 10).max(1);
        let moved = i64::try_from(jitter % spread.unsigned_abs()).unwrap_or(0);
        Utc(self.me.valid_from.0 + life / 3 * 2 - life / 20 + moved)
    }
}

/// What a first identity is made of.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    /// Private key, PEM (PKCS#8).
    pub key_pem: &'a str,
    /// Certificates, leaf first, DER.
    pub chain: &'a [Vec<u8>],
    /// CAs to trust, DER.
    pub roots: &'a [Vec<u8>],
}

/// A key that nobody else has seen, and a request to certify it.
pub struct NewKey {
    /// Private key, PEM (PKCS#8). Goes to disk with mode 0600 and nowhere else.
    pub key_pem: String,
    /// PKCS#10 request (RFC 2986), DER, for `muster_proto::control::FromAgent::Renew` or enrolment.
    pub csr: Vec<u8>,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey(secret, csr of {} bytes)", self.csr.len())
    }
}

/// Makes a P-256 key and a request for it. The name is a courtesy: the CA decides names itself.
///
/// # Errors
/// [`IdentityError::Key`].
pub fn new_key_and_csr(name: &str) -> Result<NewKey, IdentityError> {
    let key = rcgen::KeyPair::generate().map_err(IdentityError::Key)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let csr = params.serialize_request(&key).map_err(IdentityError::Key)?;
    Ok(NewKey { key_pem: key.serialize_pem(), csr: csr.der().to_vec() })
}

/// Reads the certificates of a PEM file, DER, at least one.
///
/// # Errors
/// [`IdentityError`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|source| no_pem(path, "certificate", Some(source)))?;
    if found.is_empty() {
        return Err(no_pem(path, "certificate", None));
    }
    if found.len() > CERTIFICATES_MAX {
        let (limit, unit) = (CERTIFICATES_MAX as u64, "certificates");
        return Err(IdentityError::Limit { path: path.to_owned(), limit, unit });
    }
    Ok(found)
}

/// Reads a revocation list from outside; `dir` is for the message.
pub(crate) fn read_crls(
    dir: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    found.map_err(|source| no_pem(&dir.join(CRL), "revocation list", Some(source)))
}

/// Trusts what a list says and keeps the list. See the module head for crashes.
pub(crate) fn write_list(dir: &Path, list: &RootsList, signed: &[u8]) -> Result<(), IdentityError> {
    let files = [(ROOTS, pem_of(&list.roots).into_bytes()), (LIST, signed.to_vec())];
    for (name, bytes) in files {
        let path = dir.join(name);
        files::write_whole(&path, &bytes, files::PUBLIC)
            .map_err(|source| unwritten(&path, source))?;
    }
    Ok(())
}

fn load_list(path: &Path) -> Option<Taken> {
    let len = std::fs::metadata(path).ok()?.len();
    let signed = (len <= ROOTS_BYTES_MAX as u64).then(|| std::fs::read(path).ok())??;
    let list = RootsList::parse(&signed).ok()?;
    Some(Taken { signed, list })
}

/// Puts behind our certificate what others may need: the bridges from an older root to the newer one, and at an
/// aggregator the roots themselves, by which newcomers recognise the authority that their token names.
fn show(chain: &mut Vec<CertificateDer<'static>>, role: Role, taken: Option<&Taken>) {
    let Some(Taken { list, .. }) = taken else { return };
    let roots = if role == Role::Aggregator { list.roots.as_slice() } else { &[] };
    for der in list.cross.iter().chain(roots) {
        if chain.iter().all(|shown| shown.as_ref() != der.as_slice()) {
            chain.push(der.clone().into());
        }
    }
}

/// Puts a revocation list in its place.
pub(crate) fn write_crl(dir: &Path, pem: &[u8]) -> Result<(), IdentityError> {
    let path = dir.join(CRL);
    files::write_whole(&path, pem, files::PUBLIC).map_err(|source| unwritten(&path, source))
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, IdentityError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    found.map_err(|source| no_pem(path, "revocation list", Some(source)))
}

/// The chain for `key`, after an interrupted renewal too.
fn load_chain(
    dir: &Path,
    key: &PrivateKeyDer<'static>,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let path = dir.join(CHAIN);
    let fresh = beside(&path, ".new");
    let chain = certificates(&path);
    let fits =
        |chain: &[CertificateDer<'static>]| pair(dir, chain.to_vec(), key.clone_key()).is_ok();
    if chain.as_ref().is_ok_and(|chain| fits(chain)) || !fresh.exists() {
        return chain;
    }
    match certificates(&fresh) {
        Ok(renewed) if fits(&renewed) => {
            std::fs::rename(&fresh, &path).map_err(|source| unwritten(&path, source))?;
            Ok(renewed)
        }
        _ => chain,
    }
}

fn pair(
    dir: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, IdentityError> {
    CertifiedKey::from_der(chain, key, &crypto::provider())
        .map_err(|source| IdentityError::Pair { dir: dir.to_owned(), source })
}

fn refuse_open_key(path: &Path) -> Result<(), IdentityError> {
    let foreign = files::foreign_mode(path)
        .map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    if foreign & 0o077 != 0 {
        return Err(IdentityError::Open { path: path.to_owned(), mode: 0o600 | foreign });
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let unread = |source| IdentityError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unread)?.len() > PEM_BYTES_MAX {
        let (limit, unit) = (PEM_BYTES_MAX, "bytes");
        return Err(IdentityError::Limit { path: path.to_owned(), limit, unit });
    }
    std::fs::read(path).map_err(unread)
}

fn unwritten(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Write { path: path.to_owned(), source }
}

fn no_pem(path: &Path, what: &'static str, source: Option<pem::Error>) -> IdentityError {
    IdentityError::Pem { path: path.to_owned(), what, source }
}
