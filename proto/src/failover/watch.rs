//! While away: is a better datacenter well enough, for long enough, to go back?

use std::time::Duration;

use crate::clock::Mono;

use super::jitter::Jitter;
use super::sites::{Site, Sites};
use super::timing::Timing;

/// Probes that must have been answered besides the time.
const ANSWERS_MIN: u32 = 2;

/// What a watch wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Probe {
        probe: u32,
        site: Site,
    },
    /// Time to go to this datacenter.
    Return {
        datacenter: usize,
    },
}

/// One better datacenter.
#[derive(Debug)]
struct Watched {
    /// When it is asked next.
    round_at: Mono,
    /// Since when every round had an answer.
    well_since: Option<Mono>,
    answers: u32,
    /// When to go.
    go_at: Option<Mono>,
    asking: Option<Asking>,
}

/// A probe that is under way, and whom to ask when it fails.
#[derive(Debug)]
struct Asking {
    probe: u32,
    until: Mono,
    /// The next one last.
    rest: Vec<Site>,
}

/// Watches the datacenters before the present one.
#[derive(Debug)]
pub(super) struct Watch {
    better: Vec<Watched>,
    hold: Duration,
}

/// What a watch needs besides the time.
pub(super) struct Around<'a> {
    pub(super) sites: &'a Sites,
    pub(super) timing: &'a Timing,
    pub(super) jitter: &'a mut Jitter,
    /// Number of the last probe.
    pub(super) probes: &'a mut u32,
}

impl Watch {
    /// Present in `datacenter`; a better one must be well for `hold`.
    pub(super) fn new(
        now: Mono,
        datacenter: usize,
        hold: Duration,
        around: &mut Around<'_>,
    ) -> Watch {
        let watched = |_| Watched {
            round_at: now.after(around.jitter.around(around.timing.probe_every)),
            well_since: None,
            answers: 0,
            go_at: None,
            asking: None,
        };
        Watch { better: (0..datacenter).map(watched).collect(), hold }
    }

    /// What is to be done at `now`; call until `None`.
    pub(super) fn next(&mut self, now: Mono, around: &mut Around<'_>) -> Option<Step> {
        for (datacenter, watched) in self.better.iter_mut().enumerate() {
            if watched.go_at.is_some_and(|at| at <= now) {
                watched.go_at = None;
                return Some(Step::Return { datacenter });
            }
            let step = watched.next(now, datacenter, around);
            if step.is_some() {
                return step;
            }
        }
        None
    }

    /// A probe got its Welcome. Late answers change nothing.
    pub(super) fn on_probe_ok(&mut self, now: Mono, probe: u32, around: &mut Around<'_>) {
        let hold = self.hold;
        let Some(watched) = self.asked(probe) else { return };
        watched.asking = None;
        watched.rest(now, around);
        watched.answers += 1;
        let since = *watched.well_since.get_or_insert(now);
        let well = watched.answers >= ANSWERS_MIN && now.since(since) >= hold;
        if well && watched.go_at.is_none() {
            watched.go_at = Some(now.after(around.jitter.up_to(around.timing.home_spread)));
        }
    }

    /// A probe failed: the next one of the datacenter is asked at once.
    pub(super) fn on_probe_failed(&mut self, now: Mono, probe: u32) {
        if let Some(asking) = self.asked(probe).and_then(|watched| watched.asking.as_mut()) {
            asking.until = now;
        }
    }

    /// Going there failed: it must prove itself again.
    pub(super) fn on_return_failed(&mut self, datacenter: usize) {
        if let Some(watched) = self.better.get_mut(datacenter) {
            watched.on_unwell();
        }
    }

    pub(super) fn wake_at(&self) -> Option<Mono> {
        let times = self.better.iter().flat_map(|watched| {
            let ask = watched.asking.as_ref().map_or(watched.round_at, |asking| asking.until);
            [Some(ask), watched.go_at]
        });
        times.flatten().min()
    }

    fn asked(&mut self, probe: u32) -> Option<&mut Watched> {
        self.better.iter_mut().find(|w| w.asking.as_ref().is_some_and(|a| a.probe == probe))
    }
}

impl Watched {
    fn next(&mut self, now: Mono, datacenter: usize, around: &mut Around<'_>) -> Option<Step> {
        if self.asking.is_none() && self.round_at <= now {
            let sites = around.sites.of(datacenter).iter().copied();
            let rest = sites.filter(|site| around.sites.may_dial(now, *site)).rev().collect();
            self.asking = Some(Asking { probe: 0, until: now, rest });
        }
        let asking = self.asking.as_mut().filter(|asking| asking.until <= now)?;
        let Some(site) = asking.rest.pop() else {
            self.on_unwell();
            self.rest(now, around);
            return None;
        };
        *around.probes = around.probes.wrapping_add(1).max(1);
        asking.probe = *around.probes;
        // Handshake and Welcome, as for any dial.
        asking.until = now.after(around.timing.connect_away_max * 2);
        Some(Step::Probe { probe: asking.probe, site })
    }

    /// A round is over; the next one comes after a while.
    fn rest(&mut self, now: Mono, around: &mut Around<'_>) {
        self.round_at = now.after(around.jitter.around(around.timing.probe_every));
    }

    fn on_unwell(&mut self) {
        self.well_since = None;
        self.answers = 0;
        self.go_at = None;
        self.asking = None;
    }
}
