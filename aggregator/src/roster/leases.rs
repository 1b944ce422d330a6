//! Who hears which host, by the word of all aggregators: one lease a host, one owner a lease.
//!
//! Room: `roster/leases`.  May use: `proto`.  Used by: `peers` (which carries the digests), `incidents`, `api`.
//! A pure state machine: our own roster's changes and the digests of others go in, digests and views come out.
//!
//! ```text
//! roster ──moved──> Leases <──on_digest── peers          view: live | late | lost | departed,
//!                     │ answer ──────────> peers               owner, last seen
//! ```
//!
//! Invariants
//! - A host has one owner: the newest connection that somebody who is heard says is open; when nobody says so,
//!   the one who heard it last. So a host that moves is never counted twice.
//! - A host is never forgotten because its owner is silent, restarts, or gives it up: the last word about it
//!   stays and ages. So a host that moves is never lost in between.
//! - A repeated, late or unasked digest changes nothing and is no sign of life: answers are numbered.
//! - The word of an aggregator holds while it is vouched for: we hear it, or one that we hear says it does.
//! - Times of others are taken as spans before their own `now`: clocks need not agree.
//!
//! Absent on purpose: checks and facts of hosts (they are asked for), the clock, the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::digest::{
    DIGEST_HEARINGS_MAX, DIGEST_VERSION, Digest, DigestAsk, Hearing, Lease, Opened, Standing,
};
use serde::{Deserialize, Serialize};

use super::{HEARTBEAT_S_MAX, HOSTS_MAX, Liveness};

mod book;
mod claims;
mod neighbour;
#[cfg(test)]
mod tests;

use book::Book;
use claims::Entry;
pub use neighbour::Neighbour;

/// Time between two questions to a peer.
pub const DIGEST_EVERY: Duration = Duration::from_secs(2);
/// Time between two questions about an aggregator that only others hear.
pub const RELAY_EVERY: Duration = Duration::from_secs(10);
/// Everything is asked for again after this, so that whatever went wrong heals.
pub const FULL_EVERY: Duration = Duration::from_secs(600);
/// An aggregator that was not heard for this is silent: four questions without an answer.
pub const SILENT_AFTER: Duration = Duration::from_secs(8);

/// A host and the last word about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Aggregator that spoke.
    pub owner: String,
    /// What it said; times by our clock.
    pub lease: Lease,
    /// When it said so, by our clock. Later words that left the lease as it is do not move this.
    pub said_at: Utc,
    /// The owner no longer speaks for it, and nobody else does yet.
    pub dropped: bool,
    /// The owner before, and when the host left it.
    pub prior: Option<(String, Utc)>,
}

/// How a host is by the common knowledge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Whether it lives.
    pub liveness: Liveness,
    /// Last sign of life, by our clock.
    pub last_seen: Utc,
    /// Somebody who is vouched for speaks for it now; else the liveness is only the last word, aged.
    pub is_told: bool,
}

/// What changed and must be saved.
#[derive(Debug, Default)]
pub struct LeaseChanges {
    /// Hosts with a new word.
    pub hosts: Vec<LeaseRecord>,
    /// Hosts that are forgotten.
    pub gone: Vec<String>,
}

impl LeaseChanges {
    /// Puts later changes on top of these; the latest word about each host stays.
    pub fn merge(&mut self, later: LeaseChanges) {
        let is_later = |host: &String| {
            later.gone.contains(host) || later.hosts.iter().any(|record| record.lease.host == *host)
        };
        self.hosts.retain(|record| !is_later(&record.lease.host));
        self.gone.retain(|host| !is_later(host));
        self.hosts.extend(later.hosts);
        self.gone.extend(later.gone);
    }
}

/// What was left out since the start. Counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Digests that nobody asked for, or that do not fit on what we have.
    pub digests: u64,
    /// Hosts over `HOSTS_MAX`.
    pub hosts: u64,
}

