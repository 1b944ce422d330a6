//! Control messages: the conversation beside the lanes.
//!
//! On the wire each is `len u32 le | CBOR [u8; len]`, at most `CONTROL_BYTES_MAX`, on the first
//! bidirectional stream of a connection. The agent speaks first.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cbor::{self, CborError};
use crate::digest::Rank;
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::CONTROL_BYTES_MAX;

/// Version of the conversation, said in [`Hello`]. Raised when a field changes its meaning.
pub const TALK_VERSION: u16 = 1;

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// First message of a connection.
    Hello(Hello),
    /// The agent leaves on purpose and will not send more.
    Bye {
        /// "stop", "reboot", "upgrade", "failback".
        reason: String,
    },
    /// Says nothing: the QUIC acknowledgement that it provokes is the answer. Sent while frames are
    /// unacked and the line is silent, to tell a slow disk from a dead peer.
    Nudge,
    /// Please sign this: a PKCS#10 certificate request (RFC 2986), DER, for the same host name.
    Renew {
        /// DER of the request.
        #[serde(with = "serde_bytes")]
        csr: Vec<u8>,
    },
}

/// Which certificate authorities an agent goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootsHeld {
    /// Number of the list of roots that it took last; 0 when it never took one.
    pub number: u64,
    /// Whether its own certificate is by the authority that issues, as that list says.
    pub is_current: bool,
}

/// First message of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`TALK_VERSION`] of the speaker.
    pub version: u16,
    /// Host name; must be the certificate's.
    pub host: String,
    /// Datacenter the host stands in, so that it is known before its first state frame.
    pub datacenter: String,
    /// Version of the agent program.
    pub agent_version: String,
    /// True when this connection only asks whether the aggregator would take the agent.
    pub probe: bool,
    /// Where each lane stands.
    pub lanes: Vec<LaneOffer>,
    /// Which run of the agent: microseconds since 1970 when it started, by its own clock. Together with `turn` it
    /// tells which of two connections of a host is the newer one. 0: not said.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch: u64,
    /// Microseconds from there to this Hello, monotonic.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u64,
    /// Which certificate authorities it goes by. Absent: it does not know [`FromAggregator::Roots`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots: Option<RootsHeld>,
}

impl Hello {
    /// Which of the host's connections this is.
    pub fn rank(&self) -> Rank {
        Rank { epoch: self.epoch, turn: self.turn }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where one lane of the agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOffer {
    /// Which lane.
    pub lane: Lane,
    /// Its stream.
    pub stream: StreamId,
    /// First frame that nobody has acked.
    pub first_unacked: Seq,
    /// Last frame that is durable at the agent; `first_unacked - 1` when there is none.
    pub last: Seq,
}

/// What an aggregator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAggregator {
    /// Answer to [`Hello`].
    Welcome(Welcome),
    /// Every frame of the stream up to and including `seq` is on this aggregator's disk, synced.
    Ack {
        /// Which lane.
        lane: Lane,
        /// Which stream.
        stream: StreamId,
        /// Last durable seq.
        seq: Seq,
    },
    /// From now on at most this many unacked bytes may be under way on this connection. 0 pauses.
    Credit {
        /// Window, bytes.
        bytes: u64,
    },
    /// This aggregator goes away: finish what is under way, then go to another one.
    Drain {
        /// "stop", "shed", "disk-full".
        reason: String,
        /// Do not come back before this many milliseconds.
        retry_after_ms: u64,
    },
    /// Answer to [`FromAgent::Renew`]: the new chain, leaf first, DER.
    Renewed {
        /// Certificates, leaf first.
        chain: Vec<serde_bytes::ByteBuf>,
    },
    /// These are the certificate authorities now. The bytes are an authority's signed list,
    /// whose format the link knows: an aggregator only passes it on. Said only to who knows it, see [`Hello`].
    Roots {
        /// The signed list.
        #[serde(with = "serde_bytes")]
        list: Vec<u8>,
    },
    /// Why the aggregator is about to close the connection, for the agent's log.
    Refused {
        /// A sentence for the operator.
        why: String,
    },
}

/// Answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The aggregator's name.
    pub aggregator: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Last durable seq of each offered stream that this aggregator knows; unknown ones are absent.
    pub known: Vec<LaneKnown>,
    /// Unacked bytes that may be under way on this connection.
    pub credit_bytes: u64,
}

/// What an aggregator has of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneKnown {
    /// Which lane.
    pub lane: Lane,
    /// Which stream.
    pub stream: StreamId,
    /// Last seq on its disk, synced.
    pub durable: Seq,
}

/// A control message as CBOR, without its length word.
///
/// # Errors
/// [`CborError::Long`] when it is over `CONTROL_BYTES_MAX`.
pub fn encode_control<T: Serialize>(message: &T) -> Result<Vec<u8>, CborError> {
    cbor::encode(message, CONTROL_BYTES_MAX)
}

/// A control message from outside, without its length word.
///
/// # Errors
/// Any [`CborError`] but `Encode`. Fields that are not known here are skipped, not errors.
pub fn parse_control<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CborError> {
    cbor::parse(bytes, CONTROL_BYTES_MAX)
}
