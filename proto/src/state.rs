//! State records: what the aggregator must know of a host at this moment.
//!
//! A state frame's body is the CBOR of a [`StateBatch`]. Newest wins on replay: a record replaces the
//! earlier one of the same key (`facts`, `heartbeat`, a check's id and instance).

use serde::{Deserialize, Serialize};

use crate::clock::Utc;
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::verdict::{Urgency, Verdict};

/// The body of one state frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBatch {
    /// In the order they happened; at most `STATE_RECORDS_MAX`.
    pub records: Vec<StateRecord>,
}

/// One state record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateRecord {
    /// Who the host is. Sent at start and when something changed.
    Facts(HostFacts),
    /// "I am here." Sent every heartbeat interval.
    Heartbeat(Heartbeat),
    /// What one check says now. Sent on change, and all of them on a full report.
    Check(CheckState),
    /// The object of a check is gone for a reason: the check is retired, not resolved.
    CheckGone {
        /// Stable id, as in [`CheckState::id`].
        id: String,
        /// As in [`CheckState::instance`].
        instance: String,
        /// When it went.
        at: Utc,
    },
    /// A full report begins: checks that do not follow in this frame no longer exist.
    FullReport {
        /// When it was drawn up.
        at: Utc,
    },
    /// Records that were dropped at a limit and will never come.
    Gap(Gap),
    /// The host leaves on purpose.
    Bye {
        /// When.
        at: Utc,
        /// Why: "stop", "reboot", "upgrade".
        reason: String,
    },
}

/// Who a host is: identity from the operator, nature from the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Datacenter the host stands in.
    pub datacenter: String,
    /// Role, e.g. `mariadb::core`; empty when not set.
    pub role: String,
    /// Free tags.
    pub tags: Vec<String>,
    /// `PRETTY_NAME` of os-release(5).
    pub os: String,
    /// Kernel release, as uname(2) says.
    pub kernel: String,
    /// Machine, as uname(2) says.
    pub machine: String,
    /// Logical processors online.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Of this boot: `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// When the kernel started.
    pub booted_at: Utc,
    /// Version of the agent.
    pub agent_version: String,
}

/// A sign of life, with the state of the lanes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Heartbeat {
    /// When the agent sent it.
    pub at: Utc,
    /// Seconds until the next one is due.
    pub interval_s: u32,
    /// What waits in each lane.
    pub backlog: Vec<Backlog>,
}

/// What waits in one lane of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Which lane.
    pub lane: Lane,
    /// Frames not yet acked.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records dropped since the stream began.
    pub dropped: u64,
}

/// What one check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// Stable id, `group.name`, e.g. `fs.space`. Never reused for another question.
    pub id: String,
    /// Which object, e.g. `/srv`; empty when there is only one.
    pub instance: String,
    /// The debounced answer.
    pub verdict: Verdict,
    /// Since when it is that.
    pub since: Utc,
    /// When it was last evaluated.
    pub at: Utc,
    /// Seconds after `at` during which the answer counts; then it is stale.
    pub valid_for_s: u32,
    /// Who should hear of it.
    pub urgency: Urgency,
    /// One line for a person, with the numbers.
    pub message: String,
    /// What to do: a hint or a URL.
    pub runbook: String,
    /// Who owns it; empty when nobody said.
    pub owner: String,
    /// Captured when it turned bad: top consumers, log tail. Empty while ok.
    pub evidence: String,
}

/// Frames or records that were dropped at a named limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Where they would have come.
    pub lane: Lane,
    /// Of which stream.
    pub stream: StreamId,
    /// First missing seq; `NONE` when the records never had one.
    pub from: Seq,
    /// Last missing seq.
    pub to: Seq,
    /// How many records.
    pub records: u64,
    /// Which limit, e.g. `spool-budget`, `journal-vacuumed`, `file-vanished`.
    pub why: String,
    /// When it was noticed.
    pub at: Utc,
}
