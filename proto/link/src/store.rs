//! The identity in use, swapped without a restart, and the revocations that apply at once.
//!
//! Room: `link`.  May use: `identity`, `tls`.  Used by: `dial`, `listen`, and the programs.
//!
//! Invariants
//! - New connections use the identity of the last successful reload; a failed reload changes nothing.
//! - A revoked serial is refused in every handshake that begins after [`IdentityStore::revoke`]
//!   returned, and every live connection of it is closed before it returns.
//! - Live connections keep what they began with otherwise: a renewal does not disturb them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use muster_proto::clock::Utc;
use muster_proto::control::RootsHeld;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::connection::Shared;
use crate::error::Close;
use crate::identity::{self, Identity, IdentityError};
use crate::peer::bare_serial;
use crate::revocations::{self, ListRefused};
use crate::roots::{self, RootsRefused};
use crate::tls::Trust;

/// Tells the time, for the validity of certificates.
pub type Clock = Arc<dyn Fn() -> Utc + Send + Sync>;

/// An identity and the verifiers made of it.
#[derive(Debug)]
pub(crate) struct InUse {
    pub(crate) identity: Arc<Identity>,
    pub(crate) trust: Trust,
}

/// The identity in use. Shared by every dialler and listener of a program.
pub struct IdentityStore {
    dir: PathBuf,
    clock: Clock,
    in_use: RwLock<Arc<InUse>>,
    revoked: RwLock<Arc<HashSet<Vec<u8>>>>,
    live: Mutex<HashMap<u64, Weak<Shared>>>,
    next_live: AtomicU64,
}

impl IdentityStore {
    /// Reads `dir`; certificates are judged by the system's clock.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(dir: &Path) -> Result<Arc<IdentityStore>, IdentityError> {
        IdentityStore::open_at(dir, system_clock())
    }

    /// Reads `dir`; certificates are judged by `clock`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open_at(dir: &Path, clock: Clock) -> Result<Arc<IdentityStore>, IdentityError> {
        let in_use = Arc::new(read(dir)?);
        Ok(Arc::new(IdentityStore {
            dir: dir.to_owned(),
            clock,
            in_use: RwLock::new(in_use),
            revoked: RwLock::default(),
            live: Mutex::default(),
            next_live: AtomicU64::new(0),
        }))
    }

    /// Reads the directory again. New connections use what it holds now; a certificate that its
    /// `ca.crl` revokes loses its live connections.
    ///
    /// # Errors
    /// [`IdentityError`]; what was in use stays in use.
    pub fn reload(&self) -> Result<Arc<Identity>, IdentityError> {
        let fresh = Arc::new(read(&self.dir)?);
        let identity = fresh.identity.clone();
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        let listed: HashSet<Vec<u8>> =
            identity.crls.iter().flat_map(|crl| revocations::serials(crl)).collect();
        self.close_live(&listed);
        Ok(identity)
    }

    /// Refuses these serials from now on and closes their live connections.
    ///
    /// In: serial numbers, big-endian, leading zeros or not. Out: how many connections were closed.
    pub fn revoke(&self, serials: impl IntoIterator<Item = Vec<u8>>) -> usize {
        let named: HashSet<Vec<u8>> =
            serials.into_iter().map(|serial| bare_serial(&serial).to_vec()).collect();
        {
            let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
            let all: HashSet<Vec<u8>> = revoked.iter().chain(&named).cloned().collect();
            *revoked = Arc::new(all);
        }
        self.close_live(&named)
    }

    /// Takes a revocation list, PEM, that somebody passed on: writes it beside the identity and reloads.
    ///
    /// Out: whether it was news. No list at all is none.
    ///
    /// # Errors
    /// [`IdentityError::Trust`] around a [`ListRefused`] when the authority has not signed it, or we have a later
    /// one; what was in use stays in use.
    pub fn take_revocations(&self, pem: &[u8]) -> Result<bool, IdentityError> {
        let identity = self.identity();
        let offered = identity::read_crls(&self.dir, pem)?;
        let news = revocations::judge(&identity.root_ders, &identity.crls, &offered);
        let refused = |source: ListRefused| IdentityError::Trust {
            path: self.dir.clone(),
            source: source.into(),
        };
        if !news.map_err(refused)? {
            return Ok(false);
        }
        identity::write_crl(&self.dir, pem)?;
        self.reload()?;
        Ok(true)
    }

    /// Takes a list of authorities that somebody passed on, when one that we trust has signed it: from then on its
    /// roots are trusted and no others. Live connections go on.
    ///
    /// Out: whether it was news.
    ///
    /// # Errors
    /// [`IdentityError::Trust`] around a [`RootsRefused`]; what was in use stays in use.
    pub fn take_roots(&self, signed: &[u8]) -> Result<bool, IdentityError> {
        let identity = self.identity();
        let news = roots::judge(&identity.root_ders, identity.roots_number(), signed);
        let refused = |source: RootsRefused| IdentityError::Trust {
            path: self.dir.clone(),
            source: source.into(),
        };
        let Some(list) = news.map_err(refused)? else { return Ok(false) };
        identity::write_list(&self.dir, &list, signed)?;
        self.reload()?;
        Ok(true)
    }

    /// What list of authorities we go by, as an agent says it.
    pub fn roots_held(&self) -> RootsHeld {
        let identity = self.identity();
        RootsHeld { number: identity.roots_number(), is_current: identity.is_current() }
    }

    /// The identity that new connections use.
    pub fn identity(&self) -> Arc<Identity> {
        self.in_use().identity.clone()
    }

    /// Whether a serial is in the revocation list. The CRL is asked by the verifier.
    pub fn is_revoked(&self, serial: &[u8]) -> bool {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner).clone();
        revoked.contains(bare_serial(serial))
    }

    /// Connections that are alive, in both directions.
    pub fn live(&self) -> usize {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The time that certificates are judged by.
    pub fn now(&self) -> Utc {
        (self.clock)()
    }

    pub(crate) fn in_use(&self) -> Arc<InUse> {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn time(&self) -> Arc<dyn TimeProvider> {
        Arc::new(Time(self.clock.clone()))
    }

    /// Notes a live connection; [`IdentityStore::leave`] with the number takes it out again.
    pub(crate) fn enter(&self, make: impl FnOnce(u64) -> Arc<Shared>) -> Arc<Shared> {
        let number = self.next_live.fetch_add(1, Ordering::Relaxed);
        let shared = make(number);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.insert(number, Arc::downgrade(&shared));
        shared
    }

    pub(crate) fn leave(&self, number: u64) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    fn close_live(&self, serials: &HashSet<Vec<u8>>) -> usize {
        if serials.is_empty() {
            return 0;
        }
        // The handles are dropped after the lock: dropping the last one takes the lock again.
        let live: Vec<Arc<Shared>> = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.values().filter_map(Weak::upgrade).collect()
        };
        let named = live.iter().filter(|shared| serials.contains(&shared.peer.serial));
        named.map(|shared| shared.close(Close::Revoked, "the certificate was revoked")).count()
    }
}

impl std::fmt::Debug for IdentityStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityStore({}, {} live)", self.dir.display(), self.live())
    }
}

fn read(dir: &Path) -> Result<InUse, IdentityError> {
    let identity = Arc::new(Identity::load(dir)?);
    let trust = Trust::of(&identity)
        .map_err(|source| IdentityError::Trust { path: dir.to_owned(), source: source.into() })?;
    Ok(InUse { identity, trust })
}

/// The system's wall clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Utc(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    })
}

struct Time(Clock);

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from((self.0)().0).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_micros(micros)))
    }
}
