//! The roll of the fleet: which hosts there are, whether they live, what their checks say.
//!
//! Room: `roster`.  May use: `proto`.  Used by: `api`, the app (which feeds it and saves its changes).
//! A pure state machine: batches, connections and the time go in (`on_*`), views and changes come out.
//!
//! ```text
//! live ──2 beats silent──> late ──5 beats silent──> lost
//!   ^ \                      │                       │
//!   │  `──Bye──> departed ───┼─(a promise to return, not kept)──> lost
//!   └──────── a newer batch, or a connection ────────┘
//! ```
//!
//! Invariants
//! - Within one stream the newest `(seq, index)` wins; between streams of one host, the one whose records are
//!   newest. Any order of the same batches, with repeats, ends in the same checks (test: `converges`).
//! - A repeat is never a sign of life.
//! - The checks of a host that is lost or departed are frozen: stale, neither cleared nor raised.
//! - Memory is bounded by the limits below; what did not fit is counted in [`Excess`].
//!
//! What other aggregators say is kept beside it, in [`leases`].
//!
//! Absent on purpose: the clock, the disk, notifications.

use std::collections::{BTreeMap, BTreeSet};

use muster_proto::clock::Utc;
use muster_proto::digest::{Lease, Rank};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::state::StateBatch;

pub mod host;
pub mod leases;
mod life;
pub mod record;

pub use host::{CheckKey, Counts, Host, Liveness};
pub use record::{Changes, CheckRecord, CheckRef, HostRecord};

/// Hosts of one roster.
pub const HOSTS_MAX: usize = 65_536;
/// Checks of one host, over all its streams.
pub const CHECKS_PER_HOST_MAX: usize = 4_096;
/// Text of all checks of one host. Bytes. Evidence is given up first.
pub const CHECK_TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Streams of one host whose checks are kept. A new one begins when a spool is wiped.
pub const LIVES_PER_HOST_MAX: usize = 3;
/// Beats a host may miss before it is late.
pub const LATE_BEATS: u32 = 2;
/// Beats a host may miss before it is lost.
pub const LOST_BEATS: u32 = 5;
/// Time between heartbeats while a host has not said its own. Seconds.
pub const HEARTBEAT_S_DEFAULT: u32 = 30;
/// Longest time between heartbeats that is believed. Seconds.
pub const HEARTBEAT_S_MAX: u32 = 3_600;
/// A host that left for a reboot, an upgrade or a restart and is not back after this is lost. Seconds.
pub const RETURN_S_MAX: u64 = 1_800;

/// What did not fit since the roster was made. Counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excess {
    /// Batches of hosts beyond [`HOSTS_MAX`].
    pub batches: u64,
    /// Check states beyond [`CHECKS_PER_HOST_MAX`] or [`CHECK_TEXT_BYTES_MAX`].
    pub checks: u64,
    /// Evidence texts given up for [`CHECK_TEXT_BYTES_MAX`].
    pub evidence: u64,
    /// Streams forgotten for [`LIVES_PER_HOST_MAX`].
    pub lives: u64,
}

/// A state batch, and where it came from.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Who sent it, as its certificate says.
    pub host: &'a str,
    /// Datacenter of the host, as its Hello says.
    pub datacenter: &'a str,
    /// Aggregator that took it in.
    pub aggregator: &'a str,
    /// Stream of its state lane.
    pub stream: StreamId,
    /// Position in the stream.
    pub seq: Seq,
}

/// A host connected.
#[derive(Debug, Clone, Copy)]
pub struct Landing<'a> {
    /// Which host.
    pub host: &'a str,
    /// Its datacenter, as its Hello says.
    pub datacenter: &'a str,
    /// Where.
    pub aggregator: &'a str,
    /// Which of its connections.
    pub rank: Rank,
}

/// The roll of the fleet.
#[derive(Debug, Default)]
pub struct Roster {
    hosts: BTreeMap<String, Host>,
    /// Silence is counted from here at the earliest: while we were away nobody could be heard.
    started_at: Utc,
    excess: Excess,
    dirty: BTreeSet<String>,
    dirty_checks: BTreeSet<(String, StreamId, CheckKey)>,
    /// Hosts whose lease others must hear of.
    moved: BTreeSet<String>,
}

impl Roster {
    /// An empty roll. `started_at`: silence before it does not count.
    pub fn new(started_at: Utc) -> Roster {
        Roster { started_at, ..Roster::default() }
    }

