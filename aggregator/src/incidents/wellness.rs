//! Whether somebody says that all is well again. Silence is not enough.

use std::time::Duration;

use muster_proto::clock::Utc;

use super::incident::Scope;
use super::survey::Survey;
use crate::roster::Liveness;

/// A sign of life counts as new when it is later than the last one by more than two clocks may differ on the way.
const NEWER_BY: Duration = Duration::from_secs(1);

/// What is known of a scope that nothing was found about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wellness {
    /// Somebody who is heard says so.
    Well,
    /// A datacenter is heard again, some hosts of it are not yet.
    Recovering,
    /// Nobody says anything.
    Unknown,
}

impl Survey {
    /// `since`: the last sign of life before the trouble.
    pub(super) fn wellness(&self, scope: &Scope, since: Utc) -> Wellness {
        let is_well = match scope {
            Scope::Host(host) => self.is_host_well(host, since),
            Scope::Aggregator(name) => self.is_up(name),
            Scope::Cut(here) => self.hears_others(here),
            Scope::Path(a, b) => self.hear_each_other(a, b),
            Scope::Site(site) => return self.site_wellness(site),
        };
        if is_well { Wellness::Well } else { Wellness::Unknown }
    }

    /// Whether what happened to `small` is explained by `large`.
    pub(super) fn is_part(&self, small: &Scope, large: &Scope) -> bool {
        match (small, large) {
            (Scope::Host(_), Scope::Site(site)) => self.site_of_lost(small) == Some(site),
            (Scope::Host(host), Scope::Aggregator(name)) => {
                self.lost.iter().any(|lost| lost.host == *host && lost.owner == *name)
            }
            (Scope::Host(host), Scope::Cut(_)) => {
                self.lost.iter().any(|lost| lost.host == *host && lost.owner != self.me)
            }
            (Scope::Aggregator(name), Scope::Site(site)) => self.site_of(name) == Some(site),
            (Scope::Aggregator(name), Scope::Cut(_)) => !self.is_up(name),
            (Scope::Site(site), Scope::Cut(_)) => {
                let mut aggregators = self.aggregators_of(site).peekable();
                aggregators.peek().is_some() && aggregators.all(|(_, fact)| fact.is_dark())
            }
            (Scope::Path(a, b), Scope::Site(site)) => {
                [a, b].into_iter().any(|end| end == site || self.site_of(end) == Some(site))
            }
            (Scope::Path(a, b), Scope::Path(..)) => {
                let (Some(a), Some(b)) = (self.site_of(a), self.site_of(b)) else { return false };
                small != large && a != b && Scope::path(a, b) == *large
            }
            _ => false,
        }
    }

    /// The datacenter of a host that is lost.
    pub(super) fn site_of_lost(&self, scope: &Scope) -> Option<&str> {
        let Scope::Host(host) = scope else { return None };
        let lost = self.lost.binary_search_by(|lost| lost.host.cmp(host)).ok()?;
        self.lost.get(lost).map(|lost| lost.site.as_str())
    }

    /// Forgotten, gone on purpose, or heard again.
    fn is_host_well(&self, host: &str, since: Utc) -> bool {
        match self.watched.get(host) {
            None | Some((Liveness::Departed { .. }, _)) => true,
            Some((Liveness::Lost, _)) => false,
            Some((Liveness::Live | Liveness::Late, seen)) => seen.since(since) > NEWER_BY,
        }
    }

    fn is_up(&self, aggregator: &str) -> bool {
        match self.aggregators.get(aggregator) {
            Some(fact) => fact.is_up(),
            // It was taken out of the configuration.
            None => true,
        }
    }

    fn site_wellness(&self, site: &str) -> Wellness {
        let mut aggregators = self.aggregators_of(site).peekable();
        let has_none = aggregators.peek().is_none();
        if !has_none && !aggregators.any(|(_, fact)| fact.is_up()) {
            return Wellness::Unknown;
        }
        let missing = self.sites.get(site).map_or(0, |fact| fact.missing.count);
        if missing == 0 { Wellness::Well } else { Wellness::Recovering }
    }

    /// `here` is an aggregator or a datacenter; it heard nobody else.
    fn hears_others(&self, here: &str) -> bool {
        self.aggregators.iter().any(|(name, fact)| {
            name != here && fact.site != here && fact.is_up() && *name != self.me
        })
    }

    fn hear_each_other(&self, a: &str, b: &str) -> bool {
        let is_end = |name: &str, end: &str| name == end || self.site_of(name) == Some(end);
        let hears = |listener: &str, speaker: &str| {
            let mut speakers = self.aggregators.iter().filter(|(name, _)| is_end(name, speaker));
            speakers.any(|(_, fact)| fact.heard_by.iter().any(|name| is_end(name, listener)))
        };
        let gone = |end: &str| !self.aggregators.iter().any(|(name, _)| is_end(name, end));
        gone(a) || gone(b) || (hears(a, b) && hears(b, a))
    }
}