/// The leases of the fleet.
#[derive(Debug)]
pub struct Leases {
    me: String,
    site: String,
    started_at: Utc,
    book: Book,
    hosts: BTreeMap<String, Entry>,
    peers: BTreeMap<String, Neighbour>,
    /// Incidents that we see open, for our digests.
    open: Vec<Opened>,
    questions: u64,
    dirty: BTreeSet<String>,
    refused: Refused,
}

impl Leases {
    /// Nothing is known yet but the names of the aggregators: our own and its datacenter, then the peers'.
    pub fn new((me, site): (&str, &str), peers: &[(String, String)], started_at: Utc) -> Leases {
        let neighbour = |(name, site): &(String, String)| {
            let neighbour =
                Neighbour { site: site.clone(), since: started_at, ..Neighbour::default() };
            (name.clone(), neighbour)
        };
        Leases {
            me: me.to_owned(),
            site: site.to_owned(),
            started_at,
            book: Book::new(started_at.0),
            hosts: BTreeMap::new(),
            peers: peers.iter().take(DIGEST_HEARINGS_MAX).map(neighbour).collect(),
            open: Vec::new(),
            questions: 0,
            dirty: BTreeSet::new(),
            refused: Refused::default(),
        }
    }

    /// Takes back what [`Leases::changes`] gave before a restart. Our own hosts come from the roster.
    pub fn restore(&mut self, records: Vec<LeaseRecord>) {
        for record in records {
            if record.owner != self.me && self.hosts.len() < HOSTS_MAX {
                let host = record.lease.host.clone();
                self.hosts.entry(host).or_insert(Entry { record, rest: Vec::new() });
            }
        }
    }

    /// Our roster has a new word about a host; `None`: it was forgotten.
    pub fn on_own(&mut self, host: &str, lease: Option<Lease>, now: Utc) {
        let Some(lease) = lease else {
            self.book.strike(host);
            if self.hosts.get(host).is_some_and(|entry| entry.record.owner == self.me) {
                self.hosts.remove(host);
                self.dirty.insert(host.to_owned());
            }
            return;
        };
        let is_open = lease.connected;
        self.take(&self.me.clone(), lease.clone(), (now, now));
        let is_ours = self.host(host).is_none_or(|record| record.owner == self.me);
        // An open connection is told even while a newer one counts: it counts again when that one ends.
        if is_ours || is_open {
            self.book.put(lease);
        } else {
            self.book.strike(host);
        }
    }

    /// Which incidents we see open: peers give them the same ids.
    pub fn on_open(&mut self, open: Vec<Opened>) {
        self.open = open;
    }

    /// The question for a peer, about itself or about another one.
    pub fn ask(&mut self, peer: &str, of: &str, now: Utc) -> DigestAsk {
        self.questions += 1;
        let number = self.questions;
        let told = self.peers.get(of);
        let is_old = told
            .and_then(|told| told.full_at)
            .is_none_or(|at| of == peer && now.since(at) >= FULL_EVERY);
        let known = told.and_then(|told| told.edition).filter(|_| !is_old);
        if let Some(asked) = self.peers.get_mut(peer) {
            asked.asked.insert(of.to_owned(), number);
        }
        DigestAsk { version: DIGEST_VERSION, of: of.to_owned(), number, known }
    }

    /// Aggregators that we do not hear and that a peer which we hear does: whom to ask, about whom.
    pub fn relays(&self, now: Utc) -> Vec<(String, String)> {
        let silent = self.peers.iter().filter(|(_, peer)| !is_recent(peer.heard, now));
        let witness = |of: &String| {
            let mut heard = self.peers.iter().filter(|(_, peer)| is_recent(peer.heard, now));
            heard.find(|(_, peer)| {
                peer.hears.iter().any(|told| told.peer == *of && is_recent(told.heard, now))
            })
        };
        silent.filter_map(|(of, _)| Some((witness(of)?.0.clone(), of.clone()))).collect()
    }

