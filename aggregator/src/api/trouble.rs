//! Incidents in answers, and hosts as all aggregators together know them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::verdict::Urgency;
use serde::{Deserialize, Serialize};

use super::ask::{FleetAsk, IncidentAsk};
use super::fleet::{Fleet, freeze};
use super::rooms::Rooms;
use super::rows::{HostRow, Stamp};
use crate::incidents::{Incident, Kind};
use crate::roster::Liveness;
use crate::roster::leases::LeaseRecord;

/// Closed incidents are shown for this long.
pub(super) const CLOSED_SHOWN: Duration = Duration::from_secs(7 * 86_400);
/// Incidents of one answer, the latest ones.
const ROWS_MAX: usize = 10_000;

/// An incident in `GET incidents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentRow {
    /// Its id: equal at every aggregator.
    pub id: String,
    /// `site-lost`, `site-unreachable`, `isolated`, `aggregator-outage`, `path`, `hosts-lost`, `host-lost`.
    pub kind: String,
    /// What it is about: `site codfw`, `aggregator agg1`, `path codfw eqiad`, `host db1`, `cut eqiad`.
    pub scope: String,
    /// Last sign of life before it.
    pub since: Stamp,
    /// When it was over; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Stamp>,
    /// Who should hear of it.
    pub urgency: Urgency,
    /// One sentence.
    pub verdict: String,
    /// Hosts that it takes away.
    pub hosts: u64,
    /// Names of them, at most a thousand.
    pub host_names: Vec<String>,
    /// Hosts of the scope that are still reachable.
    pub exceptions: u64,
    /// Names of them, at most a thousand.
    pub exception_names: Vec<String>,
    /// Who heard what last when.
    pub evidence: Vec<String>,
    /// How often it came back soon after it was over.
    pub returns: u32,
    /// Id of the larger incident that it is part of; empty else.
    pub part_of: String,
    /// Aggregators that see it as it is shown.
    pub seen_by: Vec<String>,
    /// What others that see it open call it, when that differs: aggregator, verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_views: Vec<(String, String)>,
}

/// What an aggregator knows of a host by everybody's word.
#[derive(Debug, Clone)]
pub(super) struct CommonRow {
    host: String,
    datacenter: String,
    owner: String,
    liveness: Liveness,
    last_seen: Utc,
    first_seen: Utc,
}

/// This aggregator's incidents.
pub(super) fn incidents(rooms: &Rooms, ask: &IncidentAsk) -> Vec<IncidentRow> {
    let oldest = (rooms.clock)().before(CLOSED_SHOWN);
    let incidents = rooms.incidents.lock().unwrap_or_else(PoisonError::into_inner);
    let closed = incidents
        .closed()
        .take_while(|incident| incident.until.is_some_and(|until| until >= oldest))
        .filter(|_| ask.all);
    let all = incidents.open().chain(closed).take(ROWS_MAX);
    all.map(|incident| row(incident, &rooms.name)).collect()
}

/// Each incident once. Views of the same trouble that have not agreed on an id yet are one, too.
pub(super) fn merge_incidents(parts: Vec<Vec<IncidentRow>>) -> Vec<IncidentRow> {
    let mut views: BTreeMap<String, Vec<IncidentRow>> = BTreeMap::new();
    let rows: Vec<IncidentRow> = parts.into_iter().flatten().collect();
    let open: BTreeMap<String, String> = rows
        .iter()
        .filter(|row| row.until.is_none())
        .map(|row| (row.id.clone(), row.scope.clone()))
        .collect();
    for row in rows {
        let key = open.get(&row.id).map_or_else(|| row.id.clone(), |scope| format!("open {scope}"));
        views.entry(key).or_default().push(row);
    }
    let mut merged: Vec<IncidentRow> = views.into_values().filter_map(merge_views).collect();
    merged.sort_by(|a, b| {
        let order = |row: &IncidentRow| (row.until.is_some(), worst_first(&row.kind));
        order(a).cmp(&order(b)).then_with(|| b.since.cmp(&a.since)).then_with(|| a.id.cmp(&b.id))
    });
    merged
}

