//! State records: what the aggregator must know of a host at this moment.
//!
//! A state frame's body is the CBOR of a [`StateBatch`]. Newest wins on replay: a record replaces the
//! earlier one of the same key (`facts`, `heartbeat`, a check's id and instance).

use serde::{Deserialize, Serialize};

use crate::cbor::{self, CborError};
use crate::clock::Utc;
use crate::ids::{Seq, StreamId};
use crate::lane::Lane;
use crate::limits::{
    FRAME_RAW_BYTES_MAX, NAME_BYTES_MAX, STATE_RECORDS_MAX, TAGS_MAX, TEXT_BYTES_MAX,
};
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
        /// Why: "stop", or with a promise to return "reboot", "upgrade", "restart".
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

/// Why a state frame's body is refused. Nothing of it may be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not the CBOR of a [`StateBatch`].
    #[error("state frame cannot be read")]
    Cbor(#[from] CborError),
    /// A list or a text is over its limit.
    #[error("{field} of a state record is {value} long, over the limit of {limit}")]
    Limit {
        /// Which.
        field: &'static str,
        /// Entries or bytes.
        value: usize,
        /// What is allowed.
        limit: usize,
    },
}

/// The body of a state frame.
///
/// The limits are the reader's; a writer that takes text from elsewhere asks
/// [`StateBatch::within_limits`] first, or its frame is refused when it is opened.
pub fn encode_state(batch: &StateBatch) -> Vec<u8> {
    serde_cbor::to_vec(batch).expect("plain data with text keys is always CBOR, and a Vec has room")
}

/// Reads the body of a state frame.
///
/// # Errors
/// [`StateError`]. Fields that are not known here are skipped; record kinds that are not known are
/// errors, for nobody can say what leaving them out would mean.
pub fn parse_state(raw: &[u8]) -> Result<StateBatch, StateError> {
    let batch: StateBatch = cbor::parse(raw, FRAME_RAW_BYTES_MAX)?;
    batch.within_limits()?;
    Ok(batch)
}

impl StateBatch {
    /// Checks every list and text against its limit.
    ///
    /// # Errors
    /// [`StateError::Limit`].
    pub fn within_limits(&self) -> Result<(), StateError> {
        within("list of records", self.records.len(), STATE_RECORDS_MAX)?;
        self.records.iter().try_for_each(StateRecord::within_limits)
    }
}

impl StateRecord {
    fn within_limits(&self) -> Result<(), StateError> {
        match self {
            StateRecord::Facts(facts) => facts.within_limits(),
            StateRecord::Heartbeat(beat) => {
                within("list of lanes", beat.backlog.len(), Lane::ALL.len())
            }
            StateRecord::Check(check) => check.within_limits(),
            StateRecord::CheckGone { id, instance, at: _ } => {
                names([("check id", id), ("check instance", instance)])
            }
            StateRecord::FullReport { at: _ } => Ok(()),
            StateRecord::Gap(gap) => names([("reason", &gap.why)]),
            StateRecord::Bye { at: _, reason } => names([("reason", reason)]),
        }
    }
}

impl HostFacts {
    fn within_limits(&self) -> Result<(), StateError> {
        within("list of tags", self.tags.len(), TAGS_MAX)?;
        self.tags.iter().try_for_each(|tag| names([("tag", tag)]))?;
        names([
            ("datacenter", &self.datacenter),
            ("role", &self.role),
            ("operating system", &self.os),
            ("kernel", &self.kernel),
            ("machine", &self.machine),
            ("boot id", &self.boot_id),
            ("agent version", &self.agent_version),
        ])
    }
}

impl CheckState {
    fn within_limits(&self) -> Result<(), StateError> {
        names([
            ("check id", &self.id),
            ("check instance", &self.instance),
            ("owner", &self.owner),
        ])?;
        for (field, text) in
            [("message", &self.message), ("runbook", &self.runbook), ("evidence", &self.evidence)]
        {
            within(field, text.len(), TEXT_BYTES_MAX)?;
        }
        Ok(())
    }
}

fn names<const N: usize>(fields: [(&'static str, &String); N]) -> Result<(), StateError> {
    fields.into_iter().try_for_each(|(field, name)| within(field, name.len(), NAME_BYTES_MAX))
}

fn within(field: &'static str, value: usize, limit: usize) -> Result<(), StateError> {
    if value > limit {
        return Err(StateError::Limit { field, value, limit });
    }
    Ok(())
}
