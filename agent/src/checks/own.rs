//! What the agent knows about itself, told by the app: nobody reads a file for it.

use muster_proto::clock::Utc;
use muster_proto::lane::Lane;

/// The agent's own state in one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OwnFacts {
    /// One for each lane's spool.
    pub spools: Vec<SpoolFacts>,
    /// The line to the aggregators; `None` when the app has no uplink at all.
    pub uplink: Option<UplinkFacts>,
    /// The certificate it shows; `None` before enrolment.
    pub certificate: Option<CertificateFacts>,
    /// Resident memory of the agent, bytes; `None` when not known.
    pub rss_bytes: Option<u64>,
    /// Log files that are looked after.
    pub log_files: u64,
    /// Bytes of log files that went before they were read, since the agent started.
    pub log_lost_bytes: u64,
    /// The log sources that need a look.
    pub logs: Vec<LogFacts>,
}

/// One lane's spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolFacts {
    /// Which lane.
    pub lane: Lane,
    /// Bytes waiting for an ack.
    pub used_bytes: u64,
    /// Bytes it may hold.
    pub budget_bytes: u64,
    /// Why it cannot write now (`No space left on device`); `None` when it can.
    pub write_error: Option<String>,
    /// Frames dropped at its budget since the stream began.
    pub dropped: u64,
}

/// The line to the aggregators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UplinkFacts {
    /// Name of the aggregator it is connected to; `None` when there is none.
    pub connected_to: Option<String>,
    /// Whether that is one of the home datacenter.
    pub is_home: bool,
    /// When the last durable ack arrived; `None` before the first.
    pub last_ack_at: Option<Utc>,
    /// When the agent began to try.
    pub started_at: Utc,
    /// Whether anything waits for an ack: a line with nothing to say is not late.
    pub has_unacked: bool,
    /// What went wrong last, in words.
    pub last_error: Option<String>,
}

/// The certificate the agent shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateFacts {
    /// From when it is valid.
    pub issued_at: Utc,
    /// Until when.
    pub expires_at: Utc,
}

/// A source of log lines that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFacts {
    /// Path, `journald`, `kmsg` …
    pub name: String,
    /// Why it cannot be read; `None` when it can.
    pub unreadable: Option<String>,
    /// Bytes written to it and not read yet.
    pub behind_bytes: u64,
}
