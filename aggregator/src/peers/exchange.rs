//! The exchange of liveness digests: asks every peer every two seconds, and answers.
//!
//! The thinking is [`crate::roster::leases`]; here bytes are carried. A peer that is not linked is not asked: it
//! is silent, and the leases know since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_proto::cbor;
use muster_proto::clock::Utc;
use muster_proto::digest::{Digest, DigestAsk, encode_digest, parse_digest};
use muster_proto::errors::chain;
use muster_proto::limits::ASK_BYTES_MAX;

use super::PeerLinks;
use super::errand::Errand;
use crate::roster::leases::{DIGEST_EVERY, Leases, RELAY_EVERY};

/// Longest wait for a digest. Less than [`DIGEST_EVERY`] twice, so that one lost answer is not silence.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

/// The leases, and who asks about them.
#[derive(Clone)]
pub struct Exchange {
    /// What is known.
    pub leases: Arc<Mutex<Leases>>,
    /// The links to the peers.
    pub links: Arc<PeerLinks>,
    /// What the time is.
    pub clock: fn() -> Utc,
}

impl Exchange {
    /// Asks one peer about its hosts, for ever.
    pub async fn follow(self, peer: String) {
        loop {
            let pause = DIGEST_EVERY.mul_f64(0.9 + fastrand::f64() / 5.0);
            tokio::time::sleep(pause).await;
            if self.links.is_open(&peer) {
                self.ask(&peer, &peer).await;
            }
        }
    }

    /// Asks about the aggregators that only others hear, for ever.
    pub async fn follow_relays(self) {
        loop {
            tokio::time::sleep(RELAY_EVERY).await;
            let relays = self.lock().relays((self.clock)());
            for (witness, of) in relays {
                self.ask(&witness, &of).await;
            }
        }
    }

    async fn ask(&self, peer: &str, of: &str) {
        let ask = self.lock().ask(peer, of, (self.clock)());
        let Ok(ask) = serde_cbor::to_vec(&ask) else { return };
        let asked = self.links.send(peer, &Errand::Digest(ask));
        let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_WAIT, asked).await else { return };
        if answer.is_empty() {
            return;
        }
        // Everything about ten thousand hosts takes some milliseconds.
        let parsed = tokio::task::spawn_blocking(move || parse_digest(&answer)).await;
        match parsed {
            Ok(Ok(digest)) => self.lock().on_digest(peer, digest, (self.clock)()),
            Ok(Err(error)) => {
                tracing::warn!(peer, error = chain(&error), "A peer's digest cannot be used.");
            }
            Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a peer, on a thread that may block. In: CBOR of a [`DigestAsk`]; out: a digest, or nothing when we know
/// nothing of whom it asks about.
pub async fn answer_digest(leases: Arc<Mutex<Leases>>, ask: Vec<u8>, now: Utc) -> Vec<u8> {
    let answer = move || {
        let ask: DigestAsk = cbor::parse(&ask, ASK_BYTES_MAX).ok().filter(DigestAsk::is_fine)?;
        let digest: Digest =
            leases.lock().unwrap_or_else(PoisonError::into_inner).answer(&ask, now)?;
        match encode_digest(&digest) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::error!(error = chain(&error), "A digest cannot be written.");
                None
            }
        }
    };
    tokio::task::spawn_blocking(answer).await.ok().flatten().unwrap_or_default()
}
