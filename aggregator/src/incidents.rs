//! Incidents: what is wrong with the fleet, once for each cause. Facts in, incidents out.
//!
//! Room: `incidents`.  May use: `roster` (its leases), `proto`.  Used by: `api`, `stores`, the app.
//! A pure state machine: a [`Survey`] of the leases and the time go in; incidents, and what to save, come out.
//!
//! ```text
//!             ┌─ found for SETTLE ─> open ─ well for CLEAR ─> closed ─ kept for KEEP ─> gone
//! Survey ─ explain ─> findings        │  ^                      │
//!                                     │  └─ back within RETURN ─┘
//!                                     └─ a larger one explains it ─> closed, part of that
//! ```
//!
//! Invariants
//! - One cause, one incident: a finding belongs to the deepest common node that explains it, and what it explains
//!   is no finding (test: `a_lost_datacenter_is_one_incident`).
//! - Nothing opens within [`SETTLE`], so a herd of agents that look for another aggregator opens nothing.
//! - Nothing closes for want of knowledge: closing needs somebody who says that all is well, for [`CLEAR`].
//! - The id comes from scope and beginning. Who sees the same trouble takes the earliest beginning that an
//!   aggregator names, so all views end with one id; it is saved, so a restart keeps it.
//!
//! Absent on purpose: notifications, acknowledgements, checks of hosts (a check is a problem of its host).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::digest::{DIGEST_OPEN_MAX, Opened};

mod explain;
mod incident;
mod survey;
#[cfg(test)]
mod tests;
mod wellness;
mod words;

pub use explain::{Finding, explain};
pub use incident::{EVIDENCE_MAX, HOSTS_LISTED_MAX, Incident, Kind, NotAScope, Scope};
pub use survey::{AggregatorFact, Light, LostHost, Names, SiteFact, Survey};

/// A finding stands this long before it is an incident.
pub const SETTLE: Duration = Duration::from_secs(10);
/// All is well for this long before an incident is closed.
pub const CLEAR: Duration = Duration::from_secs(10);
/// Trouble that comes back within this is the same incident.
pub const RETURN: Duration = Duration::from_secs(300);
/// Hosts of a datacenter that is heard again have this long to return before they are incidents of their own.
pub const RECOVER: Duration = Duration::from_secs(120);
/// Closed incidents are kept this long.
pub const KEEP: Duration = Duration::from_secs(30 * 86_400);
/// Incidents that are kept, the newest ones.
pub const KEPT_MAX: usize = 10_000;

/// An open incident and how sure its end is.
#[derive(Debug, Clone)]
struct Open {
    incident: Incident,
    /// Since when all is well.
    well_since: Option<Utc>,
    /// Since when its datacenter is heard again while hosts of it are not.
    recovering_since: Option<Utc>,
}

/// What changed and must be saved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncidentChanges {
    /// New, changed or closed.
    pub incidents: Vec<Incident>,
    /// Ids that are no more: too old, or the incident has another id now.
    pub gone: Vec<String>,
}

impl IncidentChanges {
    /// Puts later changes on top of these; the latest word about each incident stays.
    pub fn merge(&mut self, later: IncidentChanges) {
        let ids: BTreeSet<String> =
            later.incidents.iter().map(Incident::id).chain(later.gone.iter().cloned()).collect();
        self.incidents.retain(|incident| !ids.contains(&incident.id()));
        self.gone.retain(|id| !ids.contains(id));
        self.incidents.extend(later.incidents);
        self.gone.extend(later.gone);
    }
}

/// All incidents that one aggregator knows.
#[derive(Debug, Default)]
pub struct Incidents {
    open: BTreeMap<Scope, Open>,
    /// The latest end last.
    closed: VecDeque<Incident>,
    /// When something was found first that is not an incident yet.
    pending: BTreeMap<Scope, Utc>,
    changes: IncidentChanges,
}