    /// The roll as [`Roster::changes`] described it before a restart. Records that do not fit the limits are left out.
    pub fn restore(started_at: Utc, hosts: Vec<HostRecord>, checks: Vec<CheckRecord>) -> Roster {
        let mut roster = Roster::new(started_at);
        for record in hosts.into_iter().take(HOSTS_MAX) {
            roster.hosts.insert(record.host.clone(), Host::from_record(record));
        }
        for record in checks {
            if let Some(host) = roster.hosts.get_mut(&record.host) {
                host.restore_check(record, &mut roster.excess);
            }
        }
        for host in roster.hosts.values_mut() {
            host.judge(started_at, started_at);
        }
        roster.moved = roster.hosts.keys().cloned().collect();
        roster
    }

    /// Takes a state batch. Repeats and older batches change only what they are newest for.
    pub fn on_batch(&mut self, arrival: Arrival<'_>, now: Utc, batch: &StateBatch) {
        let Some(host) = reach(&mut self.hosts, arrival.host, now) else {
            self.excess.batches += 1;
            return;
        };
        let before = (host.is_new(), host.interval_s());
        let mut touched = Vec::new();
        host.on_batch(
            &arrival,
            now,
            batch,
            &mut host::Touch { checks: &mut touched, excess: &mut self.excess },
        );
        let name = arrival.host.to_owned();
        if before != (host.is_new(), host.interval_s()) {
            self.moved.insert(name.clone());
        }
        self.dirty_checks
            .extend(touched.into_iter().map(|(stream, key)| (name.clone(), stream, key)));
        self.judge(&name, now);
        self.dirty.insert(name);
    }

    /// A host opened a connection to an aggregator.
    pub fn on_connected(&mut self, landing: Landing<'_>, now: Utc) {
        match reach(&mut self.hosts, landing.host, now) {
            Some(found) => found.on_connected(landing, now),
            None => self.excess.batches += 1,
        }
        self.judge(landing.host, now);
        self.moved.insert(landing.host.to_owned());
    }

    /// A connection ended. Nothing follows at once: the host may be on its way to another aggregator.
    pub fn on_disconnected(&mut self, host: &str, aggregator: &str, now: Utc) {
        if let Some(found) = self.hosts.get_mut(host) {
            found.on_disconnected(aggregator, now);
            self.dirty.insert(host.to_owned());
            self.moved.insert(host.to_owned());
        }
        self.judge(host, now);
    }

    /// Time passed: hosts turn late, then lost. Call about once a second.
    pub fn on_tick(&mut self, now: Utc) {
        for (name, host) in &mut self.hosts {
            if host.judge(now, self.started_at) {
                self.moved.insert(name.clone());
                self.dirty.insert(name.clone());
            }
        }
    }

    /// Forgets a host: it was decommissioned. False when there is none of the name.
    pub fn forget(&mut self, host: &str) -> bool {
        let known = self.hosts.remove(host).is_some();
        if known {
            self.dirty.insert(host.to_owned());
            self.moved.insert(host.to_owned());
        }
        known
    }

    /// What changed since the last call, to be saved.
    pub fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for name in std::mem::take(&mut self.dirty) {
            match self.hosts.get(&name) {
                Some(host) => changes.hosts.push(host.to_record(&name)),
                None => changes.gone_hosts.push(name),
            }
        }
        for (name, stream, key) in std::mem::take(&mut self.dirty_checks) {
            let Some(host) = self.hosts.get(&name) else { continue };
            host.check_change(&name, (stream, key), &mut changes);
        }
        changes
    }

    /// Hosts whose connection or liveness changed since the last call; `None` for one that was forgotten.
    pub fn moved(&mut self) -> Vec<(String, Option<Lease>)> {
        let lease = |name: String| {
            let lease = self.hosts.get(&name).map(|host| host.lease(&name));
            (name, lease)
        };
        std::mem::take(&mut self.moved).into_iter().map(lease).collect()
    }

    /// All hosts, sorted by name.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &Host)> {
        self.hosts.iter().map(|(name, host)| (name.as_str(), host))
    }

    /// One host.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// What did not fit.
    pub fn excess(&self) -> Excess {
        self.excess
    }

    fn judge(&mut self, name: &str, now: Utc) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.judge(now, self.started_at) {
            self.moved.insert(name.to_owned());
        }
        self.dirty.insert(name.to_owned());
    }
}

/// The host of a name, made when there is room.
fn reach<'a>(hosts: &'a mut BTreeMap<String, Host>, name: &str, now: Utc) -> Option<&'a mut Host> {
    if !hosts.contains_key(name) {
        if hosts.len() >= HOSTS_MAX {
            return None;
        }
        hosts.insert(name.to_owned(), Host::new(now));
    }
    hosts.get_mut(name)
}

#[cfg(test)]
mod tests;
