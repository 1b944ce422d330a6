//! From the facts of one moment to what is wrong: the deepest common node that explains it. Pure, no memory.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_proto::clock::Utc;
use muster_proto::verdict::Urgency;

use super::incident::{Kind, Scope};
use super::survey::{AggregatorFact, Light, LostHost, Names, SiteFact, Survey};
use super::words;

mod paths;

/// So many lost hosts of a datacenter may be one incident.
const GROUP_HOSTS_MIN: usize = 3;
/// So many are one incident, whatever their share: nobody reads twenty of them.
const GROUP_HOSTS_ALWAYS: usize = 20;
/// Whether a datacenter is lost or only its aggregators is told by its hosts: they need two beats to show up
/// elsewhere. It is decided after this at the latest.
const DECIDE_AFTER_MAX: Duration = Duration::from_secs(90);
/// Datacenters that fall silent within this of one another point at us.
const ISOLATION_SPREAD: Duration = Duration::from_secs(60);

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub scope: Scope,
    /// What it is.
    pub kind: Kind,
    /// Since when.
    pub since: Utc,
    /// One sentence.
    pub verdict: String,
    /// Who should hear of it.
    pub urgency: Urgency,
    /// Hosts that it takes away.
    pub hosts: Names,
    /// Hosts of the scope that are reachable nevertheless.
    pub exceptions: Names,
    /// Who heard what last when.
    pub evidence: Vec<String>,
    /// Enough is known to say it. It explains smaller things already before that.
    pub is_ripe: bool,
}

/// What the findings so far explain.
#[derive(Debug, Default)]
struct Covered {
    sites: BTreeSet<String>,
    aggregators: BTreeSet<String>,
    /// Everything that we do not hear ourselves.
    all_but_ours: bool,
}

/// Says what is wrong. `lost_sites`: datacenters that an open incident calls lost. A third datacenter has said so
/// then; that it is silent now, too, does not make it less true.
pub fn explain(survey: &Survey, lost_sites: &BTreeSet<String>, now: Utc) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut covered = Covered::default();
    if let Some(isolated) = isolation(survey, lost_sites) {
        covered.all_but_ours = true;
        findings.push(isolated);
    }
    for (site, fact) in &survey.sites {
        if covered.all_but_ours && !lost_sites.contains(site) {
            continue;
        }
        if let Some(finding) = dark_site(survey, (site, fact), lost_sites, now) {
            covered.sites.insert(site.clone());
            findings.push(finding);
        }
    }
    for (name, fact) in &survey.aggregators {
        if fact.is_dark() && !covered.covers(&fact.site) {
            let finding = outage(survey, (name, fact));
            if finding.hosts.count > 0 {
                covered.aggregators.insert(name.clone());
            }
            findings.push(finding);
        }
    }
    findings.extend(paths::paths(survey, now));
    findings.extend(lost_hosts(survey, &covered));
    findings
}

impl Covered {
    fn covers(&self, site: &str) -> bool {
        self.all_but_ours || self.sites.contains(site)
    }

    fn covers_host(&self, survey: &Survey, lost: &LostHost) -> bool {
        self.sites.contains(&lost.site)
            || self.aggregators.contains(&lost.owner)
            || (self.all_but_ours && lost.owner != survey.me)
    }
}

/// The larger half.
fn is_most(part: usize, whole: usize) -> bool {
    whole > 0 && part * 2 >= whole
}

/// Whether the hosts of silent aggregators are heard elsewhere: then those are out, and it is not we who are deaf.
fn is_rehomed<'a>(facts: impl Iterator<Item = &'a AggregatorFact>) -> bool {
    let count = |(elsewhere, all), fact: &AggregatorFact| {
        (elsewhere + fact.elsewhere, all + fact.elsewhere + fact.missing.count)
    };
    let (elsewhere, all) = facts.fold((0, 0), count);
    is_most(elsewhere, all)
}

