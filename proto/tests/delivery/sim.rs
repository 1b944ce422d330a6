//! A world on virtual time: one agent, aggregators in two datacenters, disks, and a bad network.
//!
//! A connection behaves like QUIC: ordered within a lane stream, late when packets are lost, dead in
//! one direction or both, and what was sent on it may arrive long after its sender gave it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_proto::clock::{Mono, Utc};
use muster_proto::control::{FromAggregator, Hello, Welcome};
use muster_proto::failover::{self, Aggregator as Candidate, Datacenter, Failover};
use muster_proto::frame::{Header, Kind};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::limits::IN_FLIGHT_BYTES_MAX;
use muster_proto::talk::dict::SentDict;
use muster_proto::talk::intake::{self, Greeting, Intake, Verdict};
use muster_proto::talk::marks::{Marks, Offer};
use muster_proto::talk::uplink::{self, LaneStart, Sent, Uplink};

mod agent;
mod aggregators;

use agent::start;

pub const MS: u64 = 1_000;
pub const SECOND: u64 = 1_000 * MS;
const HOST: &str = "db1.eqiad.example.org";
/// So many scrapes use one dict.
const FRAMES_A_DICT: u64 = 7;
pub const LANES: [Lane; 3] = [Lane::State, Lane::Metrics, Lane::Logs];

/// How bad the world is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// One message in so many comes late by up to 400 ms; 0 = none.
    pub late_one_in: u32,
    /// A group sync takes up to this, µs.
    pub sync_max: u64,
    /// A commit of frames every so often, µs.
    pub produce_every: u64,
    /// Credit varies by connection and over time.
    pub stingy: bool,
}

#[derive(Debug)]
pub struct LaneDisk {
    pub lane: Lane,
    pub stream: StreamId,
    /// Last seq in the spool, synced; what is above is lost in a crash.
    pub durable: u64,
    staged: u64,
    cursor_disk: u64,
    cursor: u64,
}

#[derive(Debug)]
pub struct Agent {
    epoch: u64,
    pub uplink: Uplink,
    pub failover: Failover,
    live: Option<usize>,
    conns: BTreeMap<u32, usize>,
    pub lanes: Vec<LaneDisk>,
    rx: bool,
    wake: u64,
}

pub struct Aggregator {
    pub name: String,
    pub datacenter: usize,
    pub alive: bool,
    pub cut_until: u64,
    pub draining: bool,
    life: u64,
    marks: Marks,
    marks_on_disk: Marks,
    intakes: BTreeMap<usize, Intake>,
    staged: Vec<(usize, Lane, StreamId, Seq, bool)>,
    syncing: bool,
    /// Numbers of the dicts it has, with those that wait for the sync.
    dicts: BTreeSet<u64>,
    dicts_on_disk: BTreeSet<u64>,
    /// Synced frames in the order of the disk.
    pub stored: Vec<(Lane, u64)>,
}

struct Conn {
    aggregator: usize,
    aggregator_life: u64,
    epoch: u64,
    attempt: u32,
    open: bool,
    /// What is under way when the agent lets go still arrives.
    haunts: bool,
    last_arrival: BTreeMap<u8, u64>,
    welcome: Option<Welcome>,
    credit_max: u64,
    under_way: Vec<(Lane, Seq, u64)>,
    /// Of the stream of the metrics lane.
    sent_dict: SentDict,
}

enum ToAggregator {
    Hello(Hello),
    Frame(Lane, Seq),
    /// The dict with this number, of the metrics lane.
    Dict(u64),
    Nudge,
}

/// A pump that writes a range.
#[derive(Clone, Copy)]
struct Turn {
    conn: usize,
    life: u64,
    lane: Lane,
    seq: Seq,
    left: u64,
}

enum Event {
    Produce,
    Commit { epoch: u64 },
    Wake { at: u64 },
    Resolved { epoch: u64 },
    Dialled { conn: usize },
    ConnLost { conn: usize },
    ToAggregator { conn: usize, what: ToAggregator },
    ToAgent { conn: usize, what: FromAggregator },
    Rx { conn: usize },
    Sync { aggregator: usize, life: u64 },
    Turn(Turn),
    Probed { epoch: u64, probe: u32, ok: bool },
}

/// Something the world's master does.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// kill -9: nothing is said.
    Kill(usize),
    /// The process ends and closes its connections.
    Stop(usize),
    Start(usize),
    /// Nothing passes, in both directions.
    Cut(usize, u64),
    Drain(usize),
    CrashAgent,
    DropOldest,
    Credit(usize, u64),
}

