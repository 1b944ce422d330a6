//! Listens for peers: limits, handshakes side by side, refusals with a reason on both sides.
//!
//! Room: `link`.  May use: `admission`, `connection`, `enrol`.  Used by: the aggregator.
//!
//! Invariants
//! - [`Listener::accept`] gives finished handshakes only: verified, not revoked, admitted.
//! - A slow handshake delays nobody: each runs in its own task, all of them in one set, bounded by
//!   `handshakes_max` and `handshake_timeout`.
//! - Who is not let in costs one [`Event`]; who is refused unheard costs one counter and one event.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster_proto::clock::Mono;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Endpoint, Incoming, ServerConfig, TokioRuntime, ValidationTokenConfig};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::admission::{Admission, Knock, Verdict};
use crate::connection::{Connection, Side, canonical};
use crate::dial::{ADMITTED, explain, peer_of, say_goodbye};
use crate::enrol::EnrolRequest;
use crate::error::{CertFault, Close, LinkError};
use crate::peer::Role;
use crate::socket::{self, Granted};
use crate::store::IdentityStore;
use crate::tls::{self, Seen};
use crate::tuning::Tuning;

/// Who came.
#[derive(Debug)]
pub enum Arrival {
    /// A peer with a good certificate.
    Peer(Connection),
    /// A host that has a token and wants a certificate.
    Enrol(EnrolRequest),
}

/// What a listener has to tell besides arrivals.
#[derive(Debug)]
pub enum Event {
    /// A handshake was begun and failed. Worth a log line and a counter by [`LinkError::kind`].
    HandshakeFailed {
        /// Who tried.
        remote: SocketAddr,
        /// Why it failed, seen from this side.
        why: LinkError,
    },
    /// Too many at once: it was told to try another aggregator.
    Refused {
        /// Who tried.
        remote: SocketAddr,
    },
    /// Many at once: it must prove its address first.
    Retried {
        /// Who tried.
        remote: SocketAddr,
    },
}

/// Takes events. Called on the listener's task: count, log, do not wait.
pub type Watch = Arc<dyn Fn(Event) + Send + Sync>;

/// What a listener has done since it was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Handshakes that were begun.
    pub begun: u64,
    /// Handshakes that failed.
    pub failed: u64,
    /// First packets that were told to prove their address.
    pub retried: u64,
    /// First packets that were refused.
    pub refused: u64,
    /// Handshakes that are under way now.
    pub unfinished: u64,
}

#[derive(Debug, Default)]
struct Counters {
    begun: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
    unfinished: AtomicU64,
}

/// Listens on one UDP socket. Bind one for each core on the same address.
pub struct Listener {
    endpoint: Endpoint,
    arrivals: tokio::sync::Mutex<mpsc::Receiver<Arrival>>,
    counters: Arc<Counters>,
    granted: Granted,
    stop: Arc<Notify>,
    task: AbortHandle,
}

impl Listener {
    /// Binds `addr` and begins to take handshakes, on the current tokio runtime. Events are dropped.
    ///
    /// # Errors
    /// [`LinkError::Socket`], [`LinkError::Tls`].
    pub fn bind(
        addr: SocketAddr,
        store: Arc<IdentityStore>,
        tuning: Tuning,
    ) -> Result<Listener, LinkError> {
        Listener::bind_watched(addr, store, tuning, Arc::new(drop::<Event>))
    }

