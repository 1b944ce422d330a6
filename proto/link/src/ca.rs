//! A small certificate authority in a directory.
//!
//! Room: `link`.  May use: `token`, `peer`.  Used by: the aggregator (`init`, `token`, enrolment).
//!
//! ```text
//! ca.key         PEM, P-256, mode 0600
//! ca.crt         PEM, self-signed, ten years
//! ca.crl         PEM, written at each revocation, signed by every authority whose certificates may be about
//! issued.list    see `lists`
//! revoked.list   see `lists`
//! tokens.list    see `token`
//! next.*, old.*, ca.roots    see `rollover`
//! ca.lock        held while any of the lists changes: several processes may use one CA
//! ```
//!
//! Invariants
//! - Names and roles are decided here. Of a request only the public key is taken, after its
//!   signature has shown that the asker holds the private one.
//! - A certificate is in `issued.list`, synced, before anybody gets it; a use of a token is on disk
//!   before its certificate is issued.
//! - Time and lifetimes are handed in.

pub mod lists;
mod revoking;
mod rollover;
mod sign;
mod tokens;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_proto::clock::Utc;
use rcgen::{Issuer, KeyPair, SerialNumber};

use crate::crypto::{self, NoRandom};
use crate::files;
use crate::identity::{IdentityError, certificates, pem_of};
use crate::peer::{Role, bare_serial};
use crate::token::TokenRefused;

pub use lists::{Issued, Revoked};
pub use rollover::Stage;
use rollover::{Second, make_root};
use sign::{date, draw_serial, leaf_params, parse_request};

/// Life of a host certificate. It is renewed at two thirds of it.
pub const HOST_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Life of the CA certificate.
const CA_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A certificate is valid from this long before its issue on: clocks differ.
const BACKDATE: Duration = Duration::from_secs(60);

