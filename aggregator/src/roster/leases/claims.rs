//! Claims to a host: which one counts, and what happens when it ends.

use std::collections::BTreeSet;

use muster_proto::clock::Utc;
use muster_proto::digest::{Digest, Lease};

use super::{Clock, LeaseRecord, Leases};
use crate::roster::HOSTS_MAX;

/// Open connections of one host that are remembered beside the one that counts.
const REST_MAX: usize = 3;

/// The best claim to a host, and those that would count if it ended.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: LeaseRecord,
    /// Open connections that count less: of a race that was lost, or half open.
    pub(super) rest: Vec<Claim>,
}

#[derive(Debug)]
pub(super) struct Claim {
    owner: String,
    lease: Lease,
    said_at: Utc,
}

impl Leases {
    pub(super) fn take_all(&mut self, digest: &Digest, clock: Clock, said_at: Utc) {
        let is_full = digest.base.is_none();
        for lease in &digest.leases {
            let lease = Lease {
                since: clock.ours(lease.since),
                heard: clock.ours(lease.heard),
                ..lease.clone()
            };
            self.take(&digest.of, lease, (said_at, clock.ours));
        }
        let gone: BTreeSet<&str> = digest.gone.iter().map(String::as_str).collect();
        let told: BTreeSet<&str> = match is_full {
            true => digest.leases.iter().map(|lease| lease.host.as_str()).collect(),
            false => BTreeSet::new(),
        };
        if gone.is_empty() && !is_full {
            return;
        }
        let is_gone = |host: &str| gone.contains(host) || (is_full && !told.contains(host));
        let mut given_up = Vec::new();
        for (host, entry) in self.hosts.iter_mut().filter(|(host, _)| is_gone(host)) {
            entry.rest.retain(|claim| claim.owner != digest.of);
            let record = &mut entry.record;
            if record.owner == digest.of && !record.dropped {
                record.dropped = true;
                record.said_at = record.said_at.max(said_at);
                given_up.push(host.clone());
            }
        }
        for host in given_up {
            self.promote(&host, clock.ours);
            self.dirty.insert(host);
        }
    }

    /// Takes one aggregator's word about a host.
    pub(super) fn take(&mut self, owner: &str, lease: Lease, (said_at, now): (Utc, Utc)) {
        let host = lease.host.clone();
        let claim = Claim { owner: owner.to_owned(), lease, said_at };
        let Some(entry) = self.hosts.get(&host) else {
            if self.hosts.len() >= HOSTS_MAX {
                self.refused.hosts += 1;
                return;
            }
            let entry = Entry { record: claim.into_record(None), rest: Vec::new() };
            self.hosts.insert(host.clone(), entry);
            self.dirty.insert(host);
            return;
        };
        let is_known = entry.record.owner == owner;
        let outranks = is_known || self.outranks(&claim.lease, &entry.record, now);
        // Whom it left when that one fell silent stays known until that one speaks again.
        let left = entry.record.prior.clone().filter(|(before, _)| !self.is_vouched(before, now));
        let Some(entry) = self.hosts.get_mut(&host) else { return };
        entry.rest.retain(|rest| rest.owner != owner);
        if is_known {
            let heard = claim.lease.heard.max(entry.record.lease.heard);
            let prior = entry.record.prior.take();
            entry.record = claim.into_record(prior);
            entry.record.lease.heard = heard;
            self.promote(&host, now);
        } else if outranks {
            entry.replace(claim, left);
        } else if claim.lease.connected && entry.rest.len() < REST_MAX {
            entry.rest.push(claim);
            return;
        } else {
            return;
        }
        self.strike_if_lost(&host);
        self.dirty.insert(host);
    }

    /// When the best claim has ended, the next one counts.
    fn promote(&mut self, host: &str, now: Utc) {
        let Some(entry) = self.hosts.get(host) else { return };
        let better = entry.rest.iter().position(|rest| {
            self.is_vouched(&rest.owner, now) && self.outranks(&rest.lease, &entry.record, now)
        });
        if let (Some(place), Some(entry)) = (better, self.hosts.get_mut(host)) {
            let claim = entry.rest.remove(place);
            entry.replace(claim, None);
        }
    }

    /// A host that counts for another one is no longer in our book, unless its connection to us is open.
    fn strike_if_lost(&mut self, host: &str) {
        let is_ours = self.hosts.get(host).is_some_and(|entry| {
            entry.record.owner == self.me || entry.rest.iter().any(|rest| rest.owner == self.me)
        });
        if !is_ours {
            self.book.strike(host);
        }
    }

    /// Whether `lease` of a new owner counts more than what is known.
    fn outranks(&self, lease: &Lease, known: &LeaseRecord, now: Utc) -> bool {
        let holds = known.lease.connected && !known.dropped && self.is_vouched(&known.owner, now);
        match (lease.connected, holds) {
            (true, true) => lease.rank > known.lease.rank,
            (true, false) => true,
            (false, true) => false,
            (false, false) => lease.heard > self.last_seen(known, now),
        }
    }
}

impl Claim {
    fn into_record(self, prior: Option<(String, Utc)>) -> LeaseRecord {
        let Claim { owner, lease, said_at } = self;
        LeaseRecord { owner, lease, said_at, dropped: false, prior }
    }
}

impl Entry {
    /// The claim counts from now on; the one before it stays when its connection is open.
    fn replace(&mut self, claim: Claim, left: Option<(String, Utc)>) {
        let left = left.filter(|(before, _)| *before != claim.owner);
        let prior = left.or_else(|| Some((self.record.owner.clone(), claim.said_at)));
        let old = std::mem::replace(&mut self.record, claim.into_record(prior));
        if old.lease.connected && !old.dropped && self.rest.len() < REST_MAX {
            let LeaseRecord { owner, lease, said_at, .. } = old;
            self.rest.push(Claim { owner, lease, said_at });
        }
    }
}
