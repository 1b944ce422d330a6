//! What goes in and out of the intake.

use crate::control::{TALK_VERSION, Welcome};
use crate::frame::Kind;
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;

/// Who the aggregator is, as its Welcomes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speaker {
    /// Name, as in its certificate.
    pub aggregator: String,
    /// Datacenter it stands in.
    pub datacenter: String,
}

/// Answer to a Hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// Say this and take frames (or close, when the Hello was a probe).
    Welcome(Welcome),
    /// Say `Refused` with this reason and close.
    Refused(Refusal),
}

/// Why a Hello is not welcome. The text is for the operator on the other side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another version of the conversation.
    #[error(
        "the agent speaks version {theirs} of the conversation, this aggregator {TALK_VERSION}"
    )]
    Version {
        /// What the Hello says.
        theirs: u16,
    },
    /// The host is not who it says.
    #[error("the certificate is for {certificate}, the hello says {hello}")]
    Name {
        /// Name in the certificate.
        certificate: String,
        /// Name in the Hello, cut at `NAME_BYTES_MAX`.
        hello: String,
    },
    /// A field makes no sense or is too long.
    #[error("the hello's {field} is not acceptable")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// The stream belongs to another host here.
    #[error("stream {stream} of lane {lane} belongs to another host: was a spool copied?")]
    OtherHost {
        /// Which lane.
        lane: Lane,
        /// Which stream.
        stream: StreamId,
    },
    /// A second Hello on one connection.
    #[error("a connection has one hello")]
    Again,
    /// The aggregator is about to go.
    #[error("the aggregator is going away: {reason}")]
    Draining {
        /// As in `Drain`.
        reason: String,
    },
}

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Hand it to the committer.
    Store,
    /// It is durable here already; forget it. The ack is said again by itself.
    Repeat,
    /// Say `Refused` and close the connection.
    Refused(Objection),
}

/// Why a frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// Frames before the Hello, on a probe, or after a refusal.
    #[error("a frame came without a welcome")]
    NotWelcome,
    /// The Hello did not offer this lane.
    #[error("a frame came on lane {0}, which the hello did not offer")]
    Lane(Lane),
    /// The Hello offered another stream on this lane.
    #[error("a frame on lane {lane} is of stream {stream}, which the hello did not offer")]
    Stream {
        /// Which lane.
        lane: Lane,
        /// What the frame says.
        stream: StreamId,
    },
    /// A body that has no business on this lane.
    #[error("a {kind:?} frame came on lane {lane}")]
    Kind {
        /// Which lane.
        lane: Lane,
        /// What the frame says.
        kind: Kind,
    },
    /// Frames of one connection go up.
    #[error("frame {seq} came on lane {lane} after frame {after}")]
    Backwards {
        /// Which lane.
        lane: Lane,
        /// What came.
        seq: Seq,
        /// What came before.
        after: Seq,
    },
    /// More bytes than the credit allows.
    #[error("{held} bytes are under way, the credit was {credit}")]
    OverCredit {
        /// With this frame, bytes.
        held: u64,
        /// The most that was ever given on this connection, bytes.
        credit: u64,
    },
}

/// What happened on the connection; for the aggregator's own metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames for the committer, dicts included.
    pub frames: u64,
    /// Frames that were durable already.
    pub repeats: u64,
    /// Seqs that were skipped: dropped by the agent, or acked by another aggregator meanwhile.
    pub jumped: u64,
    /// Frames refused.
    pub refused: u64,
    /// Acks said.
    pub acks: u64,
}
