//! The uplink: carries frames from the lanes' spools to whichever aggregator is live.
//!
//! Room: `agent::uplink`.  May use: `proto` (talk, failover), `link`, `lanes`.  Used by: `app`.
//!
//! Two pure machines think, [`Pump`] obeys: [`Failover`] says whom to dial, adopt and leave, [`Uplink`]
//! says what to send and what may be released. Everything that happens comes in as one event; after
//! each event both machines are asked for orders until they have none.
//!
//! ```text
//! attempts (dial, hello, control) ─┐
//! turns (spool → lane stream)      ├─→ events ─→ Pump { Failover, Uplink } ─→ orders ─→ tasks
//! lanes (durable moved), timer     ┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_link::{Close, Dialer};
use muster_proto::clock::Mono;
use muster_proto::control::{FromAgent, FromAggregator, Welcome};
use muster_proto::errors::chain;
use muster_proto::failover::{Datacenter, Failover, Order as Choice, Phase, Timing as Choices};
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::talk::uplink::{LaneStart, Order, Speaker, Timing, Uplink};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::config::{AggregatorAddress, UplinkConfig};
use crate::facts::clock::Clock;
use crate::lanes::LaneHandle;

mod attempt;
mod renewal;
mod turn;

use attempt::{Attempt, Line, Told};
use turn::{Job, LaneWriter, TurnTold};

/// What the rest of the agent may know of the uplink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UplinkView {
    /// `live`, `away`, `connecting`, `offline`.
    pub phase: &'static str,
    /// Aggregator that is live; empty when none is.
    pub aggregator: String,
    /// How many connections have been adopted: a full report is due when it moves.
    pub adopted: u64,
    /// When the last durable ack came.
    pub acked_at: Option<Mono>,
    /// Why the last attempt failed; empty when live.
    pub failure: String,
}

/// Everything the pump needs to begin.
pub struct UplinkParts {
    /// Who we are.
    pub speaker: Speaker,
    /// Whom we may talk to.
    pub config: UplinkConfig,
    /// Dials.
    pub dialer: Arc<Dialer>,
    /// The lanes.
    pub lanes: Vec<LaneHandle>,
    /// Zero of monotonic time.
    pub began: Instant,
    /// Where the view is shown.
    pub view: watch::Sender<UplinkView>,
    /// Renews the certificate; knows where it lies.
    pub identity: Arc<muster_link::IdentityStore>,
}

/// Something happened.
enum Event {
    Attempt(Attempt, Told),
    Probed(u32, bool),
    Turn(TurnTold),
}

/// One attempt and what has become of it.
struct Try {
    task: AbortHandle,
    aggregator: String,
    line: Option<Box<Line>>,
    welcome: Option<Welcome>,
}

/// Obeys the two machines.
pub struct Pump {
    parts: UplinkParts,
    failover: Failover,
    uplink: Uplink,
    tries: HashMap<Attempt, Try>,
    live: Option<Attempt>,
    writers: HashMap<Lane, Box<LaneWriter>>,
    seen_datagrams: u64,
    adopted: u64,
    acked_at: Option<Mono>,
    renewal: renewal::Renewal,
    tasks: JoinSet<()>,
    attempt_tx: mpsc::UnboundedSender<(Attempt, Told)>,
    turn_tx: mpsc::UnboundedSender<TurnTold>,
    probe_tx: mpsc::UnboundedSender<(u32, bool)>,
}

/// The receiving ends of a pump's events.
struct Ears {
    attempts: mpsc::UnboundedReceiver<(Attempt, Told)>,
    turns: mpsc::UnboundedReceiver<TurnTold>,
    probes: mpsc::UnboundedReceiver<(u32, bool)>,
}

/// Runs the uplink until `stop`, then says goodbye.
pub async fn run(parts: UplinkParts, mut stop: watch::Receiver<bool>) {
    let (mut pump, mut ears) = Pump::new(parts);
    loop {
        pump.obey();
        let wake_at = pump.wake_at();
        let lanes = pump.parts.lanes.clone();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some((attempt, told)) = ears.attempts.recv() => pump.on(Event::Attempt(attempt, told)),
            Some(told) = ears.turns.recv() => pump.on(Event::Turn(told)),
            Some((probe, ok)) = ears.probes.recv() => pump.on(Event::Probed(probe, ok)),
            () = any_lane_changed(&lanes) => pump.look_at_lanes(),
            () = tokio::time::sleep_until(wake_at.into()) => pump.look_at_lanes(),
        }
    }
    pump.leave("stop").await;
}