    /// As [`Listener::bind`], with somebody who counts and logs what fails.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_watched(
        addr: SocketAddr,
        store: Arc<IdentityStore>,
        tuning: Tuning,
        watch: Watch,
    ) -> Result<Listener, LinkError> {
        let (socket, granted) = socket::listening(addr, &tuning)?;
        let template = template(&store, &tuning)?;
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(tuning.endpoint(), Some(template.clone()), socket, runtime)
            .map_err(|source| LinkError::Socket { addr, source })?;
        let (arrived, arrivals) = mpsc::channel(tuning.accept_queue.max(1));
        let counters = Arc::new(Counters::default());
        let door =
            Arc::new(Door { store, tuning, template, watch, counters: counters.clone(), arrived });
        let stop = Arc::new(Notify::new());
        let task = tokio::spawn(run(door, endpoint.clone(), stop.clone())).abort_handle();
        Ok(Listener {
            endpoint,
            arrivals: tokio::sync::Mutex::new(arrivals),
            counters,
            granted,
            stop,
            task,
        })
    }

    /// The next who came; `None` after [`Listener::stop`] or [`Listener::close`]. Cancel safe.
    pub async fn accept(&self) -> Option<Arrival> {
        self.arrivals.lock().await.recv().await
    }

    /// Takes no new handshakes any more; connections live on. Newcomers are refused at once, so
    /// that they try another aggregator, until the listener is dropped.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Stops, closes every connection with the same words and gives the peers a moment to hear them.
    /// Newcomers are refused meanwhile, and cannot tell that from a lack of room: drop the listener then.
    pub async fn close(&self, close: Close, reason: &str) {
        self.stop();
        say_goodbye(&self.endpoint, close, reason).await;
    }

    /// Where the socket is bound; the port is known when 0 was asked for.
    ///
    /// # Errors
    /// [`LinkError::Socket`].
    pub fn local_addr(&self) -> Result<SocketAddr, LinkError> {
        let addr = SocketAddr::from(([0, 0, 0, 0], 0));
        self.endpoint.local_addr().map_err(|source| LinkError::Socket { addr, source })
    }

    /// What the kernel granted of the socket's buffers.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            begun: read(&self.counters.begun),
            failed: read(&self.counters.failed),
            retried: read(&self.counters.retried),
            refused: read(&self.counters.refused),
            unfinished: read(&self.counters.unfinished),
        }
    }

    /// Connections of this listener, finished handshakes or not.
    pub fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        self.endpoint.set_server_config(None);
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listener({:?})", self.counts())
    }
}

/// What every handshake task needs.
struct Door {
    store: Arc<IdentityStore>,
    tuning: Tuning,
    template: ServerConfig,
    watch: Watch,
    counters: Arc<Counters>,
    arrived: mpsc::Sender<Arrival>,
}

fn template(store: &Arc<IdentityStore>, tuning: &Tuning) -> Result<ServerConfig, LinkError> {
    let tls = tls::server_config(store, Seen::default())?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    config
        .transport_config(tuning.transport())
        .migration(tuning.migration)
        .validation_token_config(tokens)
        .max_incoming(tuning.handshakes_max);
    Ok(config)
}

async fn run(door: Arc<Door>, endpoint: Endpoint, stop: Arc<Notify>) {
    let started = Instant::now();
    let now = || Mono(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    let (per_s, places) = (door.tuning.handshakes_per_s, door.tuning.handshakes_max);
    let mut admission = Admission::new(now(), per_s, places);
    let mut handshakes = Handshakes::default();
    loop {
        tokio::select! {
            biased;
            () = stop.notified() => break,
            Some(_) = handshakes.tasks.join_next(), if !handshakes.tasks.is_empty() => {}
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let knock = Knock {
                    proven: incoming.remote_address_validated(),
                    unfinished: handshakes.tasks.len(),
                    oldest: handshakes.oldest(),
                };
                match admission.judge(now(), knock) {
                    Verdict::Accept => handshakes.begin(&door, incoming),
                    Verdict::Replace => {
                        handshakes.give_up_oldest(&door.counters);
                        handshakes.begin(&door, incoming);
                    }
                    Verdict::Retry => door.retry(incoming),
                    Verdict::Refuse => refuse(incoming, &door.counters, &door.watch),
                }
            }
        }
        let unfinished = handshakes.tasks.len() as u64;
        door.counters.unfinished.store(unfinished, Ordering::Relaxed);
    }
    handshakes.tasks.shutdown().await;
    door.counters.unfinished.store(0, Ordering::Relaxed);
    let (counters, watch) = (door.counters.clone(), door.watch.clone());
    // With the last sender gone `accept` ends after what has arrived already.
    drop(door);
    while let Some(incoming) = endpoint.accept().await {
        refuse(incoming, &counters, &watch);
    }
}