impl Incidents {
    /// Takes back what [`Incidents::changes`] gave before a restart.
    pub fn restore(saved: Vec<Incident>) -> Incidents {
        let mut incidents = Incidents::default();
        let mut closed = Vec::new();
        for incident in saved {
            match incident.until {
                Some(_) => closed.push(incident),
                None => {
                    let open = Open { incident, well_since: None, recovering_since: None };
                    incidents.open.insert(open.incident.scope.clone(), open);
                }
            }
        }
        closed.sort_by_key(|incident| incident.until);
        incidents.closed = closed.into();
        incidents
    }

    /// Hosts whose liveness the next survey must tell by name.
    pub fn watched(&self) -> BTreeSet<String> {
        let host = |scope: &Scope| match scope {
            Scope::Host(name) => Some(name.clone()),
            _ => None,
        };
        self.open.keys().filter_map(host).collect()
    }

    /// Looks at the facts of this moment. Call about once a second.
    pub fn on_survey(&mut self, survey: &Survey, now: Utc) {
        let findings = explain(survey, &self.lost_sites(), now);
        for finding in &findings {
            self.on_finding(finding, survey, now);
        }
        let found: BTreeSet<&Scope> = findings.iter().map(|finding| &finding.scope).collect();
        self.pending.retain(|scope, _| found.contains(scope));
        self.adopt(&survey.open_elsewhere);
        self.close_explained(survey, &found, now);
        self.close_well(survey, &found, now);
        self.forget(now);
    }

    /// What changed since the last call.
    pub fn changes(&mut self) -> IncidentChanges {
        std::mem::take(&mut self.changes)
    }

