//! A world on virtual time: one agent, aggregators in two datacenters, disks, and a bad network.
//!
//! A connection behaves like QUIC: ordered within a lane stream, late when packets are lost, dead in
//! one direction or both, and what was sent on it may arrive long after its sender gave it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_proto::clock::{Mono, Utc};
use muster_proto::control::{FromAggregator, Hello, Welcome};
use muster_proto::failover::{self, Datacenter, Failover};
use muster_proto::frame::{Header, Kind};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::limits::IN_FLIGHT_BYTES_MAX;
use muster_proto::talk::intake::{self, Greeting, Intake, Verdict};
use muster_proto::talk::marks::{Marks, Offer};
use muster_proto::talk::uplink::{self, LaneStart, Sent, Uplink};

pub const MS: u64 = 1_000;
pub const SECOND: u64 = 1_000 * MS;
const HOST: &str = "db1.eqiad.example.org";
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
}

enum ToAggregator {
    Hello(Hello),
    Frame(Lane, Seq),
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
        aggregators: (1..=2).map(|n| format!("agg{n}.{name}")).collect(),
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

fn start(lanes: &[LaneDisk], timing: failover::Timing, now: u64, seed: u64) -> (Uplink, Failover) {
    let speaker = uplink::Speaker {
        host: HOST.into(),
        datacenter: "eqiad".into(),
        agent_version: "1".into(),
    };
    let lanes: Vec<LaneStart> = lanes
        .iter()
        .map(|l| LaneStart {
            lane: l.lane,
            stream: l.stream,
            acked: Seq(l.cursor),
            durable: Seq(l.durable),
        })
        .collect();
    (
        Uplink::new(speaker, uplink::Timing::default(), &lanes),
        Failover::new(HOST, timing, seed, Mono(now)),
    )
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
            .flat_map(|(dc, d)| d.aggregators.clone().into_iter().map(move |n| (dc, n)))
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

    // --- the agent ---

    fn produce(&mut self) {
        if self.producing {
            let lane = if self.rng.u32(0..4) == 0 { self.rng.usize(0..3) } else { 2 };
            self.agent.lanes[lane].staged += self.rng.u64(1..4);
            let epoch = self.agent.epoch;
            self.after(3 * MS, Event::Commit { epoch });
        }
        let every = self.weather.produce_every;
        let span = self.rng.u64(every / 2..every * 3 / 2);
        self.after(span, Event::Produce);
    }

    fn commit(&mut self) {
        for disk in &mut self.agent.lanes {
            disk.durable += std::mem::take(&mut disk.staged);
            disk.cursor_disk = disk.cursor;
            self.agent.uplink.on_durable(disk.lane, Seq(disk.durable));
        }
        self.pump();
    }

    fn crash_agent(&mut self) {
        self.agent.epoch += 1;
        self.agent.live = None;
        self.agent.conns.clear();
        self.conns.iter_mut().for_each(|c| c.open = false);
        for disk in &mut self.agent.lanes {
            disk.staged = 0;
            disk.cursor = disk.cursor_disk;
        }
        let seed = self.rng.u64(..);
        let (uplink, failover) = start(&self.agent.lanes, self.timing, self.now, seed);
        self.agent.uplink = uplink;
        self.agent.failover = failover;
        self.pump();
    }

    fn drop_oldest(&mut self) {
        let disk = &mut self.agent.lanes[2];
        let upto = (disk.cursor + 3).min(disk.durable);
        let dropped = disk.cursor + 1..=upto;
        self.dropped.extend(dropped.map(|seq| (Lane::Logs, seq)));
        disk.cursor = upto;
        disk.cursor_disk = upto;
        self.agent.uplink.on_dropped(Lane::Logs, Seq(upto));
        self.pump();
    }

    /// Obeys both machines until they have nothing more to say.
    fn pump(&mut self) {
        let now = Mono(self.now);
        for round in 0.. {
            assert!(round < 10_000, "the machines never come to rest");
            let mut rest = true;
            if std::mem::take(&mut self.agent.rx) {
                self.agent.uplink.on_rx(now);
            }
            if self.agent.uplink.is_quiet() {
                self.agent.failover.on_quiet(now);
            }
            while let Some(order) = self.agent.failover.next(now) {
                rest = false;
                self.obey_failover(order);
            }
            while let Some(order) = self.agent.uplink.next(now) {
                rest = false;
                self.obey_uplink(order);
            }
            if rest {
                break;
            }
        }
        let at = self.agent.failover.wake_at(now);
        let at = self.agent.uplink.wake_at().map_or(at, |other| other.min(at)).0;
        assert!(at > self.now, "a timer that is due is not obeyed: {:?}", self.agent.failover);
        if at != self.agent.wake {
            self.agent.wake = at;
            self.after(at - self.now, Event::Wake { at });
        }
    }

    fn obey_failover(&mut self, order: failover::Order) {
        use failover::Order;
        let epoch = self.agent.epoch;
        match order {
            Order::Resolve => self.after(5 * MS, Event::Resolved { epoch }),
            Order::Dial { attempt, aggregator, .. } => self.dial(attempt, &aggregator),
            Order::Cancel { attempt } | Order::Close { attempt, .. } => {
                if let Some(conn) = self.agent.conns.remove(&attempt) {
                    self.conns[conn].open = false;
                }
            }
            Order::Quiesce => self.agent.uplink.on_drain(),
            Order::Resume => self.agent.uplink.on_resume(),
            Order::Adopt { attempt } => {
                let conn = self.agent.conns[&attempt];
                let welcome = self.conns[conn].welcome.clone().expect("a Welcome came");
                self.agent.uplink.on_welcome(Mono(self.now), &welcome);
                self.agent.live = Some(conn);
                self.adopted.push((self.now, self.conns[conn].aggregator));
            }
            Order::Probe { probe, aggregator, .. } => {
                let a = self.aggregators.iter().find(|a| a.name == aggregator).unwrap();
                let ok = a.alive && a.cut_until <= self.now && !a.draining;
                let span = if ok { 5 * MS } else { 900 * MS };
                self.after(span, Event::Probed { epoch, probe, ok });
            }
        }
    }

    fn obey_uplink(&mut self, order: uplink::Order) {
        let now = Mono(self.now);
        match order {
            uplink::Order::Send { life, lane, from, bytes_max } => {
                let conn = self.agent.live.expect("sends only on a live connection");
                let span = self.rng.u64(100..2 * MS);
                let turn = Turn { conn, life, lane, seq: from, left: bytes_max };
                self.after(span, Event::Turn(turn));
            }
            uplink::Order::Release { lane, upto } => {
                let disk = self.agent.lanes.iter_mut().find(|l| l.lane == lane).unwrap();
                for seq in disk.cursor + 1..=upto.0 {
                    let key = (lane, seq);
                    let fine = self.safe.contains(&key) || self.dropped.contains(&key);
                    assert!(fine, "{lane} frame {seq} is released and nowhere durable");
                }
                disk.cursor = disk.cursor.max(upto.0);
            }
            uplink::Order::Nudge => {
                let conn = self.agent.live.expect("nudges a live connection");
                self.send(conn, 0, Event::ToAggregator { conn, what: ToAggregator::Nudge });
            }
            uplink::Order::Suspect(_) => self.agent.failover.on_suspect(now),
            uplink::Order::Recovered => self.agent.failover.on_recovered(now),
            uplink::Order::Forked { lane, .. } => panic!("{lane} is forked"),
        }
    }

    fn dial(&mut self, attempt: u32, name: &str) {
        let aggregator = self.aggregators.iter().position(|a| a.name == name).unwrap();
        let to = &self.aggregators[aggregator];
        let answers = to.alive && to.cut_until <= self.now;
        let quickly_refused = !to.alive && self.rng.bool();
        self.conns.push(Conn {
            aggregator,
            aggregator_life: to.life,
            epoch: self.agent.epoch,
            attempt,
            open: true,
            haunts: self.rng.bool(),
            last_arrival: BTreeMap::new(),
            welcome: None,
            credit_max: 0,
            under_way: Vec::new(),
        });
        let conn = self.conns.len() - 1;
        self.agent.conns.insert(attempt, conn);
        let span = self.rng.u64(MS..30 * MS);
        if answers {
            self.after(span, Event::Dialled { conn });
        } else if quickly_refused {
            self.after(span, Event::ConnLost { conn });
        }
    }

    fn on_dialled(&mut self, conn: usize) {
        let Conn { open, epoch, attempt, .. } = self.conns[conn];
        if open && epoch == self.agent.epoch {
            self.agent.failover.on_dialled(Mono(self.now), attempt);
            let what = ToAggregator::Hello(self.agent.uplink.hello(false));
            self.send(conn, 0, Event::ToAggregator { conn, what });
            self.pump();
        }
    }

    fn on_conn_lost(&mut self, conn: usize) {
        let Conn { open, epoch, attempt, .. } = self.conns[conn];
        if !open || epoch != self.agent.epoch {
            return;
        }
        self.conns[conn].open = false;
        self.agent.conns.remove(&attempt);
        if self.agent.live == Some(conn) {
            self.agent.live = None;
            self.agent.uplink.on_disconnected(Mono(self.now));
        }
        self.agent.failover.on_lost(Mono(self.now), attempt, "closed");
        self.pump();
    }

    fn turn(&mut self, turn: Turn) {
        let Turn { conn, life, lane, seq, left } = turn;
        let now = Mono(self.now);
        if self.conns[conn].epoch != self.agent.epoch {
            return;
        }
        let durable = self.agent.lanes.iter().find(|l| l.lane == lane).unwrap().durable;
        let bytes = frame_bytes(lane, seq);
        let open = self.conns[conn].open;
        // A pump may report what it wrote to a connection that was given up meanwhile.
        let late = !open && self.rng.bool();
        if seq.0 > durable || bytes > left || !(open || late) {
            let next_bytes = if seq.0 <= durable && open { bytes } else { 0 };
            self.agent.uplink.on_send_done(now, life, lane, next_bytes);
            return self.pump();
        }
        self.agent.uplink.on_sent(now, Sent { life, lane, seq, bytes });
        if open {
            let what = ToAggregator::Frame(lane, seq);
            self.send(conn, lane as u8, Event::ToAggregator { conn, what });
            self.check_window(conn, (lane, seq, bytes));
        }
        let span = self.rng.u64(10..3 * MS);
        self.after(span, Event::Turn(Turn { seq: seq.next(), left: left - bytes, ..turn }));
        self.pump();
    }

    fn check_window(&mut self, conn: usize, frame: (Lane, Seq, u64)) {
        let line = &mut self.conns[conn];
        line.under_way.push(frame);
        let total: u64 = line.under_way.iter().map(|f| f.2).sum();
        let window = line.credit_max.min(IN_FLIGHT_BYTES_MAX);
        let fits = total <= window || line.under_way.len() == 1;
        assert!(fits, "{total} bytes are under way of {window}: {:?}", line.under_way);
    }

    fn at_agent(&mut self, conn: usize, what: FromAggregator) {
        let Conn { open, epoch, attempt, .. } = self.conns[conn];
        if !open || epoch != self.agent.epoch {
            return;
        }
        let (now, live) = (Mono(self.now), self.agent.live == Some(conn));
        self.agent.rx |= live;
        match what {
            FromAggregator::Welcome(welcome) => {
                self.conns[conn].credit_max = welcome.credit_bytes;
                self.conns[conn].welcome = Some(welcome);
                self.agent.failover.on_welcomed(now, attempt);
            }
            FromAggregator::Ack { lane, stream, seq } if live => {
                self.acks.push((self.now, self.conns[conn].aggregator));
                self.conns[conn].under_way.retain(|f| f.0 != lane || f.1 > seq);
                self.agent.uplink.on_ack(now, lane, stream, seq);
            }
            FromAggregator::Credit { bytes } => {
                let line = &mut self.conns[conn];
                line.credit_max = line.credit_max.max(bytes);
                if live {
                    self.agent.uplink.on_credit(bytes);
                } else if let Some(welcome) = &mut line.welcome {
                    welcome.credit_bytes = bytes;
                }
            }
            FromAggregator::Drain { retry_after_ms, .. } if live => {
                self.agent.failover.on_drain(now, Duration::from_millis(retry_after_ms));
            }
            FromAggregator::Refused { .. } => self.on_conn_lost(conn),
            _ => {}
        }
        self.pump();
    }

    // --- the aggregators ---

    fn end(&mut self, i: usize) {
        let aggregator = &mut self.aggregators[i];
        aggregator.alive = false;
        aggregator.life += 1;
        aggregator.staged.clear();
        aggregator.syncing = false;
        aggregator.intakes.clear();
        aggregator.marks = aggregator.marks_on_disk.clone();
    }

    fn at_aggregator(&mut self, conn: usize, what: ToAggregator) {
        let i = self.conns[conn].aggregator;
        let aggregator = &self.aggregators[i];
        if !aggregator.alive || (!self.conns[conn].open && !self.conns[conn].haunts) {
            return;
        }
        if aggregator.life != self.conns[conn].aggregator_life {
            // A restarted process answers with a stateless reset.
            return self.send(conn, 8, Event::ConnLost { conn });
        }
        self.send(conn, 8, Event::Rx { conn });
        match what {
            ToAggregator::Hello(hello) => self.greet(i, conn, &hello),
            ToAggregator::Frame(lane, seq) => self.take(i, conn, lane, seq),
            ToAggregator::Nudge => {}
        }
        self.speak(i, conn);
    }

    fn greet(&mut self, i: usize, conn: usize, hello: &Hello) {
        let credit = if self.weather.stingy { self.rng.u64(1_000..600_000) } else { 4 << 20 };
        let aggregator = &mut self.aggregators[i];
        let speaker = intake::Speaker {
            aggregator: aggregator.name.clone(),
            datacenter: aggregator.datacenter.to_string(),
        };
        let mut fresh = Intake::new(speaker, credit);
        if aggregator.draining {
            fresh.drain("stop", Duration::from_secs(5));
        }
        let marks = &aggregator.marks;
        let what = match fresh.on_hello(hello, HOST, |_, stream| marks.known(HOST, stream)) {
            Greeting::Welcome(welcome) => FromAggregator::Welcome(welcome),
            Greeting::Refused(why) => FromAggregator::Refused { why: why.to_string() },
        };
        aggregator.intakes.insert(conn, fresh);
        self.send(conn, 9, Event::ToAgent { conn, what });
    }

    fn take(&mut self, i: usize, conn: usize, lane: Lane, seq: Seq) {
        let aggregator = &mut self.aggregators[i];
        let stream = StreamId([lane as u8; 16]);
        let Some(intake) = aggregator.intakes.get_mut(&conn) else { return };
        match intake.on_frame(&header(lane, stream, seq)) {
            Verdict::Refused(why) => panic!("an honest frame is refused: {why}"),
            Verdict::Repeat => return,
            Verdict::Store => {}
        }
        let fresh = match aggregator.marks.offer(&Arc::from(HOST), stream, seq) {
            Offer::Fresh => true,
            Offer::Repeat => false,
            other => panic!("{other:?}"),
        };
        aggregator.staged.push((conn, lane, stream, seq, fresh));
        if !std::mem::replace(&mut aggregator.syncing, true) {
            let life = aggregator.life;
            let span = self.rng.u64(MS..=self.weather.sync_max.max(MS));
            self.after(span, Event::Sync { aggregator: i, life });
        }
    }

    fn sync(&mut self, i: usize, life: u64) {
        let aggregator = &mut self.aggregators[i];
        if aggregator.life != life {
            return;
        }
        aggregator.syncing = false;
        aggregator.marks.on_synced();
        aggregator.marks_on_disk = aggregator.marks.clone();
        let staged = std::mem::take(&mut aggregator.staged);
        for &(conn, lane, stream, seq, fresh) in &staged {
            if fresh {
                aggregator.stored.push((lane, seq.0));
                self.safe.insert((lane, seq.0));
            }
            if let Some(intake) = aggregator.intakes.get_mut(&conn) {
                intake.on_stored(lane, stream, aggregator.marks.durable(stream));
            }
        }
        let conns: BTreeSet<usize> = staged.iter().map(|s| s.0).collect();
        conns.into_iter().for_each(|conn| self.speak(i, conn));
    }

    fn speak(&mut self, i: usize, conn: usize) {
        while let Some(what) =
            self.aggregators[i].intakes.get_mut(&conn).and_then(|intake| intake.next())
        {
            self.send(conn, 9, Event::ToAgent { conn, what });
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
        dict: 0,
        records: 1,
        raw_len: 1,
        body_len: (frame_bytes(lane, seq) - 80) as u32,
        body_crc: 0,
        first_at: Utc(0),
        last_at: Utc(0),
    }
}