/// Why the CA did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the CA cannot be read or written.
    #[error("cannot use {path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a CA already; it would be lost.
    #[error("{dir} holds a CA already", dir = dir.display())]
    Exists {
        /// Where.
        dir: PathBuf,
    },
    /// Key or certificate of the CA cannot be read.
    #[error("cannot open the CA")]
    Open(#[source] IdentityError),
    /// Key or certificate of the CA cannot be used.
    #[error("the CA's key or certificate cannot be used")]
    Authority(#[source] rcgen::Error),
    /// The request is none, is not signed by its key, or its key is not P-256.
    #[error("the certificate request is refused: {0}")]
    Request(&'static str),
    /// The name cannot stand in a certificate.
    #[error("{name:?} is not a host name")]
    Name {
        /// Which.
        name: String,
    },
    /// A certificate cannot be made.
    #[error("cannot sign a certificate")]
    Sign(#[source] rcgen::Error),
    /// Nothing of that name or serial was ever issued.
    #[error("{what} was not issued here")]
    Unknown {
        /// The name or the serial.
        what: String,
    },
    /// The certificate that is to be renewed is not good any more.
    #[error("the certificate of {name} is {state}: it cannot be renewed, enrol again")]
    NotRenewable {
        /// Whose.
        name: String,
        /// `revoked` or `expired`.
        state: &'static str,
    },
    /// The token is not taken.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The pattern of a token is not one word.
    #[error("{0:?} is not a pattern of host names")]
    Pattern(String),
    /// A step of a rollover out of order.
    #[error("cannot {step} now: the authority is {found}, and must be {wanted}; see ca show")]
    Step {
        /// Which.
        step: &'static str,
        /// What it is.
        found: &'static str,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The old authority cannot be retired yet.
    #[error("still with a certificate of the old authority: {}", holders.join(" "))]
    InUse {
        /// Whose certificates they are.
        holders: Vec<String>,
    },
    /// Another process has let the next authority issue since this one was opened.
    #[error("the authority has changed: open it anew")]
    Outdated,
    /// The list of authorities cannot be made.
    #[error("cannot sign the list of authorities")]
    List(#[from] crate::roots::SealError),
    /// No random bytes.
    #[error("cannot draw a serial number or a token")]
    Random(#[from] NoRandom),
}

/// What to certify.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// PKCS#10 request, DER.
    pub csr: &'a [u8],
    /// For whom.
    pub name: &'a str,
    /// As what.
    pub role: Role,
    /// For how long.
    pub ttl: Duration,
}

/// A certificate that was just issued.
#[derive(Debug, Clone)]
pub struct Certified {
    /// Leaf first, DER. Aggregators show the CA behind it, so that new hosts can check its
    /// fingerprint.
    pub chain: Vec<Vec<u8>>,
    /// What stands in the list.
    pub issued: Issued,
}

/// Which certificates to revoke.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Every certificate of this name that has not expired.
    Name(&'a str),
    /// The one with this serial number, big-endian.
    Serial(&'a [u8]),
}

/// A certificate authority.
pub struct Ca {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    second: Option<Second>,
}

impl Ca {
    /// Makes a CA in `dir` (made 0700 if missing).
    ///
    /// # Errors
    /// [`CaError::Exists`], [`CaError::File`], [`CaError::Sign`].
    pub fn init(dir: &Path, organisation: &str, now: Utc) -> Result<Ca, CaError> {
        let (key_path, crt_path) = (dir.join("ca.key"), dir.join("ca.crt"));
        if key_path.exists() || crt_path.exists() {
            return Err(CaError::Exists { dir: dir.to_owned() });
        }
        files::make_dir(dir).map_err(|source| file(dir, source))?;
        let key = KeyPair::generate().map_err(CaError::Sign)?;
        let (_, certificate) = make_root(organisation, &key, now)?;
        files::write_whole(&key_path, key.serialize_pem().as_bytes(), files::SECRET)
            .map_err(|source| file(&key_path, source))?;
        let pem = pem_of(&[certificate]);
        files::write_whole(&crt_path, pem.as_bytes(), files::PUBLIC)
            .map_err(|source| file(&crt_path, source))?;
        Ca::open(dir)
    }

    /// Opens the CA in `dir`.
    ///
    /// # Errors
    /// [`CaError::File`], [`CaError::Open`], [`CaError::Authority`]; [`IdentityError::Open`] inside
    /// when others may read the key.
    pub fn open(dir: &Path) -> Result<Ca, CaError> {
        let _lock = lock(dir)?;
        Ca::read_dir(dir)
    }

    /// Reads the files and finishes a step that was cut off. The caller has the lock: another process may be
    /// exchanging key and certificate.
    fn read_dir(dir: &Path) -> Result<Ca, CaError> {
        let second = Ca::open_second(dir)?;
        let key_path = dir.join("ca.key");
        let foreign = files::foreign_mode(&key_path).map_err(|source| file(&key_path, source))?;
        if foreign != 0 {
            let mode = 0o600 | foreign;
            return Err(CaError::Open(IdentityError::Open { path: key_path, mode }));
        }
        let pem = std::fs::read_to_string(&key_path).map_err(|source| file(&key_path, source))?;
        let key = KeyPair::from_pem(&pem).map_err(CaError::Authority)?;
        let found = certificates(&dir.join("ca.crt")).map_err(CaError::Open)?;
        let certificate = found.into_iter().next().ok_or(CaError::Request("no certificate"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(CaError::Authority)?;
        let certificate = certificate.to_vec();
        let mut ca = Ca { dir: dir.to_owned(), issuer, certificate, second };
        ca.finish_retirement()?;
        Ok(ca)
    }

    /// SHA-256 of the CA certificate, DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        crypto::sha256(&self.certificate)
    }

    /// The CA certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Certifies a public key.
    ///
    /// # Errors
    /// [`CaError::Request`], [`CaError::Name`], [`CaError::Sign`], [`CaError::File`].
    pub fn issue(&self, wish: &Wish<'_>, now: Utc) -> Result<Certified, CaError> {
        let request = parse_request(wish.csr)?;
        let mut params = leaf_params(wish.name, wish.role)?;
        let serial = draw_serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = date(now, BACKDATE, false);
        params.not_after = date(now, wish.ttl, true);
        let expires_at = crate::peer::seconds(params.not_after.unix_timestamp());
        let leaf = params.signed_by(&request.public_key, &self.issuer).map_err(CaError::Sign)?;
        let issued = Issued {
            serial: bare_serial(&serial).to_vec(),
            issued_at: now,
            expires_at,
            role: wish.role,
            name: wish.name.to_owned(),
        };
        let _lock = self.lock()?;
        let in_force = certificates(&self.dir.join("ca.crt")).map_err(CaError::Open)?;
        if in_force.first().is_none_or(|der| der.as_ref() != self.certificate) {
            return Err(CaError::Outdated);
        }
        self.append("issued.list", &issued.line())?;
        let mut chain = vec![leaf.der().to_vec()];
        if wish.role == Role::Aggregator {
            chain.push(self.certificate.clone());
        }
        Ok(Certified { chain, issued })
    }

    /// Certifies a new key for the holder of a certificate that is still good. Name and role are those
    /// of the old one, as they stand in the list: the asker only says which certificate it was.
    ///
    /// # Errors
    /// [`CaError::Unknown`], [`CaError::NotRenewable`]; else as [`Ca::issue`].
    pub fn renew(
        &self,
        serial: &[u8],
        csr: &[u8],
        ttl: Duration,
        now: Utc,
    ) -> Result<Certified, CaError> {
        let serial = bare_serial(serial);
        let what = || format!("certificate {}", crypto::hex(serial));
        let old = self.issued()?.into_iter().find(|one| one.serial == serial);
        let old = old.ok_or_else(|| CaError::Unknown { what: what() })?;
        let revoked = self.revoked()?.iter().any(|one| one.serial == serial);
        let state =
            if revoked { Some("revoked") } else { (old.expires_at < now).then_some("expired") };
        if let Some(state) = state {
            return Err(CaError::NotRenewable { name: old.name, state });
        }
        self.issue(&Wish { csr, name: &old.name, role: old.role, ttl }, now)
    }

    /// The role that a certificate was issued for; `None` when it was not issued here.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn role_of(&self, serial: &[u8]) -> Result<Option<Role>, CaError> {
        let serial = bare_serial(serial);
        Ok(self.issued()?.into_iter().find(|one| one.serial == serial).map(|one| one.role))
    }

    /// Every certificate that was issued, oldest first.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn issued(&self) -> Result<Vec<Issued>, CaError> {
        self.read("issued.list", Issued::parse)
    }

    /// Every certificate that was revoked, oldest first.
    ///
    /// # Errors
    /// [`CaError::File`].
    pub fn revoked(&self) -> Result<Vec<Revoked>, CaError> {
        self.read("revoked.list", Revoked::parse)
    }

    fn read<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, CaError> {
        let path = self.dir.join(name);
        lists::read(&path, parse).map_err(|source| file(&path, source))
    }

    fn append(&self, name: &str, lines: &str) -> Result<(), CaError> {
        let path = self.dir.join(name);
        lists::append(&path, lines).map_err(|source| file(&path, source))
    }

    /// Waits for the lock; it is given back when the file is closed.
    fn lock(&self) -> Result<File, CaError> {
        lock(&self.dir)
    }
}

fn lock(dir: &Path) -> Result<File, CaError> {
    let path = dir.join("ca.lock");
    let locked = || -> io::Result<File> {
        let file = File::options().write(true).create(true).truncate(false).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source| file(&path, source))
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ca({})", self.dir.display())
    }
}

fn file(path: &Path, source: io::Error) -> CaError {
    CaError::File { path: path.to_owned(), source }
}
