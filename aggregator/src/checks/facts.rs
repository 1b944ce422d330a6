//! What the checks of an aggregator are judged from.

use muster_proto::clock::Utc;

/// What the aggregator knows of itself at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Share of the state directory's file system that is free, 0.0 to 1.0, or why nobody knows.
    pub disk_free: Result<f64, String>,
    /// Frames are not acked for lack of room on the disk.
    pub stops_acking: bool,
    /// Every lane of the inbox.
    pub lanes: Vec<LaneFacts>,
    /// Every store.
    pub stores: Vec<StoreFacts>,
    /// Names of the other aggregators, and whether a link to them is open.
    pub peers: Vec<(String, bool)>,
    /// Our own certificate.
    pub certificate: CertificateFacts,
    /// How our copy of the revocation list is kept.
    pub revocations: RevocationFacts,
    /// Limits that bound what one host can make us remember: name, and how often each was hit since the start.
    pub overflows: Vec<(&'static str, u64)>,
}

/// One lane of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneFacts {
    /// Name of the lane.
    pub lane: String,
    /// Why it takes nothing in, as long as it does not.
    pub refusal: Option<String>,
    /// What it keeps. Bytes.
    pub bytes: u64,
    /// What it may keep. Bytes.
    pub budget_bytes: u64,
}

/// One store and the follower that feeds it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreFacts {
    /// Name: `state`, `metrics`, `logs`.
    pub store: String,
    /// Frames that are in the inbox and that it has not taken. Count.
    pub waiting: u64,
    /// Times it failed since the start. Count.
    pub failures: u64,
    /// The last failure; empty when there was none.
    pub last_error: String,
}

/// When a certificate was issued and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CertificateFacts {
    /// When its life began.
    pub issued_at: Utc,
    /// When it ends.
    pub expires_at: Utc,
}

/// How our copy of the revocation list is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevocationFacts {
    /// When the authority, here or at a peer, last said what is revoked.
    pub heard_at: Utc,
    /// Why the latest list was not taken.
    pub trouble: Option<String>,
}