pub struct World {
    pub now: u64,
    pub rng: fastrand::Rng,
    weather: Weather,
    timing: failover::Timing,
    queue: BTreeMap<(u64, u64), Event>,
    ticket: u64,
    pub agent: Agent,
    pub aggregators: Vec<Aggregator>,
    conns: Vec<Conn>,
    /// Which frames are synced somewhere.
    pub safe: BTreeSet<(Lane, u64)>,
    pub dropped: BTreeSet<(Lane, u64)>,
    /// (time, aggregator) of every ack that reached the agent on its live connection.
    pub acks: Vec<(u64, usize)>,
    pub producing: bool,
    pub adopted: Vec<(u64, usize)>,
}

fn names() -> Vec<Datacenter> {
    let dc = |name: &str| Datacenter {
        name: name.into(),
        aggregators: (1..=2).map(|n| Candidate::equal(format!("agg{n}.{name}"))).collect(),
    };
    vec![dc("eqiad"), dc("codfw")]
}

/// Length of a frame: the same for ever, mostly small, now and then the largest.
fn frame_bytes(lane: Lane, seq: Seq) -> u64 {
    let roll = failover::Jitter::new(seq.0 << 3 | lane as u64).number();
    80 + match (lane, roll % 50) {
        (Lane::Logs, 0) => 1024 * 1024,
        (Lane::Logs, _) => roll % 200_000,
        _ => roll % 3_000,
    }
}

/// The dict a frame needs: 0 for none, else the seq of the first frame that uses it.
fn dict_of(lane: Lane, seq: Seq) -> u64 {
    match lane {
        Lane::Metrics => seq.0 - (seq.0 - 1) % FRAMES_A_DICT,
        Lane::State | Lane::Logs | Lane::Bulk => 0,
    }
}

