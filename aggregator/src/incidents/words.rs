//! The sentences of an incident: its verdict and its evidence.

use std::collections::BTreeSet;

use jiff::Timestamp;
use muster_proto::clock::Utc;

use super::incident::EVIDENCE_MAX;
use super::survey::{AggregatorFact, LostHost, SiteFact, Survey};

pub(super) fn site_lost(site: &str, fact: &SiteFact) -> String {
    let reachable = exceptions(fact);
    format!("datacenter {site} is lost: {} not heard{reachable}", hosts(fact.missing.count))
}

pub(super) fn site_unreachable(site: &str, fact: &SiteFact, others: Vec<&str>) -> String {
    let nobody = match others[..] {
        [] => "no third site to ask".to_owned(),
        _ => format!("no third site to ask ({} silent, too)", others.join(", ")),
    };
    let reachable = exceptions(fact);
    format!(
        "site {site} not reachable from here; {nobody}: it is lost, or only the path; {} not heard{reachable}",
        hosts(fact.missing.count)
    )
}

pub(super) fn site_out(site: &str, fact: &SiteFact) -> String {
    let hosts = elsewhere(fact.away.count, fact.missing.count);
    format!("every aggregator of {site} is out, {hosts}")
}

pub(super) fn isolated(here: &str, whom: &[&str]) -> String {
    format!("{here} hears nothing of {}: it is cut off, or they are all lost", whom.join(", "))
}

pub(super) fn outage(name: &str, fact: &AggregatorFact, survey: &Survey) -> String {
    let hosts = elsewhere(fact.elsewhere, fact.missing.count);
    let others = fact.unheard_by.keys().filter(|name| **name != survey.me).count();
    let alone = if others == 0 { "; nobody else to ask" } else { "" };
    format!("aggregator {name} is out, {hosts}{alone}")
}

pub(super) fn path(a: &str, b: &str, one_way: bool) -> String {
    let how = if one_way { " in one direction" } else { "" };
    format!("no path between {a} and {b}{how}; both are alive, hosts healthy")
}

pub(super) fn hosts_lost(site: &str, lost: usize, all: usize) -> String {
    format!("{lost} of {} of {site} lost; its aggregators are heard", hosts(all))
}

pub(super) fn host_lost(lost: &LostHost) -> String {
    match &lost.promised {
        Some(reason) => format!("{} left for a {reason} and has not returned", lost.host),
        None => format!("{} is not heard of", lost.host),
    }
}

/// Who heard each of some aggregators last, and when.
pub(super) fn who_heard<'a>(
    of: impl Iterator<Item = (&'a str, &'a AggregatorFact)>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, fact) in of {
        for (witness, last) in &fact.unheard_by {
            lines.push(unheard(witness, name, *last));
        }
    }
    lines.truncate(EVIDENCE_MAX);
    lines
}

pub(super) fn unheard(listener: &str, speaker: &str, last: Option<Utc>) -> String {
    match last {
        Some(at) => format!("{listener} heard {speaker} last at {}", clock(at)),
        None => format!("{listener} has not heard {speaker} since it started"),
    }
}

pub(super) fn hears(listener: &str, speaker: &str) -> String {
    format!("{listener} hears {speaker}")
}

/// Third parties that hear both ends.
pub(super) fn who_else_hears<'a>(
    survey: &Survey,
    ends: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let ends: BTreeSet<&str> = ends.collect();
    let mut lines = Vec::new();
    for end in &ends {
        let Some(fact) = survey.aggregators.get(*end) else { continue };
        let third = fact
            .heard_by
            .iter()
            .filter(|name| name.as_str() != *end && !ends.contains(name.as_str()));
        lines.extend(third.map(|third| hears(third, end)));
    }
    lines
}

pub(super) fn lost(lost: &LostHost) -> String {
    format!("{} heard {} last at {}", lost.owner, lost.host, clock(lost.last_seen))
}

/// Where the hosts of silent aggregators are.
fn elsewhere(elsewhere: usize, missing: usize) -> String {
    let all = elsewhere + missing;
    match (all, missing) {
        (0, _) => "it had no hosts".to_owned(),
        (_, 0) => format!("hosts healthy: {elsewhere} of {} heard elsewhere", hosts(all)),
        _ => format!("{elsewhere} of {} heard elsewhere so far", hosts(all)),
    }
}

fn exceptions(fact: &SiteFact) -> String {
    match fact.away.count {
        0 => String::new(),
        count => format!(", {} still reachable elsewhere", hosts(count)),
    }
}

fn hosts(count: usize) -> String {
    format!("{count} host{}", if count == 1 { "" } else { "s" })
}

/// RFC 3339, UTC, whole seconds.
fn clock(at: Utc) -> String {
    Timestamp::from_second(at.as_secs()).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}
