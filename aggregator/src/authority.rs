//! The certificate authority of the fleet, on the aggregator that has it: enrolment and renewal.
//!
//! The others ask it over the peer links ([`Distant`]): renewals and the revocation list.
//!
//! Room: `aggregator::authority`.  May use: `link` (ca), `peers`.  Used by: `app`, `intake`, `commands`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_link::ca::{Ca, CaError, Wish};
use muster_link::{EnrolRequest, IdentityStore, Peer, Role, crypto};
use muster_proto::clock::Utc;
use muster_proto::errors::chain;

use crate::intake::{Renew, Renewer};
use crate::peers::PeerLinks;
use crate::peers::errand::Revocations;

mod distant;
mod heard;
pub mod rollover;

pub use distant::{Distant, answer_peer, follow_revocations, keep_own};
pub use heard::Heard;

/// Life of a certificate that is issued here. It is renewed at two thirds of it.
pub const CERTIFICATE_TTL: Duration = Duration::from_secs(30 * 86_400);

/// The authority, opened.
pub struct Authority {
    dir: PathBuf,
    ca: Mutex<Ca>,
    clock: fn() -> Utc,
}

impl Authority {
    /// Opens the authority in `dir`; `None` when there is none.
    ///
    /// # Errors
    /// It is there but cannot be used.
    pub fn open(dir: &Path, clock: fn() -> Utc) -> Result<Option<Authority>, CaError> {
        if !dir.join("ca.key").exists() {
            return Ok(None);
        }
        Ok(Some(Authority { dir: dir.to_owned(), ca: Mutex::new(Ca::open(dir)?), clock }))
    }

    /// Reads the directory anew; gives the list of authorities that is in it, empty when there is none.
    fn reopen(&self) -> Result<Vec<u8>, CaError> {
        let fresh = Ca::open(&self.dir)?;
        let list = fresh.roots()?;
        *self.ca.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(list)
    }

    fn enrol(&self, asked: &Asked) -> Result<Vec<Vec<u8>>, CaError> {
        let Asked { token, name, role, csr } = asked;
        let now = (self.clock)();
        self.with_ca(|ca| ca.use_token(token, name, *role, now))?;
        let wish = Wish { csr, name, role: *role, ttl: CERTIFICATE_TTL };
        self.with_ca(|ca| Ok(ca.issue(&wish, now)?.chain))
    }

    /// Asks the authority; opens it anew when another process has changed who issues.
    fn with_ca<T>(&self, ask: impl Fn(&Ca) -> Result<T, CaError>) -> Result<T, CaError> {
        let asked = ask(&self.ca.lock().unwrap_or_else(PoisonError::into_inner));
        match asked {
            Err(CaError::Outdated) => {
                self.reopen()?;
                ask(&self.ca.lock().unwrap_or_else(PoisonError::into_inner))
            }
            asked => asked,
        }
    }
}

/// What a newcomer asks for.
struct Asked {
    token: String,
    name: String,
    role: Role,
    csr: Vec<u8>,
}

impl Authority {
    /// Signs what another aggregator asks for. It may ask for the agents that talk to it and for
    /// itself, not for other aggregators or admins.
    fn renew_for(&self, asker: &Peer, serial: &[u8], csr: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let role = self.with_ca(|ca| ca.role_of(serial)).map_err(|error| chain(&error))?;
        if role != Some(Role::Agent) && serial != asker.serial {
            return Err("an aggregator may renew agents and itself only".to_owned());
        }
        let now = (self.clock)();
        let renewed = self.with_ca(|ca| ca.renew(serial, csr, CERTIFICATE_TTL, now));
        renewed.map(|certified| certified.chain).map_err(|error| chain(&error))
    }

    /// The revocation list, unless its SHA-256 is `known`.
    fn revocations(&self, known: &[u8]) -> Revocations {
        let ca = self.ca.lock().unwrap_or_else(PoisonError::into_inner);
        match ca.crl() {
            Ok(pem) if crypto::sha256(&pem) == known => Revocations::Same,
            Ok(pem) => Revocations::List(pem.into()),
            Err(error) => {
                tracing::error!(error = chain(&error), "The revocation list cannot be read.");
                Revocations::NotHere
            }
        }
    }
}

impl Renewer for Authority {
    fn renew(&self, renew: &Renew) -> Result<Vec<Vec<u8>>, String> {
        let now = (self.clock)();
        let renewed =
            self.with_ca(|ca| ca.renew(&renew.peer.serial, &renew.csr, CERTIFICATE_TTL, now));
        renewed.map(|certified| certified.chain).map_err(|error| chain(&error))
    }
}

/// Who signs here: the authority, or else the peer that has it.
pub fn renewer(authority: Option<&Arc<Authority>>, links: &Arc<PeerLinks>) -> Arc<dyn Renewer> {
    match authority {
        Some(authority) => authority.clone(),
        None => Arc::new(Distant::new(links.clone())),
    }
}

/// Answers a host that wants a certificate.
pub async fn answer(authority: Option<Arc<Authority>>, request: EnrolRequest) {
    let (name, remote) = (request.name.clone(), request.remote);
    let Some(authority) = authority else {
        let why = "this aggregator has no certificate authority: ask the one that has";
        let _ = request.refuse(why).await;
        return;
    };
    let asked = Asked {
        token: request.token.clone(),
        name: request.name.clone(),
        role: request.role,
        csr: request.csr.clone(),
    };
    let signed = tokio::task::spawn_blocking(move || authority.enrol(&asked)).await;
    let told = match signed {
        Ok(Ok(chain_der)) => {
            tracing::info!(name, %remote, "Enrolled.");
            request.grant(chain_der).await
        }
        Ok(Err(error)) => {
            let why = chain(&error);
            tracing::warn!(name, %remote, why, "Enrolment refused.");
            request.refuse(&why).await
        }
        Err(_) => request.refuse("the authority failed").await,
    };
    if let Err(error) = told {
        tracing::warn!(name, %remote, error = chain(&error), "The host did not hear our answer.");
    }
}

/// Looks for new revocations in the authority's directory and applies them to live connections.
pub async fn watch_revocations(
    ca_dir: std::path::PathBuf,
    store: Arc<IdentityStore>,
    heard: Arc<Heard>,
) {
    let crl = ca_dir.join("ca.crl");
    let changed_at = || std::fs::metadata(&crl).and_then(|meta| meta.modified()).ok();
    // What was revoked while we did not run is news too.
    let mut seen = None;
    loop {
        let now = changed_at();
        if now == seen {
            heard.on_round(Some(store.now()), None);
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let dir = store.identity().dir().to_owned();
        let applied = Ca::open(&ca_dir)
            .and_then(|ca| ca.publish(&dir).and_then(|()| ca.revoked()))
            .map(|revoked| store.revoke(revoked.into_iter().map(|entry| entry.serial)));
        let trouble = match (applied, store.reload()) {
            (Ok(closed), Ok(_)) => {
                tracing::info!(closed, "The revocation list has changed.");
                None
            }
            (Err(error), _) => {
                Some(format!("the revocation list cannot be read: {}", chain(&error)))
            }
            (_, Err(error)) => Some(format!("the certificates cannot be read: {}", chain(&error))),
        };
        match trouble {
            None => seen = now,
            // Tried again until it works: what is revoked must not wait for the next revocation.
            Some(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        heard.on_round(trouble.is_none().then(|| store.now()), trouble);
    }
}
