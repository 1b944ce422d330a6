//! A connection to a peer whose certificate was verified: control stream, lanes, questions.
//!
//! Room: `link`.  Used by: `dial`, `listen` (who make it), `control`, `lane`, `ask`, the programs.
//!
//! Streams by number, so that both sides know each one without a prefix (RFC 9000 §2.1):
//!
//! ```text
//! dialler's bidirectional 0      the control stream
//! all other bidirectional ones   one question and its answer each, from either side
//! listener's unidirectional 0    admission: one byte, 1. "Your certificate is accepted."
//! all other unidirectional ones  lanes
//! ```
//!
//! Admission exists because in TLS 1.3 a client is done before the server has looked at the client's
//! certificate: without it a dial would succeed and fail a moment later, with the reason lost.
//!
//! Everything taken from a connection keeps it alive and known to the [`IdentityStore`], which closes
//! it when its certificate is revoked. When the last handle is dropped the connection is closed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{RecvStream, SendStream, VarInt};
use tokio::sync::Notify;

use muster_proto::lane::Lane;

use crate::ask::{self, Ask};
use crate::control::{ControlRx, ControlTx};
use crate::error::{Close, LinkError};
use crate::lane::{LaneRx, LaneTx};
use crate::peer::Peer;
use crate::store::IdentityStore;

/// A connection. Clones are handles to the same one.
#[derive(Clone)]
pub struct Connection(pub(crate) Arc<Shared>);

type Bidi = (SendStream, RecvStream);

pub(crate) struct Shared {
    pub(crate) quic: quinn::Connection,
    pub(crate) peer: Peer,
    number: u64,
    store: Arc<IdentityStore>,
    dialled: bool,
    parked: Mutex<Parked>,
    arrived: Notify,
}

/// Streams that came while somebody waited for the other kind.
#[derive(Default)]
struct Parked {
    control: Option<Bidi>,
    asks: VecDeque<Bidi>,
}

impl Shared {
    pub(crate) fn close(&self, close: Close, reason: &str) {
        self.quic.close(close.code(), reason.as_bytes());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.store.leave(self.number);
    }
}

/// Which side of a connection made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialler,
    Listener,
}

impl Connection {
    /// Wraps a finished handshake and begins to watch for its revocation.
    pub(crate) fn adopt(
        store: &Arc<IdentityStore>,
        quic: quinn::Connection,
        peer: Peer,
        side: Side,
    ) -> Connection {
        let shared = store.enter(|number| {
            Arc::new(Shared {
                quic,
                peer,
                number,
                store: store.clone(),
                dialled: side == Side::Dialler,
                parked: Mutex::default(),
                arrived: Notify::new(),
            })
        });
        // Revoked between the verifier's look and the entry into the list of live connections.
        if store.is_revoked(&shared.peer.serial) {
            shared.close(Close::Revoked, "the certificate was revoked");
        }
        Connection(shared)
    }

    /// The dialler's side opens its control stream at once, so that it has the number 0.
    pub(crate) fn keep_control(&self, control: Bidi) {
        self.parked().control = Some(control);
    }

