//! What goes in and out of the uplink.

use std::time::Duration;

use crate::ids::{Seq, StreamId};
use crate::lane::Lane;

/// Who the agent is, as its Hellos say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Host name, as in the certificate.
    pub host: String,
    /// Datacenter the host stands in.
    pub datacenter: String,
    /// Version of the agent program.
    pub agent_version: String,
}

/// The two clocks that run while data is unacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// No QUIC packet for this long: the path or the peer is dead. Default 500 ms. A living peer
    /// answers within 25 ms even when its disk hangs; on a line with a round trip over 100 ms
    /// raise it to four round trips.
    pub liveness: Duration,
    /// No ack for this long: the peer is sick. Default 10 s.
    pub progress: Duration,
    /// How often the pump looks at the packet counter while data is unacked. Default 100 ms.
    pub poll: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            liveness: Duration::from_millis(500),
            progress: Duration::from_secs(10),
            poll: Duration::from_millis(100),
        }
    }
}

/// What a lane's spool says at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneStart {
    /// Which lane.
    pub lane: Lane,
    /// Its spool's stream.
    pub stream: StreamId,
    /// The spool's uplink cursor: everything up to here was acked or dropped.
    pub acked: Seq,
    /// Last durable seq.
    pub durable: Seq,
}

/// What the pump is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Read entries of `lane` from `from` on and write them, at most `bytes_max` altogether, then
    /// say `on_send_done`. One turn a lane at a time.
    Send {
        /// Which connection life; goes back into [`Sent`].
        life: u64,
        /// Which lane.
        lane: Lane,
        /// First seq.
        from: Seq,
        /// Bytes of whole frames; a frame that is longer than the rest of it stays.
        bytes_max: u64,
    },
    /// Everything up to `upto` is safe elsewhere: the spool may forget it.
    Release {
        /// Which lane.
        lane: Lane,
        /// Last seq.
        upto: Seq,
    },
    /// Write `FromAgent::Nudge` on the control stream, so that a living peer sends a packet. It is
    /// silent because nothing was sent for a while: the window is full, or its disk is slow.
    Nudge,
    /// The live connection may be dead or sick. Said once, until `Recovered`.
    Suspect(Why),
    /// The suspicion was wrong, or its cause is gone.
    Recovered,
    /// The aggregator has more of this stream than the spool ever had: the spool directory went back
    /// in time (restored from a backup), so its seqs mean two things. Nothing of this lane is sent;
    /// the pump moves it to a new stream.
    Forked {
        /// Which lane.
        lane: Lane,
        /// Last seq that the spool has.
        durable: Seq,
    },
}

/// Why a connection is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// No packet for [`Timing::liveness`].
    Silent,
    /// Packets, but no ack for some lane for [`Timing::progress`].
    Stuck,
}

/// A frame was written to the live connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// As in the order.
    pub life: u64,
    /// As in the order.
    pub lane: Lane,
    /// Seq of the frame.
    pub seq: Seq,
    /// Its whole length, bytes.
    pub bytes: u64,
}

/// What should not happen, counted; for the agent's own metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Acks for a stream that is not ours.
    pub acks_foreign: u64,
    /// Acks beyond what was sent.
    pub acks_ahead: u64,
    /// Acks while no connection is live.
    pub acks_stray: u64,
    /// Reports of frames sent in an earlier life, or out of order.
    pub sent_stray: u64,
    /// Welcomes that know more of a stream than we.
    pub forked: u64,
    /// Suspicions that proved wrong.
    pub recovered: u64,
}
