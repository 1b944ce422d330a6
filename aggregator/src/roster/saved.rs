//! The roster in `state.db`: its changes as writes, and the way back.
//!
//! Hosts and checks stand there in the store's own words, so that people can look at them; what only the roster
//! needs (positions, heartbeats, retired checks) stands beside them as the value `roster/HOST`, the CBOR of a
//! [`HostRecord`]. A check comes back as said at the end of what was taken of the newest stream: batches come in
//! order from the spool, so whatever is read again is older, and whatever is new is newer.

use std::collections::BTreeSet;

use muster_proto::clock::Utc;
use muster_proto::ids::Seq;

use super::record::{Changes, CheckRecord, HostRecord, LifeRecord};
use super::{CheckKey, Roster};
use crate::stores::state::{SavedHost, StateStore, StateWrite};
use crate::stores::{HostTag, StoreError};

/// What to write so that the store knows the changes. `changes` are those just drained from `roster`.
pub fn to_writes(roster: &Roster, changes: &Changes) -> Vec<StateWrite> {
    let mut writes = Vec::new();
    for record in &changes.hosts {
        writes.push(StateWrite::Host(to_saved(record)));
        // CBOR of plain structs into memory does not fail; without it the host comes back by its row.
        writes.push(StateWrite::Value {
            name: name(&record.host),
            value: serde_cbor::to_vec(record).ok(),
        });
    }
    let said =
        changes.checks.iter().map(|check| (&check.host, &check.state.id, &check.state.instance));
    let gone = changes.gone_checks.iter().map(|check| (&check.host, &check.id, &check.instance));
    for (host, id, instance) in said.chain(gone).collect::<BTreeSet<_>>() {
        let key = CheckKey { id: id.clone(), instance: instance.clone() };
        let shown = roster.host(host).and_then(|found| found.check(&key));
        writes.push(match shown {
            Some(check) => StateWrite::Check { host: host.clone(), check: check.clone() },
            None => {
                StateWrite::CheckGone { host: host.clone(), id: key.id, instance: key.instance }
            }
        });
    }
    for host in &changes.gone_hosts {
        writes.push(StateWrite::HostGone { host: host.clone() });
        writes.push(StateWrite::Value { name: name(host), value: None });
    }
    writes
}

/// The roster as the store knows it. `started_at`: silence before it does not count.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn restore(started_at: Utc, store: &StateStore) -> Result<Roster, StoreError> {
    let saved = store.load_all()?;
    let mut hosts = Vec::with_capacity(saved.hosts.len());
    for host in saved.hosts {
        let value = store.value(&name(&host.tag.host))?;
        let record = value.and_then(|bytes| serde_cbor::from_slice::<HostRecord>(&bytes).ok());
        hosts.push(record.unwrap_or_else(|| from_saved(host)));
    }
    // Sorted by name, as the store gives them.
    let newest = |name: &str| {
        let place = hosts.binary_search_by(|host| host.host.as_str().cmp(name)).ok()?;
        hosts[place].lives.first().map(|life| (life.stream, life.newest))
    };
    let checks = saved.checks.into_iter().filter_map(|(host, state)| {
        let (stream, seq) = newest(&host)?;
        Some(CheckRecord { host, stream, seq, index: u32::MAX, state })
    });
    let checks = checks.collect();
    Ok(Roster::restore(started_at, hosts, checks))
}

fn name(host: &str) -> String {
    format!("roster/{host}")
}

fn to_saved(record: &HostRecord) -> SavedHost {
    let newest = record.lives.first();
    let facts = record.lives.iter().find_map(|life| life.facts.as_ref());
    SavedHost {
        tag: HostTag { host: record.host.clone(), datacenter: record.datacenter.clone() },
        state: record.state.clone(),
        last_seen: record.last_seen,
        aggregator: record.aggregator.clone(),
        stream: newest.map_or_else(Default::default, |life| life.stream),
        facts: facts.map(|(_, _, facts)| facts.clone()),
    }
}

/// A host whose own record is missing or unreadable: its next full report fills the rest.
fn from_saved(saved: SavedHost) -> HostRecord {
    let life = LifeRecord {
        stream: saved.stream,
        newest: Seq::NONE,
        newest_at: Utc(0),
        full: None,
        facts: saved.facts.map(|facts| (Seq::NONE, 0, facts)),
        heartbeat: None,
        bye: None,
        lost_records: 0,
        gone: Vec::new(),
    };
    HostRecord {
        host: saved.tag.host,
        datacenter: saved.tag.datacenter,
        aggregator: saved.aggregator,
        first_seen: saved.last_seen,
        last_seen: saved.last_seen,
        state: saved.state,
        lives: vec![life],
    }
}
