//! Paths: two that are both alive, by the word of others, and do not hear each other.

use std::collections::BTreeMap;

use muster_proto::clock::Utc;
use muster_proto::verdict::Urgency;

use super::Finding;
use crate::incidents::incident::{EVIDENCE_MAX, Kind, Scope};
use crate::incidents::survey::{Names, Survey};
use crate::incidents::words;

/// Two aggregators, and what is known of how they hear each other.
struct Pair<'a> {
    a: &'a str,
    b: &'a str,
    /// `a` hears `b`, then the other way round; `None`: nobody told.
    hears: [Option<bool>; 2],
}

impl Pair<'_> {
    fn is_broken(&self) -> bool {
        self.hears.contains(&Some(false))
    }

    fn is_deaf(&self) -> bool {
        self.is_broken() && !self.hears.contains(&Some(true))
    }
}

/// What is wrong between aggregators that are alive: whole datacenters where no pair hears each other, single
/// pairs else.
pub(super) fn paths(survey: &Survey, now: Utc) -> Vec<Finding> {
    let mut between: BTreeMap<(&str, &str), Vec<Pair<'_>>> = BTreeMap::new();
    for pair in pairs(survey) {
        between.entry(sites(survey, &pair)).or_default().push(pair);
    }
    let mut findings = Vec::new();
    for (sites, pairs) in between {
        let is_heard = pairs.iter().any(|pair| pair.hears.contains(&Some(true)));
        let broken: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.is_broken()).collect();
        if sites.0 != sites.1 && !is_heard && !broken.is_empty() {
            findings.push(finding(survey, sites, &broken, now));
        } else {
            let each = broken.iter();
            findings.extend(each.map(|pair| finding(survey, (pair.a, pair.b), &[pair], now)));
        }
    }
    findings
}

/// Every two aggregators that are alive.
fn pairs(survey: &Survey) -> Vec<Pair<'_>> {
    let up: Vec<&str> = survey
        .aggregators
        .iter()
        .filter(|(_, fact)| fact.is_up())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut pairs = Vec::new();
    for (place, a) in up.iter().enumerate() {
        for b in &up[place + 1..] {
            pairs.push(Pair { a, b, hears: [hears(survey, a, b), hears(survey, b, a)] });
        }
    }
    pairs
}

fn hears(survey: &Survey, listener: &str, speaker: &str) -> Option<bool> {
    let fact = survey.aggregators.get(speaker)?;
    if fact.heard_by.contains(listener) {
        return Some(true);
    }
    fact.unheard_by.contains_key(listener).then_some(false)
}

fn sites<'a>(survey: &'a Survey, pair: &Pair<'_>) -> (&'a str, &'a str) {
    let of = |name: &str| survey.site_of(name).unwrap_or_default();
    let (a, b) = (of(pair.a), of(pair.b));
    if a <= b { (a, b) } else { (b, a) }
}

fn finding(survey: &Survey, (a, b): (&str, &str), broken: &[&Pair<'_>], now: Utc) -> Finding {
    let mut evidence = Vec::new();
    let mut since = Vec::new();
    for pair in broken {
        for (listener, speaker, hears) in
            [(pair.a, pair.b, pair.hears[0]), (pair.b, pair.a, pair.hears[1])]
        {
            let fact = &survey.aggregators[speaker];
            let last = fact.unheard_by.get(listener).copied().flatten();
            match hears {
                Some(false) => {
                    since.extend(last);
                    evidence.push(words::unheard(listener, speaker, last));
                }
                Some(true) => evidence.push(words::hears(listener, speaker)),
                None => {}
            }
        }
    }
    evidence.extend(words::who_else_hears(survey, broken.iter().flat_map(|pair| [pair.a, pair.b])));
    evidence.truncate(EVIDENCE_MAX);
    let one_way = !broken.iter().all(|pair| pair.is_deaf());
    Finding {
        scope: Scope::path(a, b),
        kind: Kind::Path,
        since: since.into_iter().max().unwrap_or(now),
        verdict: words::path(a, b, one_way),
        urgency: Urgency::Ticket,
        hosts: Names::default(),
        exceptions: Names::default(),
        evidence,
        is_ripe: true,
    }
}