/// We hear nobody, or no other datacenter, and there is more than one to hear.
fn isolation(survey: &Survey, lost_sites: &BTreeSet<String>) -> Option<Finding> {
    let others: Vec<_> = survey
        .aggregators
        .iter()
        .filter(|(name, fact)| **name != survey.me && !lost_sites.contains(&fact.site))
        .collect();
    let abroad: Vec<_> = others.iter().filter(|(_, fact)| fact.site != survey.site).collect();
    let sites: BTreeSet<&str> = abroad.iter().map(|(_, fact)| fact.site.as_str()).collect();
    let alone = others.len() >= 2 && others.iter().all(|(_, fact)| fact.is_dark());
    let cut_off = sites.len() >= 2 && abroad.iter().all(|(_, fact)| fact.is_dark());
    let silent: Vec<&AggregatorFact> = if alone {
        others.iter().map(|(_, fact)| *fact).collect()
    } else {
        abroad.iter().map(|(_, fact)| *fact).collect()
    };
    let began: Vec<Utc> = silent.iter().filter_map(|fact| dark_since(fact)).collect();
    let (first, last) = (began.iter().min()?, began.iter().max()?);
    let is_sudden = last.since(*first) <= ISOLATION_SPREAD;
    if !(alone || cut_off) || !is_sudden || is_rehomed(silent.iter().copied()) {
        return None;
    }
    let mut hosts = Names::default();
    silent.iter().for_each(|fact| hosts.extend(&fact.missing));
    let here = if alone { &survey.me } else { &survey.site };
    let whom: Vec<&str> = match alone {
        true => others.iter().map(|(name, _)| name.as_str()).collect(),
        false => sites.into_iter().collect(),
    };
    let dark = others.iter().filter(|(_, fact)| fact.is_dark());
    Some(Finding {
        scope: Scope::Cut(here.clone()),
        kind: Kind::Isolated,
        since: *last,
        verdict: words::isolated(here, &whom),
        urgency: Urgency::Page,
        evidence: words::who_heard(dark.map(|(name, fact)| (name.as_str(), *fact))),
        hosts,
        exceptions: Names::default(),
        is_ripe: true,
    })
}

/// Nothing of a datacenter is heard.
fn dark_site(
    survey: &Survey,
    (site, fact): (&String, &SiteFact),
    lost_sites: &BTreeSet<String>,
    now: Utc,
) -> Option<Finding> {
    let all: Vec<(&str, &AggregatorFact)> = survey.aggregators_of(site).collect();
    if all.is_empty() || !all.iter().all(|(_, fact)| fact.is_dark()) {
        return None;
    }
    let since = all.iter().filter_map(|(_, fact)| dark_since(fact)).max()?;
    let (away, missing) = (fact.away.count, fact.missing.count);
    let healthy = is_most(away, away + missing);
    let is_told = missing == 0 || is_most(fact.silent, missing);
    let third: Vec<&str> = witnesses(survey, site);
    let kind = match (healthy, third.is_empty()) {
        (true, _) => Kind::AggregatorOutage,
        (false, true) if !lost_sites.contains(site) => Kind::SiteUnreachable,
        (false, _) => Kind::SiteLost,
    };
    let verdict = match kind {
        Kind::AggregatorOutage => words::site_out(site, fact),
        Kind::SiteUnreachable => words::site_unreachable(site, fact, other_sites(survey, site)),
        _ => words::site_lost(site, fact),
    };
    Some(Finding {
        scope: Scope::Site(site.clone()),
        kind,
        since,
        verdict,
        urgency: if healthy { Urgency::Ticket } else { Urgency::Page },
        hosts: fact.missing.clone(),
        exceptions: fact.away.clone(),
        evidence: words::who_heard(all.into_iter()),
        is_ripe: healthy || is_told || now.since(since) >= DECIDE_AFTER_MAX,
    })
}

