//! The rows of every answer: one type for the JSON that people get and the CBOR that peers exchange.
//!
//! Times are RFC 3339 UTC with microseconds in JSON, microseconds since 1970 in CBOR. Values that JSON has no
//! number for are the strings `NaN`, `+Inf`, `-Inf`; in CBOR every value keeps its bits.

use std::collections::BTreeMap;

use muster_proto::clock::Utc;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::log::Severity;
use muster_proto::metric::MetricType;
use muster_proto::state::Backlog;
use muster_proto::verdict::{Urgency, Verdict};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::moment;

/// A moment in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub Utc);

/// A value in an answer.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Number(pub f64);

/// A host in `GET hosts`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostRow {
    /// Name.
    pub host: String,
    /// Datacenter it stands in.
    pub datacenter: String,
    /// Role, empty when not set.
    pub role: String,
    /// `live`, `late`, `lost`, `departed`.
    pub state: String,
    /// Aggregator that hears it.
    pub aggregator: String,
    /// Last sign of life, by the aggregator's clock.
    pub last_seen: Stamp,
    /// Worst verdict of its checks; empty when it has none.
    pub worst_check: String,
    /// Version of its agent; empty when not known.
    pub agent_version: String,
    /// Why it departed; empty else.
    pub reason: String,
    /// Id of the worst check; empty when there is none or all is well.
    pub worst_check_id: String,
    /// Free tags.
    pub tags: Vec<String>,
    /// How many checks say what.
    pub checks: CountsRow,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine, as uname(2) says.
    pub machine: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// When the kernel started; absent when not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<Stamp>,
    /// First sign of life.
    pub first_seen: Stamp,
    /// Records that were dropped at a limit of the host.
    pub lost_records: u64,
    /// What waits in its lanes.
    pub backlog: Vec<Backlog>,
}

/// How many checks say what; stale ones are counted under their frozen verdict, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the verdicts
pub struct CountsRow {
    pub ok: u64,
    pub warn: u64,
    pub crit: u64,
    pub unknown: u64,
    pub stale: u64,
}

impl CountsRow {
    /// Counts one more check.
    pub(super) fn add(&mut self, check: &CheckRow) {
        match check.verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Warn => self.warn += 1,
            Verdict::Crit => self.crit += 1,
            Verdict::Unknown => self.unknown += 1,
        }
        self.stale += u64::from(check.stale);
    }
}

/// A check in `GET checks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRow {
    /// Which host.
    pub host: String,
    /// Stable id.
    pub id: String,
    /// Which object; empty when there is only one.
    pub instance: String,
    /// What it says.
    pub verdict: Verdict,
    /// Its time is over, or the host is away: it neither clears nor raises.
    pub stale: bool,
    /// Who should hear of it.
    pub urgency: Urgency,
    /// Since when it says so.
    pub since: Stamp,
    /// One line with the numbers.
    pub message: String,
    /// What to do.
    pub runbook: String,
    /// Who owns it.
    pub owner: String,
    /// When it was last evaluated, by the host's clock.
    pub at: Stamp,
    /// Datacenter of the host.
    pub datacenter: String,
    /// Captured when it turned bad; only in `GET hosts/NAME`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
}

/// What one aggregator knows of the checks of a host, so that newer knowledge overrules older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Which host.
    pub host: String,
    /// Newest record, by the host's clock.
    pub at: Utc,
    /// Newest batch of the newest stream.
    pub seq: Seq,
    /// It knows every check of the host; older knowledge adds nothing.
    pub complete: bool,
    /// Checks it speaks of, also those the question leaves out; only when not complete.
    pub spoken: Vec<(String, String)>,
}

/// One aggregator's part of an answer about the fleet.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FleetPart {
    /// Aggregator that answers.
    pub aggregator: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: Stamp,
    /// Every host it knows, or the one that was asked for.
    pub hosts: Vec<HostRow>,
    /// Their checks, if asked for.
    pub checks: Vec<CheckRow>,
    /// How far its knowledge of each host goes, if checks were asked for.
    pub known: Vec<Known>,
    /// There were more checks than fit.
    pub truncated: bool,
    /// What is wrong with the aggregator itself, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Its checks of itself, as far as they are asked for; under its own name as host. They stand apart from
    /// `checks`, because what is newer of the host of that name must not overrule them.
    #[serde(default)]
    pub own_checks: Vec<CheckRow>,
    /// Scopes of the incidents that it sees open. Their ids differ until all have heard of the earliest view.
    #[serde(default)]
    pub incidents: Vec<String>,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRow {
    /// When it was written.
    pub at: Utc,
    /// Which host.
    pub host: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Log class.
    pub class: String,
    /// Path or unit.
    pub source: String,
    /// Program; may be empty.
    pub program: String,
    /// How bad.
    pub severity: Severity,
    /// The line; any bytes, no newline.
    #[serde(with = "serde_bytes")]
    pub text: Vec<u8>,
    /// Stream of the host's log lane.
    pub stream: StreamId,
    /// Frame in the stream.
    pub seq: Seq,
    /// Line in the frame.
    pub index: u32,
}

/// One aggregator's part of a log answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogsPart {
    /// In the order that was asked for.
    pub lines: Vec<LogRow>,
    /// Text looked through. Bytes.
    pub scanned_bytes: u64,
    /// Why not everything was looked at.
    pub truncated: Option<String>,
    /// The limit was reached: there may be more.
    pub limited: bool,
}

/// A series with its last value, or with the points of a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// Metric name.
    pub name: String,
    /// Prometheus type.
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// Which host.
    pub host: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its labels, without host and datacenter.
    pub labels: BTreeMap<String, String>,
    /// When the last value was read; absent for a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Stamp>,
    /// The last value; absent for a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Number>,
    /// Moments and values of a range; absent for the last value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<(Stamp, Number)>,
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&moment::to_rfc3339(self.0))
        } else {
            to.serialize_i64(self.0.0)
        }
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Stamp, D::Error> {
        Ok(Stamp(Utc(i64::deserialize(from)?)))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() && !self.0.is_finite() {
            to.serialize_str(&self.to_string())
        } else {
            to.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        Ok(Number(f64::deserialize(from)?))
    }
}

/// As the Prometheus text format writes it.
impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}
