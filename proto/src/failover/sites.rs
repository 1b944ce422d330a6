//! The aggregators that are known, their order for this host, and how each has fared lately.

use std::time::Duration;

use crate::clock::Mono;

use super::Datacenter;
use super::rank::rank;

/// Aggregators remembered over all rosters. A DNS zone that answers new names each time stops here.
const SITES_MAX: usize = 1_024;

/// Position of an aggregator in [`Sites`]. Never reused.
pub(super) type Site = usize;

#[derive(Debug)]
struct Entry {
    datacenter: usize,
    name: String,
    /// Its first failure in this episode.
    failed_since: Option<Mono>,
    /// Its latest failure.
    failed_at: Option<Mono>,
    /// It asked not to be dialled before.
    not_before: Mono,
    /// It had no room: not again before.
    busy_until: Mono,
    /// How often in a row it had none.
    busy_rounds: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sites {
    entries: Vec<Entry>,
    /// Per datacenter, the preferred first.
    order: Vec<Vec<Site>>,
}

impl Sites {
    /// Takes a new roster. Sites that are no longer in it are not dialled any more.
    pub(super) fn learn(&mut self, host: &str, roster: &[Datacenter]) {
        self.order = roster
            .iter()
            .enumerate()
            .map(|(datacenter, dc)| {
                let ranked = rank(host, &dc.aggregators).into_iter();
                let names = ranked.map(|place| &dc.aggregators[place].name);
                names.filter_map(|name| self.find_or_add(datacenter, name)).collect()
            })
            .collect();
    }

    pub(super) fn on_failed(&mut self, now: Mono, site: Site) {
        let entry = &mut self.entries[site];
        entry.failed_since.get_or_insert(now);
        entry.failed_at = Some(now);
    }

    pub(super) fn on_drain(&mut self, now: Mono, site: Site, retry_after: Duration) {
        self.on_failed(now, site);
        self.entries[site].not_before = now.after(retry_after);
    }

    /// A connection is live: what failed before is history.
    pub(super) fn on_episode_over(&mut self) {
        for entry in &mut self.entries {
            entry.failed_since = None;
            entry.busy_rounds = 0;
        }
    }

    pub(super) fn on_welcomed(&mut self, site: Site) {
        self.entries[site].not_before = Mono(0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.iter().all(Vec::is_empty)
    }

    /// Whether the latest roster has it.
    pub(super) fn is_listed(&self, site: Site) -> bool {
        self.order.iter().any(|sites| sites.contains(&site))
    }

    pub(super) fn datacenter(&self, site: Site) -> usize {
        self.entries[site].datacenter
    }

    pub(super) fn name(&self, site: Site) -> &str {
        &self.entries[site].name
    }

    /// Sites of a datacenter, the preferred first; empty when there is no such datacenter.
    pub(super) fn of(&self, datacenter: usize) -> &[Site] {
        self.order.get(datacenter).map_or(&[], Vec::as_slice)
    }

    /// Every datacenter's sites in the order of preference, but `first` before all others.
    pub(super) fn plan(&self, first: usize) -> Vec<Vec<Site>> {
        let head = self.order.get(first).cloned();
        let rest = self.order.iter().enumerate().filter(|(dc, _)| *dc != first);
        head.into_iter().chain(rest.map(|(_, sites)| sites.clone())).collect()
    }

    pub(super) fn may_dial(&self, now: Mono, site: Site) -> bool {
        self.entries[site].not_before.max(self.entries[site].busy_until) <= now
    }

    /// It lives and has no room. Gives the number of times in a row before this one.
    pub(super) fn on_busy(&mut self, site: Site) -> u32 {
        let rounds = &mut self.entries[site].busy_rounds;
        *rounds = rounds.saturating_add(1);
        *rounds - 1
    }

    /// It is not dialled before.
    pub(super) fn wait_for(&mut self, site: Site, until: Mono) {
        self.entries[site].busy_until = until;
    }

    /// Until when it has no room; a time that is over when it has.
    pub(super) fn busy_until(&self, site: Site) -> Mono {
        self.entries[site].busy_until
    }

    /// The first failure of any of them in this episode.
    pub(super) fn failed_since(&self, sites: &[Site]) -> Option<Mono> {
        sites.iter().filter_map(|site| self.entries[*site].failed_since).min()
    }

    pub(super) fn failed_at(&self, site: Site) -> Option<Mono> {
        self.entries[site].failed_at
    }

    fn find_or_add(&mut self, datacenter: usize, name: &str) -> Option<Site> {
        let known = self.entries.iter().position(|e| e.datacenter == datacenter && e.name == name);
        if known.is_some() || self.entries.len() == SITES_MAX {
            return known;
        }
        self.entries.push(Entry {
            datacenter,
            name: name.to_owned(),
            failed_since: None,
            failed_at: None,
            not_before: Mono(0),
            busy_until: Mono(0),
            busy_rounds: 0,
        });
        Some(self.entries.len() - 1)
    }
}
