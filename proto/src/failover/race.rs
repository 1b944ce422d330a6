//! One race: dial the first choice, then the next after a stagger; the first Welcome wins.
//!
//! It goes through datacenters step by step. A step is left when each of its sites was tried and the
//! first of them failed `away_after` ago; until then those that failed are dialled again. Who is late
//! counts as failed and goes on running: a late Welcome wins like any other.

use std::time::Duration;

use crate::clock::Mono;

use super::sites::{Site, Sites};
use super::timing::Timing;

/// Someone who is being dialled or greeted.
#[derive(Debug, Clone, Copy)]
struct Runner {
    attempt: u32,
    site: Site,
    /// It is late from then on: its site counts as failed, and it goes on.
    late_at: Mono,
    is_late: bool,
    /// It is given up.
    until: Mono,
}

impl Runner {
    fn wake_at(&self) -> Mono {
        if self.is_late { self.until } else { self.late_at.min(self.until) }
    }
}

/// What a race wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Dial(Site),
    Cancel(u32),
    /// Everybody failed.
    Exhausted,
}

#[derive(Debug)]
pub(super) struct Race {
    /// Sites by step; a step is usually a datacenter.
    plan: Vec<Vec<Site>>,
    step: usize,
    /// Failed in this race, once or more.
    tried: Vec<Site>,
    runners: Vec<Runner>,
    began: Mono,
    next_at: Mono,
}

impl Race {
    /// Nobody is dialled before `start_at`.
    pub(super) fn new(now: Mono, start_at: Mono, plan: Vec<Vec<Site>>) -> Race {
        Race {
            plan,
            step: 0,
            tried: Vec::new(),
            runners: Vec::new(),
            began: now,
            next_at: start_at,
        }
    }

    /// What is to be done at `now`; call until `None`.
    pub(super) fn next(&mut self, now: Mono, sites: &mut Sites, timing: &Timing) -> Option<Step> {
        if let Some(late) = self.runners.iter().find(|runner| runner.until <= now) {
            let attempt = late.attempt;
            self.on_failed(now, attempt, sites);
            return Some(Step::Cancel(attempt));
        }
        self.mark_late(now, sites);
        loop {
            if let Some(site) = self.untried(now, sites) {
                return (self.next_at <= now).then_some(Step::Dial(site));
            }
            if self.runners.iter().any(|runner| !self.tried.contains(&runner.site)) {
                return None;
            }
            if self.busy_until(now, sites, timing).is_some() {
                return None;
            }
            if self.step + 1 >= self.plan.len() {
                return self.runners.is_empty().then_some(Step::Exhausted);
            }
            if now < self.leave_at(sites, timing) {
                let mut again = self.redials(now, sites, timing);
                return again.find(|(_, at)| *at <= now).map(|(site, _)| Step::Dial(site));
            }
            self.step += 1;
            self.next_at = now;
        }
    }

    /// The caller dials `site` as `attempt`.
    pub(super) fn on_dial(&mut self, now: Mono, attempt: u32, site: Site, limits: &Limits) {
        let (late_at, until) = (now.after(limits.connect_max), now.after(limits.attempt_max));
        self.runners.push(Runner { attempt, site, late_at, is_late: false, until });
        self.next_at = now.after(limits.stagger);
    }

    /// The handshake is done; the Welcome has as long again.
    pub(super) fn on_dialled(&mut self, now: Mono, attempt: u32, connect_max: Duration) {
        if let Some(runner) = self.runners.iter_mut().find(|r| r.attempt == attempt) {
            runner.late_at = now.after(connect_max);
        }
    }

    /// Those who did not answer in time make way for others, and may still win.
    fn mark_late(&mut self, now: Mono, sites: &mut Sites) {
        let late = self.runners.iter_mut().filter(|r| !r.is_late && r.late_at <= now);
        for runner in late {
            runner.is_late = true;
            sites.on_failed(now, runner.site);
            if !self.tried.contains(&runner.site) {
                self.tried.push(runner.site);
            }
            self.next_at = self.next_at.min(now);
        }
    }