impl World {
    pub fn new(seed: u64, weather: Weather, timing: failover::Timing) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let lanes: Vec<LaneDisk> = LANES
            .into_iter()
            .map(|lane| LaneDisk {
                lane,
                stream: StreamId([lane as u8; 16]),
                durable: 0,
                staged: 0,
                cursor_disk: 0,
                cursor: 0,
            })
            .collect();
        let (uplink, failover) = start(&lanes, timing, 0, rng.u64(..));
        let conns = BTreeMap::new();
        let agent =
            Agent { epoch: 0, uplink, failover, live: None, conns, lanes, rx: false, wake: 0 };
        let aggregators = names()
            .iter()
            .enumerate()
            .flat_map(|(dc, d)| d.aggregators.clone().into_iter().map(move |n| (dc, n.name)))
            .map(|(datacenter, name)| Aggregator {
                name,
                datacenter,
                alive: true,
                cut_until: 0,
                draining: false,
                life: 0,
                marks: Marks::default(),
                marks_on_disk: Marks::default(),
                intakes: BTreeMap::new(),
                staged: Vec::new(),
                syncing: false,
                dicts: BTreeSet::new(),
                dicts_on_disk: BTreeSet::new(),
                stored: Vec::new(),
            })
            .collect();
        let mut world = World {
            now: 0,
            rng,
            weather,
            timing,
            queue: BTreeMap::new(),
            ticket: 0,
            agent,
            aggregators,
            conns: Vec::new(),
            safe: BTreeSet::new(),
            dropped: BTreeSet::new(),
            acks: Vec::new(),
            producing: true,
            adopted: Vec::new(),
        };
        world.after(1, Event::Produce);
        world.pump();
        world
    }

    /// Runs until `until`, or until `done` says so; true when it did.
    pub fn run(&mut self, until: u64, mut done: impl FnMut(&World) -> bool) -> bool {
        while let Some((&(at, _), _)) = self.queue.first_key_value() {
            if at > until {
                break;
            }
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now = at;
            self.happen(event);
            if done(self) {
                return true;
            }
        }
        self.now = until;
        false
    }

    pub fn serving(&self) -> Option<usize> {
        self.agent.live.map(|conn| self.conns[conn].aggregator)
    }

    /// Every durable frame is acked.
    pub fn is_delivered(&self) -> bool {
        let done = |l: &LaneDisk| l.staged == 0 && self.agent.uplink.acked(l.lane).0 == l.durable;
        self.agent.lanes.iter().all(done)
    }

    pub fn act(&mut self, act: Act) {
        match act {
            Act::Kill(i) => self.end(i),
            Act::Stop(i) => {
                let open = |c: &Conn| c.open && c.aggregator == i;
                let conns: Vec<usize> =
                    (0..self.conns.len()).filter(|c| open(&self.conns[*c])).collect();
                let cut = self.aggregators[i].cut_until > self.now;
                for conn in conns.into_iter().filter(|_| !cut) {
                    self.after(2 * MS, Event::ConnLost { conn });
                }
                self.end(i);
            }
            Act::Start(i) => {
                self.aggregators[i].alive = true;
                self.aggregators[i].draining = false;
            }
            Act::Cut(i, span) => self.aggregators[i].cut_until = self.now + span,
            Act::Drain(i) => {
                self.aggregators[i].draining = true;
                for conn in self.aggregators[i].intakes.keys().copied().collect::<Vec<_>>() {
                    let intake = self.aggregators[i].intakes.get_mut(&conn).unwrap();
                    intake.drain("stop", Duration::from_secs(5));
                    self.speak(i, conn);
                }
            }
            Act::CrashAgent => self.crash_agent(),
            Act::DropOldest => self.drop_oldest(),
            Act::Credit(i, bytes) => {
                for conn in self.aggregators[i].intakes.keys().copied().collect::<Vec<_>>() {
                    self.aggregators[i].intakes.get_mut(&conn).unwrap().grant(bytes);
                    self.speak(i, conn);
                }
            }
        }
    }

    /// Everything works from now on.
    pub fn heal(&mut self) {
        for i in 0..self.aggregators.len() {
            self.aggregators[i].cut_until = 0;
            self.act(Act::Start(i));
            self.act(Act::Credit(i, 1 << 20));
        }
        self.weather.late_one_in = 0;
        self.weather.sync_max = 20 * MS;
        self.weather.stingy = false;
        self.producing = false;
    }

    /// What must hold at any time.
    pub fn check(&self) {
        for aggregator in &self.aggregators {
            for lane in LANES {
                let seqs: Vec<u64> =
                    aggregator.stored.iter().filter(|s| s.0 == lane).map(|s| s.1).collect();
                assert!(
                    seqs.windows(2).all(|w| w[0] < w[1]),
                    "{} stores {lane} out of order or twice",
                    aggregator.name
                );
            }
        }
    }

    /// Every frame that was ever durable here is synced there, or was dropped on purpose.
    pub fn check_delivered(&self) {
        for disk in &self.agent.lanes {
            for seq in 1..=disk.durable {
                let key = (disk.lane, seq);
                assert!(
                    self.safe.contains(&key) || self.dropped.contains(&key),
                    "{} frame {seq} is nowhere",
                    disk.lane
                );
            }
        }
    }

    fn after(&mut self, span: u64, event: Event) {
        self.ticket += 1;
        self.queue.insert((self.now + span, self.ticket), event);
    }

    /// Sends on one ordered channel of a connection.
    fn send(&mut self, conn: usize, channel: u8, event: Event) {
        let mut at = self.now + self.rng.u64(500..3 * MS);
        if self.weather.late_one_in > 0 && self.rng.u32(0..self.weather.late_one_in) == 0 {
            at += self.rng.u64(20 * MS..400 * MS);
        }
        let aggregator = &self.aggregators[self.conns[conn].aggregator];
        if aggregator.cut_until > self.now {
            // Retransmitted when the path is back.
            at += aggregator.cut_until - self.now + self.rng.u64(0..500 * MS);
        }
        let last = self.conns[conn].last_arrival.entry(channel).or_insert(0);
        *last = at.max(*last + 1);
        let at = *last;
        self.after(at - self.now, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Produce => self.produce(),
            Event::Commit { epoch } if epoch == self.agent.epoch => self.commit(),
            Event::Wake { at } if at == self.agent.wake => self.pump(),
            Event::Resolved { epoch } if epoch == self.agent.epoch => {
                self.agent.failover.on_resolved(Mono(self.now), &names());
                self.pump();
            }
            Event::Dialled { conn } => self.on_dialled(conn),
            Event::ConnLost { conn } => self.on_conn_lost(conn),
            Event::ToAggregator { conn, what } => self.at_aggregator(conn, what),
            Event::ToAgent { conn, what } => self.at_agent(conn, what),
            Event::Rx { conn } if self.agent.live == Some(conn) => {
                self.agent.rx = true;
                self.pump();
            }
            Event::Sync { aggregator, life } => self.sync(aggregator, life),
            Event::Turn(turn) => self.turn(turn),
            Event::Probed { epoch, probe, ok } if epoch == self.agent.epoch => {
                let (now, failover) = (Mono(self.now), &mut self.agent.failover);
                if ok {
                    failover.on_probe_ok(now, probe);
                } else {
                    failover.on_probe_failed(now, probe);
                }
                self.pump();
            }
            _ => {}
        }
    }
}

fn header(lane: Lane, stream: StreamId, seq: Seq) -> Header {
    let kind = match lane {
        Lane::State => Kind::State,
        Lane::Metrics => Kind::Metric,
        Lane::Logs => Kind::Log,
        Lane::Bulk => Kind::Bulk,
    };
    Header {
        lane,
        kind,
        stream,
        seq,
        dict: dict_of(lane, seq),
        records: 1,
        raw_len: 1,
        body_len: (frame_bytes(lane, seq) - 80) as u32,
        body_crc: 0,
        first_at: Utc(0),
        last_at: Utc(0),
    }
}
