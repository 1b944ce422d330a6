//! The uplink: carries frames from the lanes' spools to whichever aggregator is live.
//!
//! Room: `agent::uplink`.  May use: `proto` (talk, failover), `link`, `lanes`.  Used by: `app`.
//!
//! Two pure machines think, [`Pump`] obeys: [`Failover`] says whom to dial, adopt and leave, [`Uplink`]
//! says what to send and what may be released. Everything that happens comes in as one event; after
//! each event both machines are asked for orders until they have none. The first one's orders are
//! obeyed in `connections.rs`, the second one's in `deliveries.rs`.
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
use muster_proto::control::FromAggregator;
use muster_proto::errors::chain;
use muster_proto::failover::{Failover, Jitter, Phase, Timing as Choices};
use muster_proto::lane::Lane;
use muster_proto::talk::uplink::{LaneStart, Speaker, Timing, Uplink};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::config::UplinkConfig;
use crate::facts::clock::Clock;
use crate::lanes::LaneHandle;
use crate::names::{Hosts, Kept};

mod attempt;
mod connections;
mod deliveries;
mod refresh;
mod renewal;
mod roster;
mod served;
mod turn;
mod view;

pub use served::{Served, Switch};
pub use view::UplinkView;

use attempt::{Attempt, Road, Told};
use connections::Try;
use deliveries::start_of;
use refresh::{Found, Refresh};
use roster::Roster;
use turn::{LaneWriter, TurnTold};

/// Beside the certificate: the last good names and addresses of aggregators.
const NAMES_FILE: &str = "names.list";

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
    Found(Found),
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
    served: Served,
    /// Wall time of this run's beginning: with monotonic time it ranks our connections.
    epoch: u64,
    renewal: renewal::Renewal,
    roster: Roster,
    road: Road,
    road_wanted: Arc<Notify>,
    resolved_once: bool,
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
    found: mpsc::UnboundedReceiver<Found>,
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
            Some(found) = ears.found.recv() => pump.on(Event::Found(found)),
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
        let Clock { utc, mono: now } = Clock::read(parts.began);
        let began_at = utc.before(now.since(Mono(0)));
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
        let (found_tx, found) = mpsc::unbounded_channel();
        let renewal = renewal::Renewal::new(parts.identity.clone());
        let path = parts.identity.identity().dir().join(NAMES_FILE);
        let kept = Kept::read(&path);
        let roster = Roster::new(parts.config.datacenters.clone(), kept.srv.clone());
        let road = Road { dialer: parts.dialer.clone(), hosts: Hosts::new(kept.hosts) };
        let road_wanted = Arc::new(Notify::new());
        let refresh = Refresh {
            names: roster.srv_names(),
            found: kept.srv,
            listed: roster.listed_hosts(),
            hosts: road.hosts.clone(),
            path,
            urgent: road_wanted.clone(),
            tell: found_tx,
            jitter: Jitter::new(fastrand::u64(..)),
        };
        let mut tasks = JoinSet::new();
        if refresh.has_work() {
            tasks.spawn(refresh.run());
        }
        let pump = Pump {
            parts,
            failover,
            uplink,
            tries: HashMap::new(),
            live: None,
            writers: HashMap::new(),
            seen_datagrams: 0,
            adopted: 0,
            served: Served::default(),
            epoch: u64::try_from(began_at.0).unwrap_or(0),
            renewal,
            roster,
            road,
            road_wanted,
            resolved_once: false,
            tasks,
            attempt_tx,
            turn_tx,
            probe_tx,
        };
        (pump, Ears { attempts, turns, probes, found })
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
                    match error.is_busy() {
                        true => self.failover.on_busy(now, attempt),
                        false => self.failover.on_lost(now, attempt, &why),
                    }
                }
                if self.live == Some(attempt) {
                    self.lose_live(now);
                }
            }
            Event::Probed(probe, true) => self.failover.on_probe_ok(now, probe),
            Event::Probed(probe, false) => self.failover.on_probe_failed(now, probe),
            Event::Turn(told) => self.on_turn(now, told),
            Event::Found(Found { name, records }) => {
                let changed = self.roster.learn(&name, records);
                let waits = self.failover.phase() == Phase::Resolve && !self.roster.is_complete();
                if changed && !waits {
                    tracing::info!(name, "The list of aggregators has changed.");
                    self.failover.on_resolved(now, &self.roster.datacenters());
                }
            }
        }
    }

    fn on_said(&mut self, now: Mono, attempt: Attempt, message: FromAggregator) {
        let is_live = self.live == Some(attempt);
        match message {
            FromAggregator::Ack { lane, stream, seq } if is_live => {
                if let Some(found) = self.tries.get(&attempt) {
                    self.served.on_ack(now, &found.aggregator);
                }
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
            FromAggregator::Roots { list } => self.renewal.on_roots(&list),
            // The rest is out of place on a connection that is not the live one.
            _ => {}
        }
    }

    /// Says goodbye to the live aggregator.
    async fn leave(&mut self, reason: &str) {
        if let Some(live) = self.live.take() {
            self.close(live, reason);
        }
        self.parts.dialer.close(Close::Normal, reason).await;
    }
}
