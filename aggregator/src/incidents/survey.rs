//! The facts of one moment: which aggregators are up, who hears whom, how the hosts of each site are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::digest::{Hearing, Opened};

use super::incident::HOSTS_LISTED_MAX;
use crate::roster::Liveness;
use crate::roster::leases::{LeaseRecord, Leases, Neighbour, RELAY_EVERY, SILENT_AFTER};

/// A host that left an aggregator this long before the aggregator fell silent left because of that: an agent
/// notices a dead aggregator before we do.
const REHOME_LOOKBACK: Duration = Duration::from_secs(60);

/// Names, sorted: all counted, some listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// How many.
    pub count: usize,
    /// At most `HOSTS_LISTED_MAX` of them.
    pub listed: Vec<String>,
}

impl Names {
    /// One more. Called in the order of names.
    pub fn push(&mut self, name: &str) {
        self.count += 1;
        if self.listed.len() < HOSTS_LISTED_MAX {
            self.listed.push(name.to_owned());
        }
    }

    /// Takes those of another list in.
    pub fn extend(&mut self, other: &Names) {
        self.count += other.count;
        self.listed.extend(other.listed.iter().cloned());
        self.listed.sort();
        self.listed.truncate(HOSTS_LISTED_MAX);
    }
}

/// Whether an aggregator lives, as far as anybody who is heard knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// It was heard a moment ago, by us or by one that we hear.
    Up,
    /// Nobody heard it since.
    Dark(Utc),
    /// We have not listened long enough.
    Unknown,
}

/// One aggregator, ourselves included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatorFact {
    /// Its datacenter.
    pub site: String,
    /// Whether it lives.
    pub light: Light,
    /// Last sign of life that anybody had.
    pub last_heard: Option<Utc>,
    /// Who says that it hears it; ourselves included.
    pub heard_by: BTreeSet<String>,
    /// Who says that it does not, and when it did last; ourselves included.
    pub unheard_by: BTreeMap<String, Option<Utc>>,
    /// Of the hosts that it had when it went dark: heard elsewhere now.
    pub elsewhere: usize,
    /// And those that are not.
    pub missing: Names,
}

/// The hosts of one datacenter; those that left on purpose do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SiteFact {
    /// Heard by an aggregator of it.
    pub home: usize,
    /// Heard by an aggregator of another one.
    pub away: Names,
    /// Not heard, but not for long enough to mean something: it may be on its way to another aggregator.
    pub unheard: usize,
    /// Not heard for two beats or more.
    pub silent: usize,
    /// All that are not heard.
    pub missing: Names,
}

/// A host that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostHost {
    /// Its name.
    pub host: String,
    /// Its datacenter.
    pub site: String,
    /// Who heard it last.
    pub owner: String,
    /// When.
    pub last_seen: Utc,
    /// It said goodbye with this and did not return in time.
    pub promised: Option<String>,
}

/// The facts of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Who we are.
    pub me: String,
    /// Our datacenter.
    pub site: String,
    /// Every aggregator, ourselves included.
    pub aggregators: BTreeMap<String, AggregatorFact>,
    /// Every datacenter that has aggregators or hosts.
    pub sites: BTreeMap<String, SiteFact>,
    /// Hosts that are lost, sorted by name.
    pub lost: Vec<LostHost>,
    /// Hosts that somebody asked about: how they are, and when they were heard last; absent: nobody knows them any more.
    pub watched: BTreeMap<String, (Liveness, Utc)>,
    /// Incidents that other aggregators see open.
    pub open_elsewhere: Vec<Opened>,
}

impl Survey {
    /// Looks at the leases. `watched`: hosts whose liveness is wanted by name.
    pub fn take(leases: &Leases, watched: &BTreeSet<String>, now: Utc) -> Survey {
        let (me, site) = leases.me();
        let mut survey = Survey { me: me.to_owned(), site: site.to_owned(), ..Survey::default() };
        survey.look_at_aggregators(leases, now);
        for (host, record) in leases.hosts() {
            survey.look_at_host(leases, (host, record), watched, now);
        }
        for (_, peer) in leases.peers().filter(|(_, peer)| is_fresh(peer, now)) {
            survey.open_elsewhere.extend(peer.open.iter().cloned());
        }
        survey
    }

    /// Where an aggregator stands.
    pub fn site_of(&self, aggregator: &str) -> Option<&str> {
        self.aggregators.get(aggregator).map(|fact| fact.site.as_str())
    }