    /// An attempt failed; the next one need not wait. False when it is not of this race.
    pub(super) fn on_failed(&mut self, now: Mono, attempt: u32, sites: &mut Sites) -> bool {
        let Some(at) = self.runners.iter().position(|r| r.attempt == attempt) else {
            return false;
        };
        let site = self.runners.remove(at).site;
        sites.on_failed(now, site);
        if !self.tried.contains(&site) {
            self.tried.push(site);
        }
        self.next_at = self.next_at.min(now);
        true
    }

    /// The aggregator of an attempt lives and has no room. It has not failed: its datacenter is not
    /// left for that, or a flood at home would flood the next one too.
    pub(super) fn on_busy(&mut self, now: Mono, attempt: u32) -> Option<Site> {
        let at = self.runners.iter().position(|r| r.attempt == attempt)?;
        self.next_at = self.next_at.min(now);
        Some(self.runners.remove(at).site)
    }

    pub(super) fn site_of(&self, attempt: u32) -> Option<Site> {
        self.runners.iter().find(|r| r.attempt == attempt).map(|r| r.site)
    }

    /// Everybody that is being dialled or greeted.
    pub(super) fn attempts(&self) -> impl Iterator<Item = u32> {
        self.runners.iter().map(|runner| runner.attempt)
    }

    pub(super) fn wake_at(&self, now: Mono, sites: &Sites, timing: &Timing) -> Option<Mono> {
        let late = self.runners.iter().map(Runner::wake_at).min();
        let dial = if self.untried(now, sites).is_some() {
            Some(self.next_at)
        } else if self.runners.iter().any(|r| !self.tried.contains(&r.site)) {
            None
        } else if let Some(until) = self.busy_until(now, sites, timing) {
            Some(until)
        } else if self.step + 1 >= self.plan.len() {
            self.runners.is_empty().then_some(now)
        } else {
            let redial = self.redials(now, sites, timing).map(|(_, at)| at).min();
            redial.into_iter().chain([self.leave_at(sites, timing)]).min()
        };
        late.into_iter().chain(dial).min()
    }

    fn present(&self) -> &[Site] {
        self.plan.get(self.step).map_or(&[], Vec::as_slice)
    }

    fn is_running(&self, site: Site) -> bool {
        self.runners.iter().any(|runner| runner.site == site)
    }

    fn untried(&self, now: Mono, sites: &Sites) -> Option<Site> {
        let fresh = |site: &&Site| {
            !self.tried.contains(site) && !self.is_running(**site) && sites.may_dial(now, **site)
        };
        self.present().iter().find(fresh).copied()
    }

    /// When somebody of this step who had no room may be asked again; `None` when nobody is waited for.
    fn busy_until(&self, now: Mono, sites: &Sites, timing: &Timing) -> Option<Mono> {
        let patient = now < self.began.after(timing.busy_max);
        let waiting = |site: &&Site| !self.tried.contains(site) && !self.is_running(**site);
        let times = self.present().iter().filter(waiting).map(|site| sites.busy_until(*site));
        times.filter(|until| patient && *until > now).min()
    }

    fn leave_at(&self, sites: &Sites, timing: &Timing) -> Mono {
        sites.failed_since(self.present()).unwrap_or(self.began).after(timing.away_after)
    }

    /// Sites of this step that may be dialled once more, and when.
    fn redials<'a>(
        &'a self,
        now: Mono,
        sites: &'a Sites,
        timing: &'a Timing,
    ) -> impl Iterator<Item = (Site, Mono)> + 'a {
        self.present()
            .iter()
            .copied()
            .filter(move |site| !self.is_running(*site) && sites.may_dial(now, *site))
            .filter_map(|site| Some((site, sites.failed_at(site)?.after(timing.stagger))))
    }
}

/// Spans of one dial.
pub(super) struct Limits {
    pub(super) connect_max: Duration,
    pub(super) stagger: Duration,
    pub(super) attempt_max: Duration,
}
