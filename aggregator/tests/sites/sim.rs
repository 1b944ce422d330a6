//! A world on virtual time: three datacenters, two aggregators each, hosts that connect, move and die, a network
//! that is cut, clocks that disagree. Roster, leases and incidents are the real ones; digests pass as bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_aggregator::incidents::{Incident, Incidents, Survey};
use muster_aggregator::roster::leases::{LeaseRecord, Leases};
use muster_aggregator::roster::{Arrival, HostRecord, Landing, Roster};
use muster_proto::clock::Utc;
use muster_proto::digest::{Rank, encode_digest, parse_digest};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::state::{Heartbeat, StateBatch, StateRecord};

/// Seconds between heartbeats.
pub const BEAT_S: u64 = 10;
/// An aggregator notices after this that a connection is cut. Seconds.
const IDLE_S: u64 = 45;
/// A host that is away goes home when home was reachable for this. Seconds.
const HOME_STABLE_S: u64 = 20;
const SITES: [&str; 3] = ["codfw", "eqiad", "ulsfo"];
const START: i64 = 1_795_000_000_000_000;

/// One aggregator: what runs, and what its disk has.
pub struct Aggregator {
    pub name: String,
    pub site: usize,
    /// Microseconds that its clock is off.
    skew: i64,
    pub running: Option<Running>,
    disk: Disk,
}

pub struct Running {
    roster: Roster,
    pub leases: Leases,
    pub incidents: Incidents,
    since: u64,
}

#[derive(Default)]
struct Disk {
    hosts: BTreeMap<String, HostRecord>,
    leases: BTreeMap<String, LeaseRecord>,
    incidents: BTreeMap<String, Incident>,
}

pub struct Host {
    pub name: String,
    pub site: usize,
    pub alive: bool,
    /// Which aggregator it is connected to, and since when.
    pub at: Option<(usize, u64)>,
    seq: u64,
    epoch: u64,
    phase: u64,
    home_since: Option<u64>,
}

/// A digest that is under way.
struct Letter {
    arrives: u64,
    from: usize,
    to: usize,
    bytes: Vec<u8>,
}

/// How bad the network is: one answer in so many is lost, late, or comes twice; 0 = never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub lose_one_in: u32,
    pub late_one_in: u32,
    pub twice_one_in: u32,
}

pub struct World {
    /// Seconds.
    pub now: u64,
    pub rng: fastrand::Rng,
    pub aggregators: Vec<Aggregator>,
    pub hosts: Vec<Host>,
    /// Pairs of datacenters that do not reach each other.
    pub cuts: BTreeSet<(usize, usize)>,
    weather: Weather,
    letters: Vec<Letter>,
    /// Connections that an aggregator still takes for open: when it will notice.
    half_open: Vec<(u64, usize, usize)>,
    pub bytes: u64,
}

