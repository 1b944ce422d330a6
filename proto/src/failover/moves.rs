//! The transitions of the failover machine: what the clock and the inputs set in motion.

use crate::clock::Mono;

use super::race::{Limits, Race, Step};
use super::sites::Site;
use super::state::{Errand, Heir, Link, State};
use super::watch::{self, Around, Watch};
use super::{Failover, Leave, Order};

/// Connections in a row that did not last, before the next one waits.
const SHORTS_MAX: u32 = 2;

impl Failover {
    /// Lets the time pass to `now`.
    pub(super) fn on_tick(&mut self, now: Mono) {
        match &self.state {
            State::Resolve { until } if *until <= now => self.begin_race(now),
            State::Backoff { until } if *until <= now => {
                self.orders.push_back(Order::Resolve);
                self.begin_race(now);
            }
            State::Drain { until, .. } if *until <= now => self.on_quiet(now),
            State::Live { link, errand: Errand::None } if link.age_at <= now => self.on_aged(now),
            State::Live { errand: Errand::Rest { until }, .. } if *until <= now => {
                self.orders.push_back(Order::Resolve);
                self.flee(now);
            }
            _ => {}
        }
        self.run_race(now);
        self.run_watch(now);
    }

    /// A race through all datacenters, home first.
    pub(super) fn begin_race(&mut self, now: Mono) {
        self.cancel_runners(None);
        self.state = State::Race(Race::new(now, now, self.sites.plan(0)));
    }

    /// Races everybody while the live connection stays.
    pub(super) fn flee(&mut self, now: Mono) {
        let Some(link) = self.state.link().copied() else { return };
        self.cancel_runners(None);
        let errand = Errand::Flee(self.race_after(now, link.site));
        self.state = State::Live { link, errand };
    }

    /// The errand of the live connection is called off.
    pub(super) fn drop_errand(&mut self) {
        self.cancel_runners(None);
        if let State::Live { errand, .. } = &mut self.state {
            *errand = Errand::None;
        }
    }

    /// Everybody in the race but `winner` is dropped.
    pub(super) fn cancel_runners(&mut self, winner: Option<u32>) {
        let Some(race) = self.state.race() else { return };
        let others = race.attempts().filter(|attempt| Some(*attempt) != winner);
        self.orders.extend(others.map(|attempt| Order::Cancel { attempt }));
    }

    /// The live connection broke.
    pub(super) fn on_live_lost(&mut self, now: Mono) {
        let State::Live { link, errand } = &mut self.state else { return };
        let link = *link;
        let errand = std::mem::replace(errand, Errand::None);
        self.counters.lost += 1;
        self.judge_life(now, link);
        self.sites.on_failed(now, link.site);
        self.state = match errand {
            Errand::Flee(race) => State::Race(race),
            Errand::Rest { until } => State::Backoff { until },
            Errand::Better(race, _) => {
                let runners = race.attempts();
                self.orders.extend(runners.map(|attempt| Order::Cancel { attempt }));
                self.after_loss(now, link)
            }
            Errand::None => self.after_loss(now, link),
        };
    }

    /// `heir` is live from now on, instead of `old`, which is closed if it still stands.
    pub(super) fn adopt(&mut self, now: Mono, heir: Heir, old: Option<(u32, Leave)>) {
        let before = self.state.link().copied();
        let datacenter = self.sites.datacenter(heir.site);
        let datacenter_before = before.map(|link| self.sites.datacenter(link.site));
        self.orders.push_back(Order::Adopt { attempt: heir.attempt });
        if let Some((attempt, leave)) = old {
            self.orders.push_back(Order::Close { attempt, leave });
            if let (Leave::Suspected, Some(link)) = (leave, before) {
                self.judge_life(now, link);
            }
            if leave == Leave::Failback && datacenter_before > Some(datacenter) {
                self.returned_at = Some(now);
            }
        }
        self.counters.adopted += 1;
        self.round = 0;
        self.sites.on_episode_over();
        self.watch_from(now, datacenter);
        let age = self.timing.age_max;
        let link = Link {
            attempt: heir.attempt,
            site: heir.site,
            since: now,
            age_at: now.after(age * 4 / 5 + self.jitter.up_to(age * 2 / 5)),
            suspected: false,
            asked: false,
        };
        self.state = State::Live { link, errand: Errand::None };
    }

