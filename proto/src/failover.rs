//! The uplink's choice of aggregator: who is dialled, who is live, when to go and when to come home.
//!
//! Room: `proto/failover`.  May use: `clock`.  Used by: the agent's link pump.
//!
//! ```text
//!             names known           a Welcome                      a better one, or Drain:
//!  resolve ───────────────▶ race ─────────────▶ live(home) ──────▶ drain ──quiet or 5 s──▶ live(other)
//!                            ▲ │                live(away)            │
//!                 wait over  │ │ all failed       │ ▲                 │ the new one failed
//!                            │ ▼                  │ └─────────────────┘
//!                          backoff ◀── lost too soon, again
//!                            ▲                    │
//!                            └────── race ◀───────┘ lost
//! ```
//! Live has an errand of its own: *flee* (suspected, or asked to drain: race all others while the
//! old connection stays), *rest* (everybody failed: the old connection is all there is), *better*
//! (go home, or to a better ranked aggregator). The new connection has its Welcome before the old one
//! is left: make before break.
//!
//! # The loop around it
//! ```text
//! Failover::new(host, timing, seed, now)
//! loop {
//!     while let Some(order) = failover.next(now) { obey }
//!     sleep until failover.wake_at(), or until one of these:
//!         names looked up                     => on_resolved(now, &datacenters)
//!         an attempt's handshake is done      => on_dialled(now, attempt), send uplink.hello(false)
//!         an attempt's Welcome came           => keep it; on_welcomed(now, attempt)
//!         an attempt or connection is over, by whatever means, refused or closed or reset
//!                                             => on_lost(now, attempt, "why")
//!         an attempt was refused: no room     => on_busy(now, attempt)
//!         uplink says Suspect / Recovered     => on_suspect(now) / on_recovered(now)
//!         the live one says Drain             => on_drain(now, retry_after)
//!         uplink.is_quiet()                   => on_quiet(now)
//!         a probe's Welcome came, or not      => on_probe_ok(now, probe) / on_probe_failed(now, probe)
//! }
//! Resolve                   look up all names and SRV records in the background, then on_resolved;
//!                           until then the old roster goes on. Keep the last good answer on disk.
//! Dial { attempt, .. }      connect; no answer within the limit is not your business, Cancel comes
//! Cancel { attempt }        drop that attempt, in whatever state
//! Quiesce                   uplink.on_drain(): finish what is under way on the live connection
//! Resume                    uplink.on_resume(): we stay after all
//! Adopt { attempt }         uplink.on_welcome(now, &its_welcome); frames go there from now on
//! Close { attempt, leave }  say Bye{leave.name()}, close. Comes after the Adopt of its successor
//! Probe { probe, .. }       connect, hello(true), await the Welcome, close
//! ```
//! Report each end of a connection once; ends of what was cancelled or closed need no report and
//! change nothing.
//!
//! Invariants
//! - At most one connection is live. Adopt comes only for attempts whose Welcome was reported.
//! - A datacenter is left only when each of its aggregators was tried and `away_after` has passed.
//! - Every state has a time at which it looks again: no input is needed to get on.
//!
//! Absent on purpose: data. Nothing here knows a frame; what is unacked is sent again by the uplink.

mod jitter;
mod moves;
mod race;
mod rank;
mod sites;
mod state;
mod timing;
mod watch;

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Mono;

pub use jitter::Jitter;
pub use rank::rank;
pub use timing::Timing;

use sites::Sites;
use state::{Errand, Heir, State};
use watch::Watch;

/// A datacenter with the names of its aggregators, as configured or looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datacenter {
    /// Its name, for messages.
    pub name: String,
    /// Its aggregators. Their order does not matter.
    pub aggregators: Vec<Aggregator>,
}

/// An aggregator that may be dialled, with what RFC 2782 says of a choice among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregator {
    /// As in its certificate.
    pub name: String,
    /// Lower ones are preferred to higher ones.
    pub priority: u16,
    /// Its share of the hosts among those of the same priority. 0: next to none, as long as there are
    /// others.
    pub weight: u16,
}

