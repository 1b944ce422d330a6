//! Our own book: the hosts that we speak for, numbered by change, so that a peer is told only what it lacks.

use std::collections::BTreeMap;

use muster_proto::digest::{Edition, Lease};

/// Names that are no longer ours and still told as such. Who has an edition older than that gets everything.
const GONE_MAX: usize = 4_096;

/// What we say.
#[derive(Debug, Default)]
pub(super) struct Book {
    edition: Edition,
    leases: BTreeMap<String, (u64, Lease)>,
    /// The last change of each host of the book.
    log: BTreeMap<u64, String>,
    gone: BTreeMap<u64, String>,
    /// Changes up to here cannot be told one by one.
    floor: u64,
}

/// What one receiver lacks.
pub(super) struct Lacking {
    pub base: Option<Edition>,
    pub leases: Vec<Lease>,
    pub gone: Vec<String>,
}

impl Book {
    pub(super) fn new(life: i64) -> Book {
        Book { edition: Edition { life, change: 0 }, ..Book::default() }
    }

    pub(super) fn edition(&self) -> Edition {
        self.edition
    }

    /// Writes a lease; only what others must hear of is a change.
    pub(super) fn put(&mut self, lease: Lease) {
        let old = self.leases.get_mut(&lease.host);
        if let Some((_, old)) = old
            && (&old.datacenter, old.rank, old.connected, old.beat_s, &old.standing)
                == (&lease.datacenter, lease.rank, lease.connected, lease.beat_s, &lease.standing)
        {
            old.heard = lease.heard;
            return;
        }
        self.edition.change += 1;
        let change = self.edition.change;
        let host = lease.host.clone();
        if let Some((before, _)) = self.leases.insert(host.clone(), (change, lease)) {
            self.log.remove(&before);
        }
        self.gone.retain(|_, name| *name != host);
        self.log.insert(change, host);
    }

    /// We no longer speak for a host.
    pub(super) fn strike(&mut self, host: &str) {
        let Some((before, _)) = self.leases.remove(host) else { return };
        self.log.remove(&before);
        self.edition.change += 1;
        self.gone.insert(self.edition.change, host.to_owned());
        while self.gone.len() > GONE_MAX
            && let Some((change, _)) = self.gone.pop_first()
        {
            self.floor = change;
        }
    }

    pub(super) fn lacking(&self, known: Option<Edition>) -> Lacking {
        let is_usable = |known: &Edition| {
            known.life == self.edition.life
                && (self.floor..=self.edition.change).contains(&known.change)
        };
        let Some(known) = known.filter(is_usable) else {
            let leases = self.leases.values().map(|(_, lease)| lease.clone()).collect();
            return Lacking { base: None, leases, gone: Vec::new() };
        };
        let from = known.change + 1..;
        let changed = self.log.range(from.clone()).filter_map(|(_, host)| self.leases.get(host));
        Lacking {
            base: Some(known),
            leases: changed.map(|(_, lease)| lease.clone()).collect(),
            gone: self.gone.range(from).map(|(_, host)| host.clone()).collect(),
        }
    }
}