    /// Those that are open.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values().map(|open| &open.incident)
    }

    /// Those that are over, the latest first.
    pub fn closed(&self) -> impl Iterator<Item = &Incident> {
        self.closed.iter().rev()
    }

    /// The open ones, for other aggregators; the largest scopes first.
    pub fn told(&self) -> Vec<Opened> {
        let told = self
            .open
            .iter()
            .map(|(scope, open)| Opened { scope: scope.to_string(), since: open.incident.since });
        told.take(DIGEST_OPEN_MAX).collect()
    }

    fn lost_sites(&self) -> BTreeSet<String> {
        let lost = self.open.iter().filter(|(_, open)| open.incident.kind == Kind::SiteLost);
        let site = |(scope, _): (&Scope, &Open)| match scope {
            Scope::Site(site) => Some(site.clone()),
            _ => None,
        };
        lost.filter_map(site).collect()
    }

    fn on_finding(&mut self, finding: &Finding, survey: &Survey, now: Utc) {
        if let Some(open) = self.open.get_mut(&finding.scope) {
            open.well_since = None;
            if finding.is_ripe {
                let before = open.incident.clone();
                write(&mut open.incident, finding);
                if open.incident != before {
                    self.changes.incidents.push(open.incident.clone());
                }
            }
            return;
        }
        let first = *self.pending.entry(finding.scope.clone()).or_insert(now);
        // While a datacenter recovers, its hosts belong to its incident.
        let recovers = survey
            .site_of_lost(&finding.scope)
            .is_some_and(|site| self.open.contains_key(&Scope::Site(site.to_owned())));
        if finding.is_ripe && !recovers && now.since(first) >= SETTLE {
            self.pending.remove(&finding.scope);
            self.begin(finding, now);
        }
    }

    /// Opens an incident; one that was over a moment ago goes on.
    fn begin(&mut self, finding: &Finding, now: Utc) {
        let is_same = |old: &Incident| {
            old.scope == finding.scope
                && old.part_of.is_none()
                && old.until.is_some_and(|until| now.since(until) <= RETURN)
        };
        let incident = match self.closed.iter().rposition(is_same) {
            Some(place) => {
                let old = self.closed.remove(place);
                let mut incident = old.unwrap_or_else(|| fresh(finding));
                incident.until = None;
                incident.returns += 1;
                write(&mut incident, finding);
                incident
            }
            None => fresh(finding),
        };
        self.changes.incidents.push(incident.clone());
        let open = Open { incident, well_since: None, recovering_since: None };
        self.open.insert(finding.scope.clone(), open);
    }

    /// Takes the earliest beginning that anybody names for the same open trouble.
    fn adopt(&mut self, elsewhere: &[Opened]) {
        for told in elsewhere {
            let Ok(scope) = told.scope.parse::<Scope>() else { continue };
            let Some(open) = self.open.get_mut(&scope) else { continue };
            if told.since < open.incident.since {
                let id = open.incident.id();
                self.changes.incidents.retain(|told| told.id() != id);
                self.changes.gone.push(id);
                open.incident.since = told.since;
                self.changes.incidents.push(open.incident.clone());
            }
        }
    }

    /// Closes what turned out to be part of something larger.
    fn close_explained(&mut self, survey: &Survey, found: &BTreeSet<&Scope>, now: Utc) {
        let larger: Vec<(Scope, String)> = self
            .open
            .iter()
            .filter(|(scope, _)| found.contains(scope))
            .map(|(scope, open)| (scope.clone(), open.incident.id()))
            .collect();
        let not_found: Vec<Scope> =
            self.open.keys().filter(|scope| !found.contains(scope)).cloned().collect();
        for scope in not_found {
            let part_of = larger.iter().find(|(large, _)| survey.is_part(&scope, large));
            if let Some((_, id)) = part_of {
                self.close(&scope, now, Some(id.clone()));
            }
        }
    }

    /// Closes what was well for long enough.
    fn close_well(&mut self, survey: &Survey, found: &BTreeSet<&Scope>, now: Utc) {
        let mut over = Vec::new();
        for (scope, open) in &mut self.open {
            if found.contains(scope) {
                open.recovering_since = None;
                continue;
            }
            let is_well = match survey.wellness(scope, open.incident.seen) {
                wellness::Wellness::Well => true,
                wellness::Wellness::Recovering => {
                    let since = *open.recovering_since.get_or_insert(now);
                    now.since(since) >= RECOVER
                }
                wellness::Wellness::Unknown => false,
            };
            if !is_well {
                open.well_since = None;
                continue;
            }
            let since = *open.well_since.get_or_insert(now);
            if now.since(since) >= CLEAR {
                over.push((scope.clone(), since));
            }
        }
        for (scope, until) in over {
            self.close(&scope, until, None);
        }
    }

    fn close(&mut self, scope: &Scope, until: Utc, part_of: Option<String>) {
        let Some(Open { mut incident, .. }) = self.open.remove(scope) else { return };
        incident.until = Some(until);
        incident.part_of = part_of;
        self.changes.incidents.push(incident.clone());
        self.closed.push_back(incident);
    }

    fn forget(&mut self, now: Utc) {
        let is_old =
            |incident: &Incident| incident.until.is_some_and(|until| now.since(until) > KEEP);
        while self.closed.len() > KEPT_MAX || self.closed.front().is_some_and(is_old) {
            let gone = self.closed.pop_front();
            self.changes.gone.extend(gone.map(|incident| incident.id()));
        }
    }
}

fn fresh(finding: &Finding) -> Incident {
    let mut incident = Incident {
        scope: finding.scope.clone(),
        kind: finding.kind,
        since: finding.since,
        seen: finding.since,
        until: None,
        verdict: String::new(),
        urgency: finding.urgency,
        hosts: 0,
        listed: Vec::new(),
        exceptions: 0,
        exceptions_listed: Vec::new(),
        evidence: Vec::new(),
        returns: 0,
        part_of: None,
    };
    write(&mut incident, finding);
    incident
}

/// Brings an incident up to date. Its beginning stays.
fn write(incident: &mut Incident, finding: &Finding) {
    incident.kind = finding.kind;
    incident.seen = finding.since;
    incident.verdict.clone_from(&finding.verdict);
    incident.urgency = finding.urgency;
    incident.hosts = finding.hosts.count as u64;
    incident.listed.clone_from(&finding.hosts.listed);
    incident.exceptions = finding.exceptions.count as u64;
    incident.exceptions_listed.clone_from(&finding.exceptions.listed);
    incident.evidence.clone_from(&finding.evidence);
}