async fn any_lane_changed(lanes: &[LaneHandle]) {
    let waits = lanes.iter().map(|lane| Box::pin(lane.board.changed.notified()));
    let mut waits: Vec<_> = waits.collect();
    std::future::poll_fn(|context| {
        let ready = waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready());
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

impl Pump {
    fn new(parts: UplinkParts) -> (Pump, Ears) {
        let now = Clock::read(parts.began).mono;
        let choices = Choices {
            away_after: parts.config.away_after,
            home_stable: parts.config.home_stable,
            probe_every: parts.config.probe_interval,
            home_spread: parts.config.home_spread,
            ..Choices::default()
        };
        let failover = Failover::new(&parts.speaker.host, choices, fastrand::u64(..), now);
        let starts: Vec<LaneStart> = parts.lanes.iter().map(start_of).collect();
        let uplink = Uplink::new(parts.speaker.clone(), Timing::default(), &starts);
        let (attempt_tx, attempts) = mpsc::unbounded_channel();
        let (turn_tx, turns) = mpsc::unbounded_channel();
        let (probe_tx, probes) = mpsc::unbounded_channel();
        let renewal = renewal::Renewal::new(parts.identity.clone());
        let pump = Pump {
            parts,
            failover,
            uplink,
            tries: HashMap::new(),
            live: None,
            writers: HashMap::new(),
            seen_datagrams: 0,
            adopted: 0,
            acked_at: None,
            renewal,
            tasks: JoinSet::new(),
            attempt_tx,
            turn_tx,
            probe_tx,
        };
        (pump, Ears { attempts, turns, probes })
    }

    fn now(&self) -> Mono {
        Clock::read(self.parts.began).mono
    }

    /// When the machines want to be asked again.
    fn wake_at(&self) -> Instant {
        let now = self.now();
        let wake = [Some(self.failover.wake_at(now)), self.uplink.wake_at()];
        let wake = wake.into_iter().flatten().min().unwrap_or(now);
        self.parts.began + Duration::from_micros(wake.0)
    }

    /// Asks both machines for orders until they have none, and shows where they stand.
    fn obey(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        loop {
            self.count_datagrams();
            let now = self.now();
            if let Some(choice) = self.failover.next(now) {
                self.choose(choice);
            } else if let Some(order) = self.uplink.next(now) {
                self.deliver(order);
            } else if self.failover.phase() == Phase::Drain && self.uplink.is_quiet() {
                self.failover.on_quiet(now);
            } else {
                break;
            }
        }
        self.renew_if_due();
        self.show();
    }

    fn count_datagrams(&mut self) {
        let Some(line) = self.live_try().and_then(|found| found.line.as_ref()) else { return };
        let seen = line.connection.datagrams_received();
        if seen != self.seen_datagrams {
            self.seen_datagrams = seen;
            let now = self.now();
            self.uplink.on_rx(now);
        }
    }

    fn live_try(&self) -> Option<&Try> {
        self.tries.get(&self.live?)
    }

    fn on(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Attempt(attempt, Told::Dialled) => self.failover.on_dialled(now, attempt),
            Event::Attempt(attempt, Told::Welcomed { line, welcome }) => {
                if let Some(found) = self.tries.get_mut(&attempt) {
                    found.line = Some(line);
                    found.welcome = Some(welcome);
                    self.failover.on_welcomed(now, attempt);
                }
            }
            Event::Attempt(attempt, Told::Said(message)) => self.on_said(now, attempt, message),
            Event::Attempt(attempt, Told::Ended(error)) => {
                if self.tries.remove(&attempt).is_some() {
                    let why = chain(&error);
                    tracing::debug!(why, "An attempt or connection ended.");
                    self.failover.on_lost(now, attempt, &why);
                }
                if self.live == Some(attempt) {
                    self.lose_live(now);
                }
            }
            Event::Probed(probe, true) => self.failover.on_probe_ok(now, probe),
            Event::Probed(probe, false) => self.failover.on_probe_failed(now, probe),
            Event::Turn(told) => self.on_turn(now, told),
        }
    }

    fn on_said(&mut self, now: Mono, attempt: Attempt, message: FromAggregator) {
        let is_live = self.live == Some(attempt);
        match message {
            FromAggregator::Ack { lane, stream, seq } if is_live => {
                self.acked_at = Some(now);
                self.uplink.on_ack(now, lane, stream, seq);
            }
            FromAggregator::Credit { bytes } if is_live => self.uplink.on_credit(bytes),
            FromAggregator::Credit { bytes } => {
                let waiting = self.tries.get_mut(&attempt).and_then(|found| found.welcome.as_mut());
                if let Some(welcome) = waiting {
                    welcome.credit_bytes = bytes;
                }
            }
            FromAggregator::Drain { reason, retry_after_ms } if is_live => {
                tracing::info!(reason, "The aggregator asks us to go elsewhere.");
                self.failover.on_drain(now, Duration::from_millis(retry_after_ms));
            }
            FromAggregator::Renewed { chain } => self.renewal.on_renewed(&chain),
            // The rest is out of place on a connection that is not the live one.
            _ => {}
        }
    }

    fn on_turn(&mut self, now: Mono, told: TurnTold) {
        match told {
            TurnTold::Sent(sent) => self.uplink.on_sent(now, sent),
            TurnTold::Missing { lane, from, to } => {
                tracing::error!(%lane, %from, %to, "The spool lost frames.");
                if let Some(handle) =
                    self.parts.lanes.iter().find(|handle| handle.board.lane == lane)
                {
                    let records = to.0.saturating_sub(from.0) + 1;
                    handle.board.lost(crate::lanes::Dropped {
                        from,
                        to,
                        records,
                        why: "spool-damage",
                    });
                }
                self.uplink.on_missing(lane, from, to);
            }
            TurnTold::Done { life, lane, next_bytes, writer } => {
                // A writer of an earlier connection has a broken stream: it is dropped with it.
                if let Some(writer) = writer
                    && life == self.adopted
                {
                    self.writers.insert(lane, writer);
                }
                self.uplink.on_send_done(now, life, lane, next_bytes);
            }
        }
    }

    fn look_at_lanes(&mut self) {
        for handle in &self.parts.lanes {
            let view = handle.board.view();
            self.uplink.on_durable(view.lane, view.durable);
            let first = handle.board.first();
            if first > self.uplink.acked(view.lane).next() {
                self.uplink.on_dropped(view.lane, Seq(first.0.saturating_sub(1)));
            }
        }
    }

    fn choose(&mut self, choice: Choice) {
        let now = self.now();
        match choice {
            Choice::Resolve => {
                // Names are resolved at every dial; the roster is what the configuration says.
                let roster: Vec<Datacenter> =
                    self.parts.config.datacenters.iter().map(roster_of).collect();
                self.failover.on_resolved(now, &roster);
            }
            Choice::Dial { attempt, datacenter, aggregator } => {
                self.dial(attempt, datacenter, aggregator)
            }
            Choice::Cancel { attempt } => {
                if let Some(found) = self.tries.remove(&attempt) {
                    found.task.abort();
                    if let Some(line) = found.line {
                        line.connection.close(Close::Normal, "not needed");
                    }
                }
            }
            Choice::Quiesce => self.uplink.on_drain(),
            Choice::Resume => self.uplink.on_resume(),
            Choice::Adopt { attempt } => self.adopt(now, attempt),
            Choice::Close { attempt, leave } => self.close(attempt, leave.name()),
            Choice::Probe { probe, datacenter, aggregator } => {
                self.probe(probe, datacenter, &aggregator)
            }
        }
    }

    fn target(&self, datacenter: usize, aggregator: &str) -> Option<AggregatorAddress> {
        let aggregators = &self.parts.config.datacenters.get(datacenter)?.aggregators;
        aggregators.iter().find(|address| address.name == aggregator).cloned()
    }

    fn dial(&mut self, attempt: Attempt, datacenter: usize, aggregator: String) {
        let Some(target) = self.target(datacenter, &aggregator) else {
            let now = self.now();
            return self.failover.on_lost(now, attempt, "not in the configuration");
        };
        tracing::debug!(aggregator, attempt, "Dialling.");
        let hello = self.uplink.hello(false);
        let task = attempt::run(
            attempt,
            self.parts.dialer.clone(),
            target,
            hello,
            self.attempt_tx.clone(),
        );
        let task = self.tasks.spawn(task);
        self.tries.insert(attempt, Try { task, aggregator, line: None, welcome: None });
    }

    fn probe(&mut self, probe: u32, datacenter: usize, aggregator: &str) {
        let Some(target) = self.target(datacenter, aggregator) else { return };
        let (dialer, hello, tell) =
            (self.parts.dialer.clone(), self.uplink.hello(true), self.probe_tx.clone());
        self.tasks.spawn(async move {
            let asked = attempt::probe(&dialer, &target, hello);
            let ok = matches!(tokio::time::timeout(PROBE_PATIENCE, asked).await, Ok(Ok(())));
            let _ = tell.send((probe, ok));
        });
    }

    fn adopt(&mut self, now: Mono, attempt: Attempt) {
        let Some(found) = self.tries.get_mut(&attempt) else {
            return self.failover.on_lost(now, attempt, "lost before it was adopted");
        };
        let Some(welcome) = found.welcome.take() else { return };
        tracing::info!(
            aggregator = found.aggregator,
            datacenter = welcome.datacenter,
            "Connected."
        );
        self.live = Some(attempt);
        self.writers.clear();
        self.adopted += 1;
        self.seen_datagrams = 0;
        self.uplink.on_welcome(now, &welcome);
        self.look_at_lanes();
    }

    fn lose_live(&mut self, now: Mono) {
        tracing::warn!(why = self.failover.last_failure(), "The connection is lost.");
        self.live = None;
        self.writers.clear();
        self.uplink.on_disconnected(now);
    }

    /// Leaves a connection. The close carries the reason: a Bye before it would be overtaken by it.
    fn close(&mut self, attempt: Attempt, reason: &str) {
        if let Some(found) = self.tries.remove(&attempt) {
            if let Some(line) = found.line {
                line.connection.close(Close::Normal, reason);
            }
            found.task.abort();
        }
    }

    fn deliver(&mut self, order: Order) {
        match order {
            Order::Send { life, lane, from, bytes_max } => {
                self.begin_turn(Job { life, lane, from, bytes_max })
            }
            Order::Release { lane, upto } => {
                if let Some(handle) =
                    self.parts.lanes.iter().find(|handle| handle.board.lane == lane)
                {
                    handle.release(upto);
                }
            }
            Order::Nudge => self.say(FromAgent::Nudge),
            Order::Suspect(why) => {
                tracing::warn!(?why, "The connection is suspected.");
                let now = self.now();
                self.failover.on_suspect(now);
            }
            Order::Recovered => {
                let now = self.now();
                self.failover.on_recovered(now);
            }
            Order::Forked { lane, durable } => {
                tracing::error!(%lane, %durable, "The spool is older than what the aggregator has: it was restored from a copy. Remove the lane's spool directory to begin a new stream.");
            }
        }
    }

    fn begin_turn(&mut self, job: Job) {
        let handle = self.parts.lanes.iter().find(|handle| handle.board.lane == job.lane);
        let line = self.live_try().and_then(|found| found.line.as_ref());
        let (Some(handle), Some(line)) = (handle, line) else {
            let done =
                TurnTold::Done { life: job.life, lane: job.lane, next_bytes: 0, writer: None };
            let _ = self.turn_tx.send(done);
            return;
        };
        let (connection, board) = (line.connection.clone(), handle.board.clone());
        let writer = self.writers.remove(&job.lane);
        self.tasks.spawn(turn::run(job, connection, writer, board, self.turn_tx.clone()));
    }

    fn renew_if_due(&mut self) {
        let Some(csr) = self.renewal.due() else { return };
        if self.live.is_none() {
            return self.renewal.not_now();
        }
        self.say(FromAgent::Renew { csr });
    }

    /// Says something on the live connection. When several messages wait already, this one is not
    /// needed: a nudge is among them, and a renewal is asked for again.
    fn say(&self, message: FromAgent) {
        if let Some(line) = self.live_try().and_then(|found| found.line.as_ref()) {
            let _ = line.say.try_send(message);
        }
    }

    fn show(&mut self) {
        let phase = match self.failover.phase() {
            Phase::LiveHome => "live",
            Phase::LiveAway => "away",
            Phase::Drain => "live",
            Phase::Resolve | Phase::Race => "connecting",
            Phase::Backoff => "offline",
        };
        let aggregator = self.live_try().map(|found| found.aggregator.clone()).unwrap_or_default();
        let failure = if self.live.is_some() { "" } else { self.failover.last_failure() };
        let view = UplinkView {
            phase,
            aggregator,
            adopted: self.adopted,
            acked_at: self.acked_at,
            failure: failure.to_owned(),
        };
        self.parts.view.send_if_modified(|shown| {
            let moved = *shown != view;
            *shown = view;
            moved
        });
    }

    /// Says goodbye to the live aggregator.
    async fn leave(&mut self, reason: &str) {
        if let Some(live) = self.live.take() {
            self.close(live, reason);
        }
        self.parts.dialer.close(Close::Normal, reason).await;
    }
}

/// A probe that takes longer has failed.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);

fn start_of(handle: &LaneHandle) -> LaneStart {
    let view = handle.board.view();
    LaneStart { lane: view.lane, stream: view.stream, acked: view.released, durable: view.durable }
}

fn roster_of(datacenter: &crate::config::DatacenterConfig) -> Datacenter {
    let aggregators = datacenter.aggregators.iter().map(|address| address.name.clone());
    Datacenter { name: datacenter.name.clone(), aggregators: aggregators.collect() }
}