impl Aggregator {
    /// One of many equal ones.
    pub fn equal(name: impl Into<String>) -> Aggregator {
        Aggregator { name: name.into(), priority: 0, weight: 1 }
    }
}

/// What the pump is to do. See the module head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Look up all names.
    Resolve,
    /// Connect.
    Dial {
        /// Names this try from now on.
        attempt: u32,
        /// Index into the roster.
        datacenter: usize,
        /// Whom.
        aggregator: String,
    },
    /// Drop an attempt.
    Cancel {
        /// Which.
        attempt: u32,
    },
    /// Begin nothing new on the live connection; say `on_quiet` when all is acked.
    Quiesce,
    /// Go on with the live connection.
    Resume,
    /// This attempt is the live connection now.
    Adopt {
        /// Which.
        attempt: u32,
    },
    /// Leave a connection that was live.
    Close {
        /// Which.
        attempt: u32,
        /// Why.
        leave: Leave,
    },
    /// Ask an aggregator whether it would take us, on a connection of its own.
    Probe {
        /// Names this probe.
        probe: u32,
        /// Index into the roster.
        datacenter: usize,
        /// Whom.
        aggregator: String,
    },
}

/// Why a live connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leave {
    /// It was suspected and somebody else answered first.
    Suspected,
    /// It asked us to go.
    Asked,
    /// To a better datacenter or a better ranked aggregator.
    Failback,
}

impl Leave {
    /// The word for `Bye` and for the log.
    pub fn name(self) -> &'static str {
        match self {
            Leave::Suspected => "suspected",
            Leave::Asked => "drain",
            Leave::Failback => "failback",
        }
    }
}

/// Where the machine stands, for status pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waits for names.
    Resolve,
    /// No connection; dialling.
    Race,
    /// Connected in the first datacenter.
    LiveHome,
    /// Connected elsewhere.
    LiveAway,
    /// Connected, moving to another one that has said Welcome.
    Drain,
    /// Nobody answers; waits.
    Backoff,
}

/// What happened, counted; for the agent's own metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Attempts.
    pub dials: u64,
    /// Connections that became live.
    pub adopted: u64,
    /// Live connections that broke.
    pub lost: u64,
    /// Suspicions that proved wrong before anybody else answered.
    pub recovered: u64,
    /// Rounds in which nobody answered.
    pub exhausted: u64,
    /// Attempts that an aggregator refused because it had no room.
    pub refused: u64,
}

/// The machine. See the module head for how to drive it.
#[derive(Debug)]
pub struct Failover {
    host: String,
    timing: Timing,
    jitter: Jitter,
    sites: Sites,
    state: State,
    /// Present datacenter, and the watch over those before it.
    watch: Option<(usize, Watch)>,
    orders: VecDeque<Order>,
    attempts: u32,
    probes: u32,
    /// Rounds in a row in which nobody answered.
    round: u32,
    /// Connections in a row that did not last.
    shorts: u32,
    hold: Duration,
    returned_at: Option<Mono>,
    last_failure: String,
    counters: Counters,
}

/// Characters of a failure's reason that are kept.
const WHY_CHARS_MAX: usize = 300;

impl Failover {
    /// A machine that waits for names. `seed`: something random per host and start.
    pub fn new(host: &str, timing: Timing, seed: u64, now: Mono) -> Failover {
        Failover {
            host: host.to_owned(),
            timing,
            jitter: Jitter::new(seed),
            sites: Sites::default(),
            state: State::Resolve { until: now.after(timing.resolve_max) },
            watch: None,
            orders: VecDeque::from([Order::Resolve]),
            attempts: 0,
            probes: 0,
            round: 0,
            shorts: 0,
            hold: timing.home_stable,
            returned_at: None,
            last_failure: String::new(),
            counters: Counters::default(),
        }
    }