impl World {
    pub fn new(seed: u64, hosts_a_site: usize, weather: Weather) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut aggregators = Vec::new();
        let mut hosts = Vec::new();
        for (site, name) in SITES.iter().enumerate() {
            for n in 1..=2 {
                aggregators.push(Aggregator {
                    name: format!("agg{n}.{name}"),
                    site,
                    skew: rng.i64(-7_200_000_000..7_200_000_000),
                    running: None,
                    disk: Disk::default(),
                });
            }
            for n in 1..=hosts_a_site {
                hosts.push(Host {
                    name: format!("db{n}.{name}"),
                    site,
                    alive: true,
                    at: None,
                    seq: 0,
                    epoch: rng.u64(1..1_000_000),
                    phase: rng.u64(0..BEAT_S),
                    home_since: None,
                });
            }
        }
        let mut world = World {
            now: 0,
            rng,
            aggregators,
            hosts,
            cuts: BTreeSet::new(),
            weather,
            letters: Vec::new(),
            half_open: Vec::new(),
            bytes: 0,
        };
        (0..world.aggregators.len()).for_each(|place| world.start(place));
        world
    }

    /// Wall time of an aggregator.
    pub fn clock(&self, place: usize) -> Utc {
        let micros = i64::try_from(self.now * 1_000_000).unwrap();
        Utc(START + micros + self.aggregators[place].skew)
    }

    pub fn start(&mut self, place: usize) {
        let now = self.clock(place);
        let peers: Vec<(String, String)> = self
            .aggregators
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place)
            .map(|(_, other)| (other.name.clone(), SITES[other.site].to_owned()))
            .collect();
        let aggregator = &mut self.aggregators[place];
        if aggregator.running.is_some() {
            return;
        }
        let me = (aggregator.name.as_str(), SITES[aggregator.site]);
        let mut leases = Leases::new(me, &peers, now);
        leases.restore(aggregator.disk.leases.values().cloned().collect());
        aggregator.running = Some(Running {
            roster: Roster::restore(
                now,
                aggregator.disk.hosts.values().cloned().collect(),
                Vec::new(),
            ),
            leases,
            incidents: Incidents::restore(aggregator.disk.incidents.values().cloned().collect()),
            since: self.now,
        });
    }

    /// kill -9: its disk has what it saved, its hosts notice when they speak.
    pub fn kill(&mut self, place: usize) {
        self.aggregators[place].running = None;
        self.half_open.retain(|(_, at, _)| *at != place);
    }

    pub fn kill_host(&mut self, host: usize) {
        self.hosts[host].alive = false;
        if let Some((at, _)) = self.hosts[host].at.take() {
            self.half_open.push((self.now + IDLE_S, at, host));
        }
    }

    /// The same machine, a new run of its agent.
    pub fn start_host(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        if !host.alive {
            (host.alive, host.at, host.home_since) = (true, None, None);
            host.epoch += 1_000_000;
        }
    }

    /// Cuts the path between two datacenters; with itself: everything of it stands still.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.cuts.insert((a.min(b), a.max(b)));
    }

    pub fn mend(&mut self, a: usize, b: usize) {
        self.cuts.remove(&(a.min(b), a.max(b)));
    }

    /// Everything runs and reaches everything.
    pub fn heal(&mut self) {
        self.cuts.clear();
        (0..self.aggregators.len()).for_each(|place| self.start(place));
        (0..self.hosts.len()).for_each(|host| self.start_host(host));
    }

    pub fn reach(&self, a: usize, b: usize) -> bool {
        !self.cuts.contains(&(a.min(b), a.max(b)))
    }

    fn is_reachable(&self, host: usize, place: usize) -> bool {
        self.aggregators[place].running.is_some()
            && self.reach(self.hosts[host].site, self.aggregators[place].site)
    }

    pub fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.step();
        }
    }

    /// One second.
    pub fn step(&mut self) {
        self.now += 1;
        self.notice_half_open();
        for host in 0..self.hosts.len() {
            if self.hosts[host].alive {
                self.step_host(host);
            }
        }
        if self.now.is_multiple_of(2) {
            self.ask_all();
        }
        if self.now.is_multiple_of(10) {
            self.ask_relays();
        }
        self.deliver();
        (0..self.aggregators.len()).for_each(|place| self.look(place));
    }

    fn notice_half_open(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            self.half_open.drain(..).partition(|(due, _, _)| *due <= now);
        self.half_open = later;
        for (_, place, host) in due {
            self.disconnect(place, host);
        }
    }

    fn disconnect(&mut self, place: usize, host: usize) {
        if self.hosts[host].at.is_some_and(|(at, _)| at == place) {
            return;
        }
        let now = self.clock(place);
        let Aggregator { name, running, .. } = &mut self.aggregators[place];
        if let Some(running) = running {
            running.roster.on_disconnected(&self.hosts[host].name, name, now);
        }
    }

    fn step_host(&mut self, host: usize) {
        let beats = (self.now + self.hosts[host].phase).is_multiple_of(BEAT_S);
        match self.hosts[host].at {
            None => self.connect(host),
            Some((at, since)) => {
                let is_dead = !self.is_reachable(host, at)
                    || self.aggregators[at].running.as_ref().is_some_and(|run| run.since > since);
                if beats && is_dead {
                    self.leave(host, at);
                    self.connect(host);
                } else if beats {
                    self.beat(host, at);
                }
                self.go_home(host, at);
            }
        }
    }

    fn leave(&mut self, host: usize, at: usize) {
        self.hosts[host].at = None;
        if self.is_reachable(host, at) {
            self.disconnect(at, host);
        } else {
            self.half_open.push((self.now + IDLE_S, at, host));
        }
    }

    /// Where it would like to be: its own datacenter first, then the next ones.
    fn order(&self, host: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.aggregators.len()).collect();
        let site = self.hosts[host].site;
        order.sort_by_key(|place| {
            let far = (self.aggregators[*place].site + SITES.len() - site) % SITES.len();
            (far, (place + host) % 2)
        });
        order
    }

    fn connect(&mut self, host: usize) {
        let order = self.order(host);
        let found = order.into_iter().find(|place| self.is_reachable(host, *place));
        let Some(place) = found else { return };
        let (now, seconds) = (self.clock(place), self.now);
        let Host { name, site, epoch, at, home_since, .. } = &mut self.hosts[host];
        (*at, *home_since) = (Some((place, seconds)), None);
        let rank = Rank { epoch: *epoch, turn: seconds };
        let (name, datacenter) = (name.clone(), SITES[*site]);
        let Aggregator { name: aggregator, running, .. } = &mut self.aggregators[place];
        if let Some(running) = running {
            running.roster.on_connected(Landing { host: &name, datacenter, aggregator, rank }, now);
        }
        self.half_open.retain(|(_, at, of)| (*at, *of) != (place, host));
        self.beat(host, place);
    }

    fn beat(&mut self, host: usize, place: usize) {
        let at = self.clock(place);
        let beat = Heartbeat { at, interval_s: BEAT_S as u32, backlog: Vec::new() };
        self.say(host, place, StateRecord::Heartbeat(beat));
    }

    /// The host says goodbye and ends.
    pub fn say_goodbye(&mut self, host: usize, reason: &str) {
        let Some((place, _)) = self.hosts[host].at.take() else { return };
        self.hosts[host].alive = false;
        let bye = StateRecord::Bye { at: self.clock(place), reason: reason.to_owned() };
        self.say(host, place, bye);
        self.disconnect(place, host);
    }

    /// The next record of the host, to the aggregator at `place` if it runs.
    fn say(&mut self, host: usize, place: usize, record: StateRecord) {
        let now = self.clock(place);
        let Host { name, site, seq, .. } = &mut self.hosts[host];
        *seq += 1;
        let Aggregator { name: aggregator, running, .. } = &mut self.aggregators[place];
        let Some(running) = running else { return };
        let arrival = Arrival {
            host: name,
            datacenter: SITES[*site],
            aggregator,
            stream: StreamId([host as u8; 16]),
            seq: Seq(*seq),
        };
        running.roster.on_batch(arrival, now, &StateBatch { records: vec![record] });
    }

    fn go_home(&mut self, host: usize, at: usize) {
        let home = self.order(host)[0];
        let is_away = self.aggregators[at].site != self.hosts[host].site;
        if !is_away || !self.is_reachable(host, home) {
            self.hosts[host].home_since = None;
            return;
        }
        let since = *self.hosts[host].home_since.get_or_insert(self.now);
        if self.now - since >= HOME_STABLE_S {
            // Make before break, as the failover machine does it.
            self.connect(host);
            self.disconnect(at, host);
        }
    }

    fn ask_all(&mut self) {
        for from in 0..self.aggregators.len() {
            for to in 0..self.aggregators.len() {
                if from != to {
                    let of = self.aggregators[to].name.clone();
                    self.ask(from, to, &of);
                }
            }
        }
    }

    fn ask_relays(&mut self) {
        for from in 0..self.aggregators.len() {
            let now = self.clock(from);
            let Some(running) = &self.aggregators[from].running else { continue };
            for (witness, of) in running.leases.relays(now) {
                let to = self.aggregators.iter().position(|agg| agg.name == witness).unwrap();
                self.ask(from, to, &of);
            }
        }
    }

    fn ask(&mut self, from: usize, to: usize, of: &str) {
        let (mine, theirs) = (self.clock(from), self.clock(to));
        let linked = self.reach(self.aggregators[from].site, self.aggregators[to].site);
        let peer = self.aggregators[to].name.clone();
        let Some(asker) = &mut self.aggregators[from].running else { return };
        if !linked {
            return;
        }
        let ask = asker.leases.ask(&peer, of, mine);
        let Some(answerer) = &self.aggregators[to].running else { return };
        let Some(digest) = answerer.leases.answer(&ask, theirs) else { return };
        let bytes = encode_digest(&digest).unwrap();
        let one_in = |rng: &mut fastrand::Rng, n: u32| n > 0 && rng.u32(0..n) == 0;
        if one_in(&mut self.rng, self.weather.lose_one_in) {
            return;
        }
        let late = one_in(&mut self.rng, self.weather.late_one_in);
        let arrives = self.now + if late { self.rng.u64(1..6) } else { 0 };
        if one_in(&mut self.rng, self.weather.twice_one_in) {
            let arrives = arrives + self.rng.u64(0..20);
            self.letters.push(Letter { arrives, from: to, to: from, bytes: bytes.clone() });
        }
        self.letters.push(Letter { arrives, from: to, to: from, bytes });
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            self.letters.drain(..).partition(|letter| letter.arrives <= now);
        self.letters = later;
        for Letter { from, to, bytes, .. } in due {
            let clock = self.clock(to);
            let peer = self.aggregators[from].name.clone();
            if let Some(running) = &mut self.aggregators[to].running {
                self.bytes += bytes.len() as u64;
                running.leases.on_digest(&peer, parse_digest(&bytes).unwrap(), clock);
            }
        }
    }

    fn look(&mut self, place: usize) {
        let now = self.clock(place);
        let Aggregator { running, disk, .. } = &mut self.aggregators[place];
        let Some(Running { roster, leases, incidents, .. }) = running else { return };
        roster.on_tick(now);
        for (host, lease) in roster.moved() {
            leases.on_own(&host, lease, now);
        }
        leases.on_tick(now);
        incidents.on_survey(&Survey::take(leases, &incidents.watched(), now), now);
        leases.on_open(incidents.told());
        let hosts = roster.changes().hosts.into_iter();
        disk.hosts.extend(hosts.map(|host| (host.host.clone(), host)));
        let changed = leases.changes();
        changed.gone.iter().for_each(|host| drop(disk.leases.remove(host)));
        let records = changed.hosts.into_iter();
        disk.leases.extend(records.map(|record| (record.lease.host.clone(), record)));
        let changed = incidents.changes();
        changed.gone.iter().for_each(|id| drop(disk.incidents.remove(id)));
        let told = changed.incidents.into_iter();
        disk.incidents.extend(told.map(|incident| (incident.id(), incident)));
    }

    /// What a running aggregator sees open: `scope kind`, sorted.
    pub fn open(&self, place: usize) -> Vec<String> {
        let running = self.aggregators[place].running.as_ref().unwrap();
        let told = running.incidents.open();
        told.map(|incident| format!("{}: {}", incident.scope, incident.verdict)).collect()
    }

    /// Ids of the open incidents of every running aggregator.
    pub fn ids(&self) -> BTreeSet<String> {
        let running = self.aggregators.iter().filter_map(|agg| agg.running.as_ref());
        running.flat_map(|running| running.incidents.open().map(Incident::id)).collect()
    }

    /// Every host that somebody hears for ten seconds is known and not lost wherever that somebody is heard, and it
    /// belongs to the one that hears it.
    pub fn check_hosts(&self) {
        for (place, aggregator) in self.aggregators.iter().enumerate() {
            let Some(running) = &aggregator.running else { continue };
            let now = self.clock(place);
            for host in self.hosts.iter().filter(|host| host.alive) {
                let Some((at, since)) = host.at else { continue };
                let hears = place == at || self.hears(place, at);
                if !hears || self.now - since < 15 || self.aggregators[at].running.is_none() {
                    continue;
                }
                let Some(record) = running.leases.host(&host.name) else {
                    panic!("{}: {} does not know {}", self.now, aggregator.name, host.name)
                };
                let view = running.leases.view(record, now);
                let owner = &self.aggregators[at].name;
                assert!(
                    record.owner == *owner && !matches!(view.liveness.name(), "lost" | "departed"),
                    "{}: {} says {} is {:?} at {}, it is at {owner}: {record:?}",
                    self.now,
                    aggregator.name,
                    host.name,
                    view.liveness,
                    record.owner,
                );
            }
        }
    }

    /// Whether one aggregator heard another within five seconds.
    fn hears(&self, listener: usize, speaker: usize) -> bool {
        let now = self.clock(listener);
        let name = &self.aggregators[speaker].name;
        self.aggregators[listener].running.as_ref().is_some_and(|running| {
            running.leases.peers().any(|(peer, known)| {
                let fresh = |at: Utc| now.since(at) <= Duration::from_secs(5);
                peer == name && known.heard.is_some_and(fresh)
            })
        })
    }
}