    pub(super) fn with_watch<R>(
        &mut self,
        act: impl FnOnce(&mut Watch, &mut Around<'_>) -> R,
    ) -> Option<R> {
        let (_, watch) = self.watch.as_mut()?;
        let mut around = Around {
            sites: &self.sites,
            timing: &self.timing,
            jitter: &mut self.jitter,
            probes: &mut self.probes,
        };
        Some(act(watch, &mut around))
    }

    pub(super) fn limits(&self, site: Site) -> Limits {
        let home = self.sites.datacenter(site) == 0;
        let timing = &self.timing;
        let connect_max = if home { timing.connect_home_max } else { timing.connect_away_max };
        Limits { connect_max, stagger: timing.stagger, attempt_max: timing.attempt_max }
    }

    /// Watches the datacenters before this one; goes on where it was when only the aggregator changed.
    fn watch_from(&mut self, now: Mono, datacenter: usize) {
        if self.watch.as_ref().is_some_and(|(present, _)| *present == datacenter) {
            return;
        }
        let mut around = Around {
            sites: &self.sites,
            timing: &self.timing,
            jitter: &mut self.jitter,
            probes: &mut self.probes,
        };
        let watch = Watch::new(now, datacenter, self.hold, &mut around);
        self.watch = (datacenter > 0).then_some((datacenter, watch));
    }

    /// A race after `site` failed us: its siblings first, then itself, then the other datacenters.
    fn race_after(&mut self, now: Mono, site: Site) -> Race {
        let mut plan = self.sites.plan(self.sites.datacenter(site));
        if let Some(own) = plan.first_mut() {
            own.sort_by_key(|other| *other == site);
        }
        let start_at = now.after(self.jitter.up_to(self.timing.lost_spread));
        Race::new(now, start_at, plan)
    }

    fn after_loss(&mut self, now: Mono, link: Link) -> State {
        if self.shorts >= SHORTS_MAX {
            return State::Backoff { until: self.backoff_until(now, self.shorts - SHORTS_MAX) };
        }
        State::Race(self.race_after(now, link.site))
    }

    /// A live connection ended against our will: did it last?
    fn judge_life(&mut self, now: Mono, link: Link) {
        let lasted = now.since(link.since) >= self.timing.settled;
        self.shorts = if lasted { 0 } else { self.shorts.saturating_add(1) };
        if let Some(at) = self.returned_at.take() {
            let proved = now.since(at) >= self.timing.home_proof;
            let most = self.timing.home_stable_max.max(self.timing.home_stable);
            self.hold = if proved { self.timing.home_stable } else { (self.hold * 2).min(most) };
        }
    }

    /// Full jitter over the doubled and capped wait; `round` counts from 0.
    fn backoff_until(&mut self, now: Mono, round: u32) -> Mono {
        let cap = self.timing.backoff_max;
        let doubled = self.timing.backoff.saturating_mul(1 << round.min(16)).min(cap);
        now.after(self.jitter.up_to(doubled).max(self.timing.backoff_min))
    }

    /// Is there a better ranked aggregator in this datacenter?
    fn on_aged(&mut self, now: Mono) {
        let (age, unlisted) = (self.timing.age_max, self.timing.unlisted_spread);
        let State::Live { link, errand } = &mut self.state else { return };
        link.age_at = match self.sites.is_listed(link.site) {
            true => now.after(age * 4 / 5 + self.jitter.up_to(age * 2 / 5)),
            false => now.after(self.jitter.around(unlisted)),
        };
        let datacenter = self.sites.datacenter(link.site);
        let ranked = self.sites.of(datacenter).iter().copied();
        let better: Vec<Site> = ranked.take_while(|site| *site != link.site).collect();
        if !better.is_empty() {
            *errand = Errand::Better(Race::new(now, now, vec![better]), datacenter);
        }
    }

    fn run_race(&mut self, now: Mono) {
        while let Some(race) = self.state.race_mut() {
            match race.next(now, &mut self.sites, &self.timing) {
                None => return,
                Some(Step::Dial(site)) => self.dial(now, site),
                Some(Step::Cancel(attempt)) => {
                    "no answer in time".clone_into(&mut self.last_failure);
                    self.orders.push_back(Order::Cancel { attempt });
                }
                Some(Step::Exhausted) => self.on_exhausted(now),
            }
        }
    }

    fn dial(&mut self, now: Mono, site: Site) {
        self.attempts = self.attempts.wrapping_add(1);
        self.counters.dials += 1;
        let (attempt, limits) = (self.attempts, self.limits(site));
        if let Some(race) = self.state.race_mut() {
            race.on_dial(now, attempt, site, &limits);
        }
        let (datacenter, aggregator) = (self.sites.datacenter(site), self.sites.name(site));
        let aggregator = aggregator.to_owned();
        self.orders.push_back(Order::Dial { attempt, datacenter, aggregator });
    }

    fn on_exhausted(&mut self, now: Mono) {
        if let State::Live { errand, .. } = &mut self.state
            && let Errand::Better(_, datacenter) = errand
        {
            let datacenter = *datacenter;
            *errand = Errand::None;
            if let Some((_, watch)) = &mut self.watch {
                watch.on_return_failed(datacenter);
            }
            return;
        }
        let until = self.backoff_until(now, self.round);
        self.round = self.round.saturating_add(1);
        self.counters.exhausted += 1;
        match &mut self.state {
            State::Live { errand, .. } => *errand = Errand::Rest { until },
            state => *state = State::Backoff { until },
        }
    }

    fn run_watch(&mut self, now: Mono) {
        while matches!(self.state, State::Live { errand: Errand::None, .. }) {
            match self.with_watch(|watch, around| watch.next(now, around)).flatten() {
                None => return,
                Some(watch::Step::Probe { probe, site }) => {
                    let datacenter = self.sites.datacenter(site);
                    let aggregator = self.sites.name(site).to_owned();
                    self.orders.push_back(Order::Probe { probe, datacenter, aggregator });
                }
                Some(watch::Step::Return { datacenter }) => {
                    let race = Race::new(now, now, vec![self.sites.of(datacenter).to_vec()]);
                    if let State::Live { errand, .. } = &mut self.state {
                        *errand = Errand::Better(race, datacenter);
                    }
                    self.run_race(now);
                }
            }
        }
    }
}