    /// The names are known, or known anew. The first datacenter is home. A race that is on goes to
    /// its end with the old ones.
    ///
    /// A living connection to an aggregator that is still listed goes on, whatever else has changed:
    /// a better ranked newcomer is found when the connection has its age. One to an aggregator that is
    /// not listed any more moves politely, at a random moment of `unlisted_spread`.
    pub fn on_resolved(&mut self, now: Mono, roster: &[Datacenter]) {
        let first = self.sites.is_empty();
        self.sites.learn(&self.host, roster);
        let go_at = now.after(self.jitter.up_to(self.timing.unlisted_spread));
        if let State::Live { link, .. } = &mut self.state
            && !self.sites.is_listed(link.site)
        {
            link.age_at = link.age_at.min(go_at);
        }
        let idle = matches!(self.state, State::Backoff { .. } | State::Race(_));
        if matches!(self.state, State::Resolve { .. }) || (first && idle) {
            self.begin_race(now);
        }
    }

    /// An attempt's handshake is done.
    pub fn on_dialled(&mut self, now: Mono, attempt: u32) {
        let Some(site) = self.state.race().and_then(|race| race.site_of(attempt)) else { return };
        let connect_max = self.limits(site).connect_max;
        if let Some(race) = self.state.race_mut() {
            race.on_dialled(now, attempt, connect_max);
        }
    }

    /// An attempt's Welcome came. The first one wins.
    pub fn on_welcomed(&mut self, now: Mono, attempt: u32) {
        let Some(site) = self.state.race().and_then(|race| race.site_of(attempt)) else { return };
        self.cancel_runners(Some(attempt));
        self.sites.on_welcomed(site);
        let heir = Heir { attempt, site };
        let State::Live { link, errand } = &self.state else {
            return self.adopt(now, heir, None);
        };
        let (link, better) = (*link, matches!(errand, Errand::Better(..)));
        if link.suspected {
            return self.adopt(now, heir, Some((link.attempt, Leave::Suspected)));
        }
        let leave = if better { Leave::Failback } else { Leave::Asked };
        self.orders.push_back(Order::Quiesce);
        self.state = State::Drain { link, heir, until: now.after(self.timing.drain_max), leave };
    }

    /// An attempt or a connection is over, whatever it was. `why` is for the status page.
    pub fn on_lost(&mut self, now: Mono, attempt: u32, why: &str) {
        self.last_failure = why.chars().take(WHY_CHARS_MAX).collect();
        if let Some(race) = self.state.race_mut()
            && race.on_failed(now, attempt, &mut self.sites)
        {
            return;
        }
        match &self.state {
            State::Live { link, .. } if link.attempt == attempt => self.on_live_lost(now),
            State::Drain { link, heir, .. } if link.attempt == attempt => {
                let heir = *heir;
                self.counters.lost += 1;
                self.adopt(now, heir, None);
            }
            State::Drain { link, heir, .. } if heir.attempt == attempt => {
                let (link, site) = (*link, heir.site);
                self.sites.on_failed(now, site);
                self.orders.push_back(Order::Resume);
                self.state = State::Live { link, errand: Errand::None };
                if link.asked {
                    self.flee(now);
                } else if let Some((_, watch)) = &mut self.watch {
                    watch.on_return_failed(self.sites.datacenter(site));
                }
            }
            _ => {}
        }
    }

    /// An attempt was refused because the aggregator takes no more at this moment: it lives.
    ///
    /// Its sibling is dialled at once, and it again after a random wait that doubles. The datacenter
    /// is not left meanwhile.
    pub fn on_busy(&mut self, now: Mono, attempt: u32) {
        let Some(race) = self.state.race_mut() else { return };
        let Some(site) = race.on_busy(now, attempt) else { return };
        "it takes no more at this moment".clone_into(&mut self.last_failure);
        self.counters.refused += 1;
        let doublings = self.sites.on_busy(site).min(16);
        let wait = self.timing.busy_wait.saturating_mul(1 << doublings);
        let wait = self.jitter.up_to(wait.min(self.timing.busy_wait_max));
        self.sites.wait_for(site, now.after(wait.max(self.timing.backoff_min)));
    }