    /// What we answer; `None` when we know nothing of that aggregator.
    pub fn answer(&self, ask: &DigestAsk, now: Utc) -> Option<Digest> {
        if ask.of == self.me {
            let lacking = self.book.lacking(ask.known);
            return Some(Digest {
                of: self.me.clone(),
                datacenter: self.site.clone(),
                number: ask.number,
                edition: self.book.edition(),
                base: lacking.base,
                now,
                said_at: now,
                leases: lacking.leases,
                gone: lacking.gone,
                hears: self.hearings(),
                open: self.open.clone(),
            });
        }
        let (of, peer) = self.peers.get_key_value(&ask.of)?;
        let (edition, said_at) = (peer.edition?, peer.said_at?);
        let base = ask.known.filter(|known| *known == edition);
        let records = self.hosts.values().map(|entry| &entry.record);
        let theirs = records.filter(|record| record.owner == *of && !record.dropped);
        let leases = match base {
            Some(_) => Vec::new(),
            None => theirs.map(|record| record.lease.clone()).collect(),
        };
        Some(Digest {
            of: of.clone(),
            datacenter: peer.site.clone(),
            number: ask.number,
            edition,
            base,
            now,
            said_at: peer.vouched.unwrap_or(said_at),
            leases,
            gone: Vec::new(),
            hears: peer.hears.clone(),
            open: peer.open.clone(),
        })
    }

    /// A peer's answer. One that is not to our last question, or does not fit on what we have, is dropped.
    pub fn on_digest(&mut self, from: &str, digest: Digest, now: Utc) {
        let is_asked = self.peers.get_mut(from).is_some_and(|peer| {
            let is_last = peer.asked.get(&digest.of) == Some(&digest.number);
            is_last && peer.asked.remove(&digest.of).is_some()
        });
        let Some(told) = self.peers.get(&digest.of).filter(|_| is_asked) else {
            self.refused.digests += 1;
            return;
        };
        let is_direct = from == digest.of;
        let is_behind = told.edition.is_some_and(|known| digest.edition < known);
        let fits = digest.base.is_none_or(|base| Some(base) == told.edition);
        if !is_direct && (is_behind || !fits || is_recent(told.heard, now)) {
            self.refused.digests += 1;
            return;
        }
        let clock = Clock { theirs: digest.now, ours: now };
        let said_at = clock.ours(digest.said_at);
        if is_direct {
            self.hear(from, now);
        }
        // A digest that does not fit is a sign of life nevertheless; everything is asked for next.
        let edition = fits.then_some(digest.edition);
        if fits {
            self.take_all(&digest, clock, said_at);
        } else {
            self.refused.digests += 1;
        }
        let hears = digest.hears.into_iter().map(|told| Hearing {
            heard: told.heard.map(|at| clock.ours(at)),
            since: clock.ours(told.since),
            ..told
        });
        let hears: Vec<Hearing> = hears.collect();
        self.vouch(&hears, now);
        if let Some(peer) = self.peers.get_mut(&digest.of) {
            peer.said_at = peer.said_at.max(Some(said_at));
            peer.vouched = peer.vouched.max(Some(said_at));
            peer.edition = edition;
            peer.hears = hears;
            peer.open = digest.open;
            if digest.base.is_none() {
                peer.full_at = Some(now);
            }
        }
    }

    /// Time passed: whoever is silent is so since it was heard last. Call about once a second.
    pub fn on_tick(&mut self, now: Utc) {
        for peer in self.peers.values_mut() {
            let was_heard = peer.heard.filter(|heard| peer.since <= *heard);
            if let Some(heard) = was_heard
                && !is_recent(Some(heard), now)
            {
                peer.since = heard.after(Duration::from_micros(1));
            }
        }
    }

    /// What changed since the last call, to be saved: the word of others.
    pub fn changes(&mut self) -> LeaseChanges {
        let mut changes = LeaseChanges::default();
        for host in std::mem::take(&mut self.dirty) {
            match self.hosts.get(&host).map(|entry| &entry.record) {
                Some(record) if record.owner != self.me => changes.hosts.push(record.clone()),
                _ => changes.gone.push(host),
            }
        }
        changes
    }