    /// The aggregators of a datacenter.
    pub fn aggregators_of<'a>(
        &'a self,
        site: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a AggregatorFact)> {
        let of = self.aggregators.iter().filter(move |(_, fact)| fact.site == site);
        of.map(|(name, fact)| (name.as_str(), fact))
    }

    fn look_at_aggregators(&mut self, leases: &Leases, now: Utc) {
        let mut own = AggregatorFact::new(&self.site, Light::Up);
        own.last_heard = Some(now);
        own.heard_by.insert(self.me.clone());
        self.aggregators.insert(self.me.clone(), own);
        for (name, peer) in leases.peers() {
            let last = peer.vouched.unwrap_or(leases.started_at()).max(leases.started_at());
            let light = match (leases.is_vouched(name, now), now.since(last) > SILENT_AFTER) {
                (true, _) => Light::Up,
                (false, true) => Light::Dark(last),
                (false, false) => Light::Unknown,
            };
            let mut fact = AggregatorFact::new(&peer.site, light);
            fact.last_heard = peer.vouched;
            self.aggregators.insert(name.to_owned(), fact);
            self.sites.entry(peer.site.clone()).or_default();
        }
        self.sites.entry(self.site.clone()).or_default();
        let me = self.me.clone();
        self.testify(&me, &leases.hearings(), now, leases.started_at());
        for (name, peer) in leases.peers().filter(|(_, peer)| is_fresh(peer, now)) {
            let said_at = peer.said_at.unwrap_or(now);
            self.testify(name, &peer.hears, said_at, Utc(i64::MIN));
        }
    }

    /// One aggregator says whom it heard, at the time it said so.
    fn testify(&mut self, witness: &str, hears: &[Hearing], said_at: Utc, began: Utc) {
        for told in hears.iter().filter(|told| told.peer != witness) {
            let Some(fact) = self.aggregators.get_mut(&told.peer) else { continue };
            if told.heard.is_some_and(|at| said_at.since(at) <= SILENT_AFTER) {
                fact.heard_by.insert(witness.to_owned());
            } else if said_at.since(told.since.max(began)) > SILENT_AFTER {
                fact.unheard_by.insert(witness.to_owned(), told.heard);
            }
        }
    }

    fn look_at_host(
        &mut self,
        leases: &Leases,
        (host, record): (&str, &LeaseRecord),
        watched: &BTreeSet<String>,
        now: Utc,
    ) {
        let view = leases.view(record, now);
        if watched.contains(host) {
            self.watched.insert(host.to_owned(), (view.liveness.clone(), view.last_seen));
        }
        let lease = &record.lease;
        if view.liveness == Liveness::Lost {
            let promised = (!lease.left.is_empty()).then(|| lease.left.clone());
            self.lost.push(LostHost {
                host: host.to_owned(),
                site: lease.datacenter.clone(),
                owner: record.owner.clone(),
                last_seen: view.last_seen,
                promised,
            });
        }
        if matches!(view.liveness, Liveness::Departed { .. }) {
            return;
        }
        let owner_site = self.site_of(&record.owner).unwrap_or_default().to_owned();
        let is_heard = view.is_told && view.liveness != Liveness::Lost;
        let site = self.sites.entry(lease.datacenter.clone()).or_default();
        match (is_heard, &view.liveness) {
            (true, _) if owner_site == lease.datacenter => site.home += 1,
            (true, _) => site.away.push(host),
            (false, Liveness::Live) => site.unheard += 1,
            (false, _) => site.silent += 1,
        }
        if !is_heard {
            site.missing.push(host);
        }
        self.count_for_owner(host, record, is_heard);
    }

    /// Counts the host for the dark aggregator that has it, or had it when it went dark.
    fn count_for_owner(&mut self, host: &str, record: &LeaseRecord, is_heard: bool) {
        if let Some(owner) = self.aggregators.get_mut(&record.owner)
            && matches!(owner.light, Light::Dark(_))
        {
            owner.missing.push(host);
            return;
        }
        let Some((before, left_at)) = &record.prior else { return };
        let Some(owner) = self.aggregators.get_mut(before) else { return };
        let Light::Dark(since) = owner.light else { return };
        if left_at.after(REHOME_LOOKBACK) >= since {
            if is_heard {
                owner.elsewhere += 1;
            } else {
                owner.missing.push(host);
            }
        }
    }
}

impl AggregatorFact {
    fn new(site: &str, light: Light) -> AggregatorFact {
        AggregatorFact {
            site: site.to_owned(),
            light,
            last_heard: None,
            heard_by: BTreeSet::new(),
            unheard_by: BTreeMap::new(),
            elsewhere: 0,
            missing: Names::default(),
        }
    }

    /// Whether nobody hears it.
    pub fn is_dark(&self) -> bool {
        matches!(self.light, Light::Dark(_))
    }

    /// Whether it surely lives.
    pub fn is_up(&self) -> bool {
        self.light == Light::Up
    }
}

/// Whether its word is of this moment; through another aggregator it comes less often.
fn is_fresh(peer: &Neighbour, now: Utc) -> bool {
    let heard = peer.heard.is_some_and(|at| now.since(at) <= SILENT_AFTER);
    let age_max = if heard { SILENT_AFTER } else { SILENT_AFTER + RELAY_EVERY };
    peer.said_at.is_some_and(|at| now.since(at) <= age_max)
}