    /// The live connection may be dead or sick.
    pub fn on_suspect(&mut self, now: Mono) {
        match &mut self.state {
            State::Live { link, errand } => {
                link.suspected = true;
                let site = link.site;
                self.sites.on_failed(now, site);
                if !matches!(errand, Errand::Flee(_) | Errand::Rest { .. }) {
                    self.flee(now);
                }
            }
            State::Drain { link, heir, .. } => {
                let (link, heir) = (*link, *heir);
                self.adopt(now, heir, Some((link.attempt, Leave::Suspected)));
            }
            _ => {}
        }
    }

    /// The suspicion was wrong.
    pub fn on_recovered(&mut self, _now: Mono) {
        let State::Live { link, .. } = &mut self.state else { return };
        if !std::mem::take(&mut link.suspected) {
            return;
        }
        self.counters.recovered += 1;
        if !link.asked {
            self.drop_errand();
            self.sites.on_episode_over();
        }
    }

    /// The live aggregator goes away and does not want us before `retry_after`.
    pub fn on_drain(&mut self, now: Mono, retry_after: Duration) {
        let least = Duration::from_secs(1);
        let retry_after = retry_after.clamp(least, self.timing.retry_after_max.max(least));
        match &mut self.state {
            State::Live { link, errand } => {
                link.asked = true;
                let site = link.site;
                self.sites.on_drain(now, site, retry_after);
                if !matches!(errand, Errand::Flee(_) | Errand::Rest { .. }) {
                    self.flee(now);
                }
            }
            State::Drain { link, .. } => {
                link.asked = true;
                let site = link.site;
                self.sites.on_drain(now, site, retry_after);
            }
            _ => {}
        }
    }

    /// Everything that was under way on the live connection is acked.
    pub fn on_quiet(&mut self, now: Mono) {
        if let State::Drain { link, heir, leave, .. } = &self.state {
            let (old, heir) = ((link.attempt, *leave), *heir);
            self.adopt(now, heir, Some(old));
        }
    }

    /// A probe got its Welcome.
    pub fn on_probe_ok(&mut self, now: Mono, probe: u32) {
        self.with_watch(|watch, around| watch.on_probe_ok(now, probe, around));
    }

    /// A probe got none.
    pub fn on_probe_failed(&mut self, now: Mono, probe: u32) {
        self.with_watch(|watch, _| watch.on_probe_failed(now, probe));
    }

    /// The next thing to do; lets the time pass to `now`. Call until `None`.
    pub fn next(&mut self, now: Mono) -> Option<Order> {
        if self.orders.is_empty() {
            self.on_tick(now);
        }
        self.orders.pop_front()
    }

    /// When `next` must be called at the latest, if nothing happens before. There is always a time.
    pub fn wake_at(&self, now: Mono) -> Mono {
        if !self.orders.is_empty() {
            return now;
        }
        if let Some(race) = self.state.race() {
            return race.wake_at(now, &self.sites, &self.timing).unwrap_or(now);
        }
        match &self.state {
            State::Resolve { until }
            | State::Backoff { until }
            | State::Drain { until, .. }
            | State::Live { errand: Errand::Rest { until }, .. } => *until,
            State::Live { link, .. } => {
                let watch_at = self.watch.as_ref().and_then(|(_, watch)| watch.wake_at());
                watch_at.map_or(link.age_at, |at| at.min(link.age_at))
            }
            State::Race(_) => now,
        }
    }

    /// Where the machine stands.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Resolve { .. } => Phase::Resolve,
            State::Race(_) => Phase::Race,
            State::Live { link, .. } if self.sites.datacenter(link.site) == 0 => Phase::LiveHome,
            State::Live { .. } => Phase::LiveAway,
            State::Drain { .. } => Phase::Drain,
            State::Backoff { .. } => Phase::Backoff,
        }
    }

    /// The live aggregator: index of its datacenter, and its name.
    pub fn live(&self) -> Option<(usize, &str)> {
        let link = self.state.link()?;
        Some((self.sites.datacenter(link.site), self.sites.name(link.site)))
    }

    /// Why the latest attempt or connection ended; empty when none did.
    pub fn last_failure(&self) -> &str {
        &self.last_failure
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