    /// Lets the peer open this many questions at a time. quinn reserves a slot for each.
    pub(crate) fn allow_asks(&self, streams: u32) {
        self.0.quic.set_max_concurrent_bi_streams(VarInt::from_u32(streams));
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Where the peer is now; it may move. An IPv4 address is shown as such on a dual-stack socket.
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.0.quic.remote_address())
    }

    /// UDP datagrams received so far. While it grows, the peer lives.
    pub fn datagrams_received(&self) -> u64 {
        self.0.quic.stats().udp_rx.datagrams
    }

    /// Smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.0.quic.rtt()
    }

    /// A number that no other connection of the same [`IdentityStore`] has had.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The dialler's end of the control stream. Once for each connection.
    ///
    /// # Errors
    /// [`LinkError::Protocol`] when it was taken already or this side listened; else the connection's end.
    pub fn open_control(&self) -> Result<(ControlTx, ControlRx), LinkError> {
        if let Some(reason) = self.0.quic.close_reason() {
            return Err(reason.into());
        }
        let taken = || LinkError::protocol("the control stream is taken, or this side listened");
        let bidi = self.own_control().ok_or_else(taken)?;
        Ok(self.control(bidi))
    }

    /// The listener's end of the control stream: waits until the dialler says something on it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`LinkError::Protocol`] on the side that dialled; else the connection's end.
    pub async fn accept_control(&self) -> Result<(ControlTx, ControlRx), LinkError> {
        if self.0.dialled {
            return Err(LinkError::protocol("the side that dialled opens the control stream"));
        }
        let bidi = self.next_bidi(|parked| parked.control.take()).await?;
        Ok(self.control(bidi))
    }

    /// Opens a lane. The peer sees it with its first frame. Waits while too many are open.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn open_lane(&self, lane: Lane) -> Result<LaneTx, LinkError> {
        let stream = self.0.quic.open_uni().await?;
        let _ = stream.set_priority(lane.priority());
        Ok(LaneTx::new(self.clone(), stream))
    }

    /// The next lane that the peer opened. Cancel safe.
    ///
    /// # Errors
    /// The connection's end.
    pub async fn accept_lane(&self) -> Result<LaneRx, LinkError> {
        let stream = self.0.quic.accept_uni().await?;
        Ok(LaneRx::new(self.clone(), stream))
    }

    /// Asks the peer something and waits for the whole answer. Bytes in, bytes out.
    ///
    /// Absent on purpose: a timeout; the caller knows how long its question may take, and dropping
    /// the future tells the peer to stop.
    ///
    /// # Errors
    /// [`LinkError::TooLong`] over `ASK_BYTES_MAX`; [`LinkError::Protocol`] when the answer is over
    /// `ANSWER_BYTES_MAX`; [`LinkError::StreamAbandoned`] when the peer does not answer; the end of
    /// the connection.
    pub async fn ask(&self, question: &[u8]) -> Result<Vec<u8>, LinkError> {
        ask::ask(self, question).await
    }

    /// The next question of the peer, read in full.
    ///
    /// Call it from one loop that does nothing else: a question whose reading is cancelled is
    /// abandoned, and its asker is told so.
    ///
    /// # Errors
    /// The connection's end. A bad or slow question is abandoned and the next one awaited.
    pub async fn accept_ask(&self) -> Result<Ask, LinkError> {
        loop {
            let bidi = self.next_bidi(|parked| parked.asks.pop_front()).await?;
            if let Some(ask) = ask::read(self, bidi).await? {
                return Ok(ask);
            }
        }
    }

    /// Closes the connection. What was written and not yet received may be lost.
    pub fn close(&self, close: Close, reason: &str) {
        self.0.close(close, reason);
    }

    /// Waits until the connection has ended and says why.
    pub async fn closed(&self) -> LinkError {
        self.0.quic.closed().await.into()
    }

    /// Why the connection has ended, or `None` while it lives.
    pub fn close_reason(&self) -> Option<LinkError> {
        self.0.quic.close_reason().map(LinkError::from)
    }

    /// Changes how many bytes the peer may have under way to us. Bytes.
    pub fn allow_bytes(&self, window_bytes: u32) {
        self.0.quic.set_receive_window(VarInt::from_u32(window_bytes));
    }

    fn control(&self, (send, recv): Bidi) -> (ControlTx, ControlRx) {
        let _ = send.set_priority(CONTROL_PRIORITY);
        (ControlTx::new(self.clone(), send), ControlRx::new(self.clone(), recv))
    }

    fn own_control(&self) -> Option<Bidi> {
        if self.0.dialled { self.parked().control.take() } else { None }
    }

    fn parked(&self) -> std::sync::MutexGuard<'_, Parked> {
        self.0.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next stream of the kind that `take` takes. Streams of the other kind are parked; there
    /// are never more of them than the peer may have open.
    async fn next_bidi(
        &self,
        take: impl Fn(&mut Parked) -> Option<Bidi>,
    ) -> Result<Bidi, LinkError> {
        loop {
            let arrived = self.0.arrived.notified();
            if let Some(bidi) = take(&mut self.parked()) {
                return Ok(bidi);
            }
            tokio::select! {
                () = arrived => {}
                bidi = self.0.quic.accept_bi() => {
                    let bidi = bidi?;
                    // Only what the peer opened arrives here; number 0 of a dialler is control.
                    let control = !self.0.dialled && bidi.1.id().index() == 0;
                    let mut parked = self.parked();
                    if control {
                        parked.control = Some(bidi);
                    } else {
                        parked.asks.push_back(bidi);
                    }
                    drop(parked);
                    self.0.arrived.notify_waiters();
                }
            }
        }
    }
}

/// Above every lane: an ack never waits behind a frame.
const CONTROL_PRIORITY: i32 = 10;

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peer = self.peer();
        write!(f, "Connection({} {} at {})", peer.role, peer.name, self.remote_address())
    }
}

/// An IPv4 peer of a dual-stack socket as what it is.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