/// Aggregators of a third datacenter that are heard and say that they do not hear this one.
fn witnesses<'a>(survey: &'a Survey, site: &str) -> Vec<&'a str> {
    let silent = survey.aggregators_of(site).flat_map(|(_, fact)| fact.unheard_by.keys());
    let names: BTreeSet<&String> = silent.collect();
    let is_third =
        |name: &&String| survey.site_of(name).is_some_and(|its| its != site && its != survey.site);
    let known = survey.aggregators.keys().filter(|name| names.contains(name)).filter(is_third);
    known.map(String::as_str).collect()
}

/// Datacenters beside ours and this one that have aggregators.
fn other_sites<'a>(survey: &'a Survey, site: &str) -> Vec<&'a str> {
    let sites: BTreeSet<&str> =
        survey.aggregators.values().map(|fact| fact.site.as_str()).collect();
    sites.into_iter().filter(|its| *its != site && *its != survey.site).collect()
}

/// One aggregator is silent, others of its datacenter are not.
fn outage(survey: &Survey, (name, fact): (&String, &AggregatorFact)) -> Finding {
    let all = fact.elsewhere + fact.missing.count;
    // A few that are missing are hosts of their own; most of them are explained by their aggregator.
    let takes_hosts = fact.missing.count >= 2 && is_most(fact.missing.count, all);
    Finding {
        scope: Scope::Aggregator(name.clone()),
        kind: Kind::AggregatorOutage,
        since: dark_since(fact).unwrap_or_default(),
        verdict: words::outage(name, fact, survey),
        urgency: if takes_hosts { Urgency::Page } else { Urgency::Ticket },
        hosts: if takes_hosts { fact.missing.clone() } else { Names::default() },
        exceptions: Names::default(),
        evidence: words::who_heard(std::iter::once((name.as_str(), fact))),
        is_ripe: true,
    }
}

/// Hosts that nothing larger explains, each by itself or those of a datacenter together.
fn lost_hosts(survey: &Survey, covered: &Covered) -> Vec<Finding> {
    let lost: Vec<&LostHost> =
        survey.lost.iter().filter(|lost| !covered.covers_host(survey, lost)).collect();
    let mut findings = Vec::new();
    for (site, fact) in &survey.sites {
        let here: Vec<&LostHost> = lost.iter().copied().filter(|lost| lost.site == *site).collect();
        let all = fact.home + fact.away.count + fact.missing.count;
        let is_group = here.len() >= GROUP_HOSTS_MIN
            && (is_most(here.len(), all) || here.len() >= GROUP_HOSTS_ALWAYS);
        if is_group {
            findings.push(group(site, &here, all));
        } else {
            findings.extend(here.into_iter().map(one_host));
        }
    }
    findings
}

fn group(site: &str, lost: &[&LostHost], all: usize) -> Finding {
    let mut hosts = Names::default();
    lost.iter().for_each(|lost| hosts.push(&lost.host));
    Finding {
        scope: Scope::Site(site.to_owned()),
        kind: Kind::HostsLost,
        since: lost.iter().map(|lost| lost.last_seen).min().unwrap_or_default(),
        verdict: words::hosts_lost(site, lost.len(), all),
        urgency: Urgency::Page,
        hosts,
        exceptions: Names::default(),
        evidence: lost.iter().take(super::incident::EVIDENCE_MAX).map(|l| words::lost(l)).collect(),
        is_ripe: true,
    }
}

fn one_host(lost: &LostHost) -> Finding {
    let mut hosts = Names::default();
    hosts.push(&lost.host);
    Finding {
        scope: Scope::Host(lost.host.clone()),
        kind: Kind::HostLost,
        since: lost.last_seen,
        verdict: words::host_lost(lost),
        urgency: Urgency::Ticket,
        hosts,
        exceptions: Names::default(),
        evidence: vec![words::lost(lost)],
        is_ripe: true,
    }
}

fn dark_since(fact: &AggregatorFact) -> Option<Utc> {
    match fact.light {
        Light::Dark(since) => Some(since),
        Light::Up | Light::Unknown => None,
    }
}
