//! Renewal of the agent's certificate over the living connection.
//!
//! At two thirds of its life, or when another authority issues, a new key is made and a request sent; the answer replaces both on disk
//! and in the identity store, which new connections use. A request that gets no answer is made again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_link::identity::{NewKey, new_key_and_csr};
use muster_link::{Identity, IdentityStore, RenewalClock};
use muster_proto::errors::chain;

/// Pause before a request without an answer is made again.
const RETRY: Duration = Duration::from_secs(60);

/// Where the renewal stands.
pub(super) struct Renewal {
    store: Arc<IdentityStore>,
    clock: RenewalClock,
    asked: Option<(NewKey, Instant)>,
}

impl Renewal {
    pub(super) fn new(store: Arc<IdentityStore>) -> Renewal {
        Renewal { store, clock: RenewalClock::new(fastrand::u64(..)), asked: None }
    }

    /// The request to send now, if the certificate is due and none is under way.
    pub(super) fn due(&mut self) -> Option<Vec<u8>> {
        if self.asked.as_ref().is_some_and(|(_, since)| since.elapsed() < RETRY) {
            return None;
        }
        let identity = self.store.identity();
        if !self.clock.is_due(&identity, self.store.now()) {
            return None;
        }
        match new_key_and_csr(identity.name()) {
            Ok(key) => {
                let csr = key.csr.clone();
                self.asked = Some((key, Instant::now()));
                Some(csr)
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "A new key cannot be made.");
                None
            }
        }
    }

    /// A list of certificate authorities came. Whoever passed it on, an authority that we trust has signed it.
    pub(super) fn on_roots(&mut self, list: &[u8]) {
        match self.store.take_roots(list) {
            Ok(true) => {
                let held = self.store.roots_held();
                let (number, is_current) = (held.number, held.is_current);
                tracing::info!(number, is_current, "The list of authorities has changed.");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "A list of authorities is not taken.");
            }
        }
    }

    /// There is no connection to ask on.
    pub(super) fn not_now(&mut self) {
        self.asked = None;
    }

    /// The new chain came.
    pub(super) fn on_renewed(&mut self, chain_der: &[serde_bytes::ByteBuf]) {
        let Some((key, _)) = self.asked.take() else { return };
        let dir = self.store.identity().dir().to_owned();
        let certificates: Vec<Vec<u8>> = chain_der.iter().map(|der| der.to_vec()).collect();
        let installed =
            Identity::replace(&dir, &key.key_pem, &certificates).and_then(|()| self.store.reload());
        match installed {
            Ok(identity) => {
                tracing::info!(
                    expires_at = identity.expires_at().as_secs(),
                    "Certificate renewed."
                );
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "The new certificate is not usable.")
            }
        }
    }
}
