//! What the state store keeps of a roster, and gives back after a restart.

use muster_proto::clock::Utc;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::state::{CheckState, Heartbeat, HostFacts};
use serde::{Deserialize, Serialize};

/// What changed in a roster, to be saved in one transaction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Hosts that are new or changed; each replaces the record of the same name.
    pub hosts: Vec<HostRecord>,
    /// Checks that are new or changed; each replaces the record of the same [`CheckRef`].
    pub checks: Vec<CheckRecord>,
    /// Checks that are no more.
    pub gone_checks: Vec<CheckRef>,
    /// Hosts that are no more, with all their checks.
    pub gone_hosts: Vec<String>,
}

impl Changes {
    /// Nothing to save.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
            && self.checks.is_empty()
            && self.gone_checks.is_empty()
            && self.gone_hosts.is_empty()
    }

    /// Adds what changed later. The order inside a save is: gone, then new or changed; so whatever
    /// came back is taken out of what is gone.
    pub fn merge(&mut self, later: Changes) {
        let Changes { hosts, checks, gone_checks, gone_hosts } = later;
        self.hosts.retain(|host| !gone_hosts.contains(&host.host));
        self.checks.retain(|check| {
            !gone_hosts.contains(&check.host) && !gone_checks.iter().any(|gone| gone.is(check))
        });
        self.hosts.extend(hosts);
        self.checks.extend(checks);
        self.gone_checks.extend(gone_checks);
        self.gone_hosts.extend(gone_hosts);
    }
}

/// A host without its checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Name, as its certificate says. The key.
    pub host: String,
    /// Datacenter.
    pub datacenter: String,
    /// Aggregator that heard it last.
    pub aggregator: String,
    /// When it was first heard of.
    pub first_seen: Utc,
    /// When it last gave a sign of life, by the aggregator's clock.
    pub last_seen: Utc,
    /// Word of its liveness: `live`, `late`, `lost`, `departed`.
    pub state: String,
    /// Its streams, the newest first.
    pub lives: Vec<LifeRecord>,
}

/// What is known of one stream of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeRecord {
    /// Which stream.
    pub stream: StreamId,
    /// Last batch taken.
    pub newest: Seq,
    /// Newest time of a record, by the host's clock.
    pub newest_at: Utc,
    /// Position and time of the last full report.
    pub full: Option<(Seq, u32, Utc)>,
    /// Facts and their position.
    pub facts: Option<(Seq, u32, HostFacts)>,
    /// Heartbeat and its position.
    pub heartbeat: Option<(Seq, u32, Heartbeat)>,
    /// When the host left, why, and the record's position.
    pub bye: Option<(Seq, u32, Utc, String)>,
    /// Records that were dropped at a limit and will never come.
    pub lost_records: u64,
    /// Checks that are gone since the last full report: id, instance, and the record's position.
    pub gone: Vec<(String, String, Seq, u32)>,
}

/// A check of a stream of a host. The key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckRef {
    /// Which host.
    pub host: String,
    /// Which stream.
    pub stream: StreamId,
    /// Which check.
    pub id: String,
    /// Of which object.
    pub instance: String,
}

impl CheckRef {
    fn is(&self, check: &CheckRecord) -> bool {
        (&self.host, &self.stream) == (&check.host, &check.stream)
            && (&self.id, &self.instance) == (&check.state.id, &check.state.instance)
    }
}

/// One check state and its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// Which host.
    pub host: String,
    /// Which stream.
    pub stream: StreamId,
    /// Which batch said it.
    pub seq: Seq,
    /// Place in the batch.
    pub index: u32,
    /// What it said.
    pub state: CheckState,
}