/// The view that knows most; the others are named.
fn merge_views(mut views: Vec<IncidentRow>) -> Option<IncidentRow> {
    if views.iter().any(|view| view.until.is_none()) {
        views.retain(|view| view.until.is_none());
    }
    views.sort_by_key(|view| doubt(&view.kind));
    let first = views.iter().min_by_key(|view| view.since)?;
    let (id, since) = (first.id.clone(), first.since);
    let mut rest = views.into_iter();
    let mut row = rest.next()?;
    (row.id, row.since) = (id, since);
    for other in rest {
        row.until = row.until.max(other.until);
        if other.kind == row.kind {
            row.seen_by.extend(other.seen_by);
        } else {
            let views = other.seen_by.into_iter().map(|name| (name, other.verdict.clone()));
            row.other_views.extend(views);
        }
    }
    row.seen_by.sort();
    Some(row)
}

/// How much a kind leaves open.
fn doubt(kind: &str) -> u8 {
    let is_open = [Kind::SiteUnreachable, Kind::Isolated].iter().any(|known| known.name() == kind);
    u8::from(is_open)
}

fn worst_first(kind: &str) -> usize {
    Kind::ALL.iter().position(|known| known.name() == kind).unwrap_or(Kind::ALL.len())
}

fn row(incident: &Incident, seen_by: &str) -> IncidentRow {
    IncidentRow {
        id: incident.id(),
        kind: incident.kind.name().to_owned(),
        scope: incident.scope.to_string(),
        since: Stamp(incident.since),
        until: incident.until.map(Stamp),
        urgency: incident.urgency,
        verdict: incident.verdict.clone(),
        hosts: incident.hosts,
        host_names: incident.listed.clone(),
        exceptions: incident.exceptions,
        exception_names: incident.exceptions_listed.clone(),
        evidence: incident.evidence.clone(),
        returns: incident.returns,
        part_of: incident.part_of.clone().unwrap_or_default(),
        seen_by: vec![seen_by.to_owned()],
        other_views: Vec::new(),
    }
}

/// Hosts by everybody's word: all, or the one that was asked for.
pub(super) fn common(rooms: &Rooms, ask: &FleetAsk) -> Vec<CommonRow> {
    let now = (rooms.clock)();
    let leases = rooms.leases.lock().unwrap_or_else(PoisonError::into_inner);
    let row = |(name, record): (&str, &LeaseRecord)| {
        let view = leases.view(record, now);
        CommonRow {
            host: name.to_owned(),
            datacenter: record.lease.datacenter.clone(),
            owner: record.owner.clone(),
            liveness: view.liveness,
            last_seen: view.last_seen,
            first_seen: record.lease.since,
        }
    };
    match &ask.host {
        Some(host) => leases.host(host).map(|record| row((host, record))).into_iter().collect(),
        None => leases.hosts().map(row).collect(),
    }
}

/// Adds what is known of hosts whose aggregator does not answer. An answer of the host's own aggregator is newer.
pub(super) fn overlay(fleet: &mut Fleet, common: Vec<CommonRow>) {
    let answered: BTreeSet<String> =
        fleet.aggregators.iter().map(|part| part.aggregator.clone()).collect();
    for known in common {
        let state = known.liveness.name();
        let Some(row) = fleet.hosts.get_mut(&known.host) else {
            fleet.hosts.insert(known.host.clone(), bare_row(known));
            continue;
        };
        let is_told = answered.contains(&row.aggregator)
            && (row.aggregator == known.owner || row.state == "live");
        if is_told {
            continue;
        }
        if !known.datacenter.is_empty() {
            row.datacenter = known.datacenter;
        }
        state.clone_into(&mut row.state);
        row.reason = reason(&known.liveness);
        row.aggregator = known.owner;
        row.last_seen = row.last_seen.max(Stamp(known.last_seen));
        if known.liveness.is_away() {
            let counts = &mut row.checks;
            counts.stale = counts.ok + counts.warn + counts.crit + counts.unknown;
        }
    }
    freeze(fleet);
}

fn bare_row(known: CommonRow) -> HostRow {
    HostRow {
        state: known.liveness.name().to_owned(),
        reason: reason(&known.liveness),
        host: known.host,
        datacenter: known.datacenter,
        aggregator: known.owner,
        last_seen: Stamp(known.last_seen),
        first_seen: Stamp(known.first_seen),
        ..HostRow::default()
    }
}

fn reason(liveness: &Liveness) -> String {
    match liveness {
        Liveness::Departed { reason } => reason.clone(),
        Liveness::Live | Liveness::Late | Liveness::Lost => String::new(),
    }
}