/// The unfinished handshakes, oldest first.
#[derive(Default)]
struct Handshakes {
    tasks: JoinSet<()>,
    places: VecDeque<Place>,
}

struct Place {
    since: Instant,
    /// True once the peer is admitted and only waits for the program to accept it.
    admitted: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Handshakes {
    fn begin(&mut self, door: &Arc<Door>, incoming: Incoming) {
        let admitted = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(handshake(door.clone(), incoming, admitted.clone()));
        self.places.push_back(Place { since: Instant::now(), admitted, task });
    }

    fn oldest(&mut self) -> Duration {
        let over =
            |place: &Place| place.task.is_finished() || place.admitted.load(Ordering::Relaxed);
        while self.places.front().is_some_and(over) {
            self.places.pop_front();
        }
        self.places.front().map_or(Duration::ZERO, |place| place.since.elapsed())
    }

    fn give_up_oldest(&mut self, counters: &Counters) {
        if let Some(place) = self.places.pop_front() {
            place.task.abort();
            counters.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn refuse(incoming: Incoming, counters: &Counters, watch: &Watch) {
    counters.refused.fetch_add(1, Ordering::Relaxed);
    watch(Event::Refused { remote: canonical(incoming.remote_address()) });
    incoming.refuse();
}

impl Door {
    fn retry(&self, incoming: Incoming) {
        let remote = canonical(incoming.remote_address());
        if let Err(proven) = incoming.retry() {
            return refuse(proven.into_incoming(), &self.counters, &self.watch);
        }
        self.counters.retried.fetch_add(1, Ordering::Relaxed);
        (self.watch)(Event::Retried { remote });
    }

    /// From the first packet to a peer that knows it is admitted.
    async fn admit(&self, incoming: Incoming) -> Result<Arrival, LinkError> {
        let seen = Seen::default();
        let mut config = self.template.clone();
        config.crypto = Arc::new(tls::server_config(&self.store, seen.clone())?);
        let quic =
            incoming.accept_with(Arc::new(config))?.await.map_err(|error| explain(error, &seen))?;
        if alpn(&quic).as_deref() == Some(tls::ALPN_ENROL) {
            return Ok(Arrival::Enrol(EnrolRequest::read(quic, &self.store).await?));
        }
        let peer = peer_of(&quic).inspect_err(|error| {
            if let LinkError::TheirCertificate(CertFault::Missing) = error {
                quic.close(Close::NoCertificate.code(), b"muster/1 needs a client certificate");
            }
        })?;
        let role = peer.role;
        let connection = Connection::adopt(&self.store, quic, peer, Side::Listener);
        if role == Role::Aggregator {
            connection.allow_asks(self.tuning.ask_streams);
        }
        let mut admission = connection.0.quic.open_uni().await?;
        admission.write_all(&[ADMITTED]).await?;
        let _ = admission.finish();
        Ok(Arrival::Peer(connection))
    }
}

async fn handshake(door: Arc<Door>, incoming: Incoming, admitted: Arc<AtomicBool>) {
    let remote = canonical(incoming.remote_address());
    door.counters.begun.fetch_add(1, Ordering::Relaxed);
    let after = door.tuning.handshake_timeout;
    let outcome = match tokio::time::timeout(after, door.admit(incoming)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(LinkError::Timeout { what: "finished handshake", after }),
    };
    match outcome {
        // Waiting here keeps a place taken: a program that does not accept is not flooded.
        Ok(arrival) => {
            admitted.store(true, Ordering::Relaxed);
            drop(door.arrived.send(arrival).await);
        }
        Err(why) => {
            door.counters.failed.fetch_add(1, Ordering::Relaxed);
            (door.watch)(Event::HandshakeFailed { remote, why });
        }
    }
}

fn alpn(quic: &quinn::Connection) -> Option<Vec<u8>> {
    quic.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}
