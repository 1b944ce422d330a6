//! Peers: a link to every other aggregator, kept open, over which questions are asked.
//!
//! Room: `aggregator::peers`.  May use: `link`, `api`, `roster` (its leases).  Used by: `app`.
//!
//! Each aggregator dials each peer and asks on its own connection; what it is asked comes on the
//! peer's connection through the intake's listener. So two links per pair, and neither waits for
//! the other.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_link::{Connection, Dialer, LinkError};
use muster_proto::errors::chain;

use crate::api::{PeerError, Peers, Reply};
use crate::config::PeerConfig;

pub mod errand;
pub mod exchange;

use errand::Errand;

/// Pause between two attempts to reach a peer; doubled up to [`RETRY_MAX`], with jitter.
const RETRY: Duration = Duration::from_millis(250);
/// Longest pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A link that lasts this long has proved itself. A peer that stops takes links, and ends them at once.
const SETTLED: Duration = Duration::from_secs(5);

/// The links that are open now.
#[derive(Default)]
pub struct PeerLinks {
    names: Vec<String>,
    open: Mutex<HashMap<String, Connection>>,
}

impl PeerLinks {
    /// No link is open yet.
    pub fn new(peers: &[PeerConfig]) -> PeerLinks {
        let names = peers.iter().map(|peer| peer.name.clone()).collect();
        PeerLinks { names, open: Mutex::default() }
    }

    /// Whether a link to this peer is open.
    pub fn is_open(&self, peer: &str) -> bool {
        self.lock().contains_key(peer)
    }

    /// Asks one peer; gives its answer as it came. Whoever waits decides for how long.
    pub fn send(
        &self,
        peer: &str,
        errand: &Errand,
    ) -> impl Future<Output = Result<Vec<u8>, PeerError>> + Send + use<> {
        let connection = self.lock().get(peer).cloned();
        let question = serde_cbor::to_vec(errand);
        async move {
            let connection = connection.ok_or(PeerError { source: None })?;
            let question = question.map_err(|error| PeerError { source: Some(Box::new(error)) })?;
            let answer = connection.ask(&question).await;
            answer.map_err(|error| PeerError { source: Some(Box::new(error)) })
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers for PeerLinks {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn ask(&self, peer: &str, question: Vec<u8>) -> Reply {
        Box::pin(self.send(peer, &Errand::Page(question)))
    }
}

/// Keeps the link to one peer open for ever.
pub async fn keep(links: Arc<PeerLinks>, dialer: Arc<Dialer>, peer: PeerConfig) {
    let mut pause = RETRY;
    let (mut told, mut brief) = (false, false);
    loop {
        match connect(&dialer, &peer).await {
            Ok(connection) => {
                let began = tokio::time::Instant::now();
                links.lock().insert(peer.name.clone(), connection.clone());
                let why = outlast(&connection, &peer.name, brief).await;
                links.lock().remove(&peer.name);
                let lasted = began.elapsed() >= SETTLED;
                if lasted || !brief {
                    tracing::warn!(
                        peer = peer.name,
                        why = chain(&why),
                        "The link to a peer is lost."
                    );
                }
                (told, brief) = (false, !lasted);
                pause = if lasted { RETRY } else { pause };
            }
            Err(error) if !told => {
                tracing::warn!(
                    peer = peer.name,
                    error = chain(&error),
                    "A peer cannot be reached."
                );
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Waits for the end of a link. `brief`: the one before did not last, so this one is told when it does.
async fn outlast(connection: &Connection, peer: &str, brief: bool) -> LinkError {
    let closed = connection.closed();
    tokio::pin!(closed);
    if brief && let Ok(why) = tokio::time::timeout(SETTLED, &mut closed).await {
        return why;
    }
    tracing::info!(peer, "Linked to a peer.");
    closed.await
}

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("cannot resolve {0}")]
    Resolve(String, #[source] std::io::Error),
    #[error("{0} has no address")]
    NoAddress(String),
    #[error("cannot reach {address}")]
    Link { address: SocketAddr, source: LinkError },
}

async fn connect(dialer: &Dialer, peer: &PeerConfig) -> Result<Connection, ConnectError> {
    let found = tokio::net::lookup_host(&peer.address).await;
    let found = found.map_err(|source| ConnectError::Resolve(peer.address.clone(), source))?;
    let mut failure = ConnectError::NoAddress(peer.address.clone());
    for address in found {
        match dialer.dial(address, &peer.name).await {
            Ok(connection) => return Ok(connection),
            Err(source) => failure = ConnectError::Link { address, source },
        }
    }
    Err(failure)
}