    /// Our own name and datacenter.
    pub fn me(&self) -> (&str, &str) {
        (&self.me, &self.site)
    }

    /// When we began to listen.
    pub fn started_at(&self) -> Utc {
        self.started_at
    }

    /// The other aggregators.
    pub fn peers(&self) -> impl Iterator<Item = (&str, &Neighbour)> {
        self.peers.iter().map(|(name, peer)| (name.as_str(), peer))
    }

    /// Every host and the last word about it.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, &LeaseRecord)> {
        self.hosts.iter().map(|(name, entry)| (name.as_str(), &entry.record))
    }

    /// One host.
    pub fn host(&self, name: &str) -> Option<&LeaseRecord> {
        self.hosts.get(name).map(|entry| &entry.record)
    }

    /// What was left out.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// Which aggregators we hear.
    pub fn hearings(&self) -> Vec<Hearing> {
        let hearing = |(name, peer): (&String, &Neighbour)| Hearing {
            peer: name.clone(),
            datacenter: peer.site.clone(),
            heard: peer.heard,
            since: peer.since,
        };
        self.peers.iter().map(hearing).collect()
    }

    /// Whether an aggregator surely lived a moment ago.
    pub fn is_vouched(&self, aggregator: &str, now: Utc) -> bool {
        aggregator == self.me
            || self.peers.get(aggregator).is_some_and(|peer| is_recent(peer.vouched, now))
    }

    /// How a host is: its owner's word while that is vouched for, and the same word aged when it is not.
    pub fn view(&self, record: &LeaseRecord, now: Utc) -> View {
        let lease = &record.lease;
        let is_told = !record.dropped && self.is_vouched(&record.owner, now);
        let said = match &lease.standing {
            Standing::Live => Liveness::Live,
            Standing::Late => Liveness::Late,
            Standing::Lost => Liveness::Lost,
            Standing::Departed { reason } => Liveness::Departed { reason: reason.clone() },
        };
        let last_seen = self.last_seen(record, now);
        if is_told || said == Liveness::Lost {
            return View { liveness: said, last_seen, is_told };
        }
        let bye = match &said {
            Liveness::Departed { reason } => Some(reason.as_str()),
            Liveness::Live | Liveness::Late | Liveness::Lost => None,
        };
        let silent = now.since(last_seen.max(self.started_at));
        let liveness = Liveness::judge(silent, lease.beat_s.clamp(1, HEARTBEAT_S_MAX), bye);
        View { liveness, last_seen, is_told }
    }

    /// A host that its owner calls live and connected was heard when the owner was heard last.
    fn last_seen(&self, record: &LeaseRecord, now: Utc) -> Utc {
        let lease = &record.lease;
        if lease.standing != Standing::Live || !lease.connected {
            return lease.heard;
        }
        if record.dropped {
            return lease.heard.max(record.said_at);
        }
        let vouched = match self.peers.get(&record.owner) {
            Some(peer) => peer.vouched,
            None => (record.owner == self.me).then_some(now),
        };
        lease.heard.max(record.said_at).max(vouched.unwrap_or_default())
    }

    fn hear(&mut self, from: &str, now: Utc) {
        if let Some(peer) = self.peers.get_mut(from) {
            if !is_recent(peer.heard, now) {
                peer.since = now;
            }
            peer.heard = Some(now);
        }
    }

    /// Whoever a peer hears lives.
    fn vouch(&mut self, hears: &[Hearing], now: Utc) {
        for told in hears {
            if let Some(peer) = self.peers.get_mut(&told.peer) {
                peer.vouched = peer.vouched.max(told.heard.map(|at| at.min(now)));
            }
        }
    }
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Clock {
    theirs: Utc,
    ours: Utc,
}

impl Clock {
    /// A moment of theirs by our clock; never in our future.
    fn ours(self, at: Utc) -> Utc {
        self.ours.before(self.theirs.since(at))
    }
}

fn is_recent(at: Option<Utc>, now: Utc) -> bool {
    at.is_some_and(|at| now.since(at) <= SILENT_AFTER)
}
