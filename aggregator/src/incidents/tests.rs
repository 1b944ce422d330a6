//! Stories: facts as short lines, incidents as short lines.

use std::fmt::Write as _;
use std::str::SplitWhitespace;

use expect_test::{Expect, expect};

use super::*;
use crate::roster::Liveness;

/// Noon of the stories.
const NOON: i64 = 1_795_000_000_000_000;

fn at(second: i64) -> Utc {
    Utc(NOON + second * 1_000_000)
}

/// Facts of one moment from text, a line each; numbers after `dark` and `deaf` are the second of the last hearing.
///
/// ```text
/// me a1 eqiad · agg b1 codfw up · agg b1 codfw dark 40 elsewhere 3 missing db1,db2
/// hears a1 b1 · deaf a1 b1 40
/// site codfw home 3 away db7,db8 missing db1,db2 silent 2
/// lost db1 codfw b1 50 · watch db1 live 60 · elsewhere 40 site codfw
/// ```
fn survey(text: &str) -> Survey {
    let mut survey = Survey::default();
    for line in text.split(['\n', '·']).map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        match words.next().unwrap() {
            "me" => {
                survey.me = name(&mut words);
                survey.site = name(&mut words);
                let fact = AggregatorFact {
                    site: survey.site.clone(),
                    light: Light::Up,
                    last_heard: None,
                    heard_by: BTreeSet::new(),
                    unheard_by: BTreeMap::new(),
                    elsewhere: 0,
                    missing: Names::default(),
                };
                survey.aggregators.insert(survey.me.clone(), fact);
                survey.sites.entry(survey.site.clone()).or_default();
            }
            "agg" => aggregator(&mut survey, &mut words),
            "hears" => {
                let (listener, speaker) = (name(&mut words), name(&mut words));
                survey.aggregators.get_mut(&speaker).unwrap().heard_by.insert(listener);
            }
            "deaf" => {
                let (listener, speaker) = (name(&mut words), name(&mut words));
                let fact = survey.aggregators.get_mut(&speaker).unwrap();
                fact.unheard_by.insert(listener, words.next().map(second));
            }
            "site" => {
                let site = name(&mut words);
                let fact = survey.sites.entry(site).or_default();
                while let Some(word) = words.next() {
                    let value = words.next().unwrap();
                    match word {
                        "home" => fact.home = value.parse().unwrap(),
                        "silent" => fact.silent = value.parse().unwrap(),
                        "away" => fact.away = names(value),
                        "missing" => fact.missing = names(value),
                        other => panic!("{other}"),
                    }
                }
            }
            "lost" => survey.lost.push(LostHost {
                host: name(&mut words),
                site: name(&mut words),
                owner: name(&mut words),
                last_seen: second(words.next().unwrap()),
                promised: words.next().map(str::to_owned),
            }),
            "watch" => {
                let host = name(&mut words);
                let liveness = match words.next().unwrap() {
                    "live" => Liveness::Live,
                    "lost" => Liveness::Lost,
                    reason => Liveness::Departed { reason: reason.to_owned() },
                };
                survey.watched.insert(host, (liveness, second(words.next().unwrap())));
            }
            "elsewhere" => {
                let since = second(words.next().unwrap());
                let scope = words.by_ref().collect::<Vec<_>>().join(" ");
                survey.open_elsewhere.push(Opened { scope, since });
            }
            other => panic!("{other}"),
        }
    }
    survey
}

fn aggregator(survey: &mut Survey, words: &mut SplitWhitespace<'_>) {
    let (agg, site) = (name(words), name(words));
    let mut fact = AggregatorFact {
        site: site.clone(),
        light: Light::Up,
        last_heard: None,
        heard_by: BTreeSet::new(),
        unheard_by: BTreeMap::new(),
        elsewhere: 0,
        missing: Names::default(),
    };
    if words.next() == Some("dark") {
        let since = second(words.next().unwrap());
        (fact.light, fact.last_heard) = (Light::Dark(since), Some(since));
        fact.unheard_by.insert(survey.me.clone(), Some(since));
    }
    while let Some(word) = words.next() {
        let value = words.next().unwrap();
        match word {
            "elsewhere" => fact.elsewhere = value.parse().unwrap(),
            "missing" => fact.missing = names(value),
            other => panic!("{other}"),
        }
    }
    survey.aggregators.insert(agg, fact);
    survey.sites.entry(site).or_default();
}

fn name(words: &mut SplitWhitespace<'_>) -> String {
    words.next().unwrap().to_owned()
}

fn second(word: &str) -> Utc {
    at(word.parse().unwrap())
}

fn names(list: &str) -> Names {
    let mut names = Names::default();
    list.split(',').for_each(|name| names.push(name));
    names
}

fn show(incidents: &Incidents) -> String {
    let mut text = String::new();
    let second = |at: Utc| (at.0 - NOON) / 1_000_000;
    for incident in incidents.open().chain(incidents.closed()) {
        let until = incident.until.map_or("open".to_owned(), |at| format!("until {}", second(at)));
        let kind = incident.kind.name();
        let (since, urgency) = (second(incident.since), incident.urgency.name());
        writeln!(text, "{}: {kind} {urgency} since {since} {until}", incident.scope).unwrap();
        writeln!(text, "  {}", incident.verdict).unwrap();
        if incident.hosts + incident.exceptions > 0 {
            let (hosts, fine) = (&incident.listed, &incident.exceptions_listed);
            writeln!(text, "  hosts {hosts:?} but {fine:?}").unwrap();
        }
        for line in &incident.evidence {
            writeln!(text, "  {}", line.replace("2026-11-18T11:", "")).unwrap();
        }
        if let Some(part_of) = &incident.part_of {
            let all = incidents.open().chain(incidents.closed());
            let whole = all.filter(|whole| whole.id() == *part_of).map(|whole| &whole.scope);
            writeln!(text, "  part of {}", whole.map(Scope::to_string).collect::<String>())
                .unwrap();
        }
    }
    text
}

/// A story in parts: each part's facts hold from its second to that of the next one.
fn play(story: &[(i64, &str)], end: i64) -> Incidents {
    let mut incidents = Incidents::default();
    go_on(&mut incidents, story, end);
    incidents
}

fn go_on(incidents: &mut Incidents, story: &[(i64, &str)], end: i64) {
    for (place, (from, facts)) in story.iter().enumerate() {
        let until = story.get(place + 1).map_or(end, |(next, _)| *next);
        let survey = survey(facts);
        for second in *from..=until {
            incidents.on_survey(&survey, at(second));
        }
    }
}

/// The one door: what a story ends with.
#[track_caller]
fn check(story: &[(i64, &str)], end: i64, expected: Expect) {
    expected.assert_eq(&show(&play(story, end)));
}

const THREE_SITES: &str = "me a1 eqiad · agg a2 eqiad up · agg b1 codfw up · agg b2 codfw up
    agg c1 ulsfo up · agg c2 ulsfo up · hears a1 a2 · hears c1 b1 · hears b1 c1";

const CODFW_DARK: &str =
    "me a1 eqiad · agg a2 eqiad up · agg c1 ulsfo up · hears a1 c1 · hears a1 a2
    agg b1 codfw dark 0 · agg b2 codfw dark 1 · deaf c1 b1 1 · deaf c1 b2 1";

#[test]
fn when_all_is_well_there_is_nothing() {
    check(&[(0, THREE_SITES)], 3_600, expect![[""]]);
}

#[test]
fn a_lost_datacenter_is_one_incident() {
    let facts = format!(
        "{CODFW_DARK} · site codfw away db9 missing db1,db2,db3 silent 3
         lost db1 codfw b1 -30 · lost db2 codfw b1 -20 · lost db3 codfw b2 -10"
    );
    check(
        &[(160, &facts)],
        171,
        expect![[r#"
        site codfw: site-lost page since 1 open
          datacenter codfw is lost: 3 hosts not heard, 1 host still reachable elsewhere
          hosts ["db1", "db2", "db3"] but ["db9"]
          a1 heard b1 last at 06:40Z
          c1 heard b1 last at 06:41Z
          a1 heard b2 last at 06:41Z
          c1 heard b2 last at 06:41Z
    "#]],
    );
}

#[test]
fn whether_a_datacenter_is_lost_is_not_said_before_its_hosts_had_time_to_show_up() {
    let early = format!("{CODFW_DARK} · site codfw missing db1,db2,db3 silent 0");
    let shown = format!("{CODFW_DARK} · site codfw away db1,db2 missing db3 silent 0");
    check(
        &[(9, &early), (40, &shown)],
        45,
        expect![[r#"
        site codfw: aggregator-outage ticket since 1 open
          every aggregator of codfw is out, 2 of 3 hosts heard elsewhere so far
          hosts ["db3"] but ["db1", "db2"]
          a1 heard b1 last at 06:40Z
          c1 heard b1 last at 06:41Z
          a1 heard b2 last at 06:41Z
          c1 heard b2 last at 06:41Z
    "#]],
    );
    check(&[(9, &early)], 40, expect![[""]]);
}

#[test]
fn without_a_third_datacenter_it_says_what_it_cannot_know() {
    let facts =
        "me a1 eqiad · agg a2 eqiad up · hears a1 a2 · agg b1 codfw dark 0 · agg b2 codfw dark 1
        deaf a2 b1 1 · deaf a2 b2 1 · site codfw away db9 missing db1,db2 silent 2";
    check(
        &[(70, facts)],
        81,
        expect![[r#"
        site codfw: site-unreachable page since 1 open
          site codfw not reachable from here; no third site to ask: it is lost, or only the path; 2 hosts not heard, 1 host still reachable elsewhere
          hosts ["db1", "db2"] but ["db9"]
          a1 heard b1 last at 06:40Z
          a2 heard b1 last at 06:41Z
          a1 heard b2 last at 06:41Z
          a2 heard b2 last at 06:41Z
    "#]],
    );
}

#[test]
fn with_the_third_datacenter_silent_too_it_is_we_who_hear_nothing() {
    let facts =
        "me a1 eqiad · agg a2 eqiad up · hears a1 a2 · agg b1 codfw dark 0 · agg c1 ulsfo dark 2
        site codfw missing db1,db2 silent 2 · lost db1 codfw b1 -30";
    check(
        &[(160, facts)],
        171,
        expect![[r#"
        cut eqiad: isolated page since 2 open
          eqiad hears nothing of codfw, ulsfo: it is cut off, or they are all lost
          a1 heard b1 last at 06:40Z
          a1 heard c1 last at 06:42Z
    "#]],
    );
}

#[test]
fn an_aggregator_is_out_and_its_hosts_are_healthy() {
    let facts =
        "me a1 eqiad · agg c1 ulsfo up · hears a1 c1 · agg a2 eqiad dark 0 elsewhere 12 missing db3
        deaf c1 a2 1 · site eqiad home 12 missing db3";
    check(
        &[(9, facts)],
        20,
        expect![[r#"
        aggregator a2: aggregator-outage ticket since 0 open
          aggregator a2 is out, 12 of 13 hosts heard elsewhere so far
          a1 heard a2 last at 06:40Z
          c1 heard a2 last at 06:41Z
    "#]],
    );
}

#[test]
fn hosts_that_share_a_dead_aggregator_are_its_incident() {
    let facts =
        "me a1 eqiad · agg a2 eqiad dark 0 elsewhere 1 missing db1,db2,db3 · site eqiad home 9
        lost db1 eqiad a2 0 · lost db2 eqiad a2 0 · lost db3 eqiad a2 0";
    check(
        &[(160, facts)],
        171,
        expect![[r#"
        aggregator a2: aggregator-outage page since 0 open
          aggregator a2 is out, 1 of 4 hosts heard elsewhere so far; nobody else to ask
          hosts ["db1", "db2", "db3"] but []
          a1 heard a2 last at 06:40Z
    "#]],
    );
}

#[test]
fn two_datacenters_that_do_not_hear_each_other_are_a_path() {
    let from_here = "me a1 eqiad · agg b1 codfw up · agg c1 ulsfo up · hears a1 c1
        deaf a1 b1 0 · hears c1 b1 · hears c1 a1 · deaf b1 a1 1";
    check(
        &[(9, from_here)],
        20,
        expect![[r#"
        path codfw eqiad: path ticket since 1 open
          no path between codfw and eqiad; both are alive, hosts healthy
          a1 heard b1 last at 06:40Z
          b1 heard a1 last at 06:41Z
          c1 hears a1
          c1 hears b1
    "#]],
    );
    let from_the_third =
        "me c1 ulsfo · agg a1 eqiad up · agg b1 codfw up · hears c1 a1 · hears c1 b1
        deaf a1 b1 0 · deaf b1 a1 1";
    let views = [from_here, from_the_third].map(|facts| play(&[(9, facts)], 20));
    let ids: Vec<String> = views.iter().flat_map(|view| view.open().map(Incident::id)).collect();
    assert_eq!(ids[0], ids[1], "one id from both sides");
}

#[test]
fn a_single_deaf_pair_is_a_path_of_its_own() {
    let facts = "me a1 eqiad · agg a2 eqiad up · agg b1 codfw up · agg c1 ulsfo up
        deaf a1 b1 0 · hears b1 a1 · hears a2 b1 · hears c1 b1";
    check(
        &[(9, facts)],
        20,
        expect![[r#"
        path a1 b1: path ticket since 0 open
          no path between a1 and b1 in one direction; both are alive, hosts healthy
          a1 heard b1 last at 06:40Z
          b1 hears a1
          a2 hears b1
          c1 hears b1
    "#]],
    );
}

#[test]
fn a_host_is_lost_and_returns() {
    let lost = "me a1 eqiad · site eqiad home 9 missing db1 · lost db1 eqiad a1 0";
    let back = "me a1 eqiad · site eqiad home 10 · watch db1 live 200";
    check(
        &[(150, lost), (200, back)],
        209,
        expect![[r#"
        host db1: host-lost ticket since 0 open
          db1 is not heard of
          hosts ["db1"] but []
          a1 heard db1 last at 06:40Z
    "#]],
    );
    check(
        &[(150, lost), (200, back)],
        215,
        expect![[r#"
        host db1: host-lost ticket since 0 until 200
          db1 is not heard of
          hosts ["db1"] but []
          a1 heard db1 last at 06:40Z
    "#]],
    );
    check(
        &[(150, lost), (200, back), (230, lost)],
        240,
        expect![[r#"
        host db1: host-lost ticket since 0 open
          db1 is not heard of
          hosts ["db1"] but []
          a1 heard db1 last at 06:40Z
    "#]],
    );
}

#[test]
fn a_host_that_did_not_keep_its_promise_is_lost() {
    let facts = "me a1 eqiad · site eqiad home 9 · lost db1 eqiad a1 0 reboot";
    check(
        &[(1_801, facts)],
        1_811,
        expect![[r#"
        host db1: host-lost ticket since 0 open
          db1 left for a reboot and has not returned
          hosts ["db1"] but []
          a1 heard db1 last at 06:40Z
    "#]],
    );
}

#[test]
fn many_lost_hosts_of_a_datacenter_are_one_incident_that_ends_with_the_last() {
    let all = "me a1 eqiad · site eqiad home 2 missing db1,db2,db3 silent 3
        lost db1 eqiad a1 0 · lost db2 eqiad a1 1 · lost db3 eqiad a1 2";
    let one = "me a1 eqiad · site eqiad home 4 missing db1 silent 1 · lost db1 eqiad a1 0";
    check(
        &[(150, all), (200, one)],
        300,
        expect![[r#"
        site eqiad: hosts-lost page since 0 open
          3 of 5 hosts of eqiad lost; its aggregators are heard
          hosts ["db1", "db2", "db3"] but []
          a1 heard db1 last at 06:40Z
          a1 heard db2 last at 06:41Z
          a1 heard db3 last at 06:42Z
    "#]],
    );
    check(
        &[(150, all), (200, one)],
        340,
        expect![[r#"
        host db1: host-lost ticket since 0 open
          db1 is not heard of
          hosts ["db1"] but []
          a1 heard db1 last at 06:40Z
        site eqiad: hosts-lost page since 0 until 320
          3 of 5 hosts of eqiad lost; its aggregators are heard
          hosts ["db1", "db2", "db3"] but []
          a1 heard db1 last at 06:40Z
          a1 heard db2 last at 06:41Z
          a1 heard db3 last at 06:42Z
    "#]],
    );
}

#[test]
fn a_lost_datacenter_takes_in_what_was_open_and_gives_back_what_stays_away() {
    let first = "me a1 eqiad · agg a2 eqiad up · agg c1 ulsfo up · hears a1 a2 · hears a1 c1
        agg b2 codfw up · hears c1 b2 · hears a1 b2
        agg b1 codfw dark 0 elsewhere 2 · deaf c1 b1 0 · site codfw home 2 missing db1 silent 1
        lost db1 codfw b2 -100";
    let whole = format!(
        "{CODFW_DARK} · site codfw missing db1,db2,db3 silent 3
         lost db1 codfw b2 -100 · lost db2 codfw b2 5 · lost db3 codfw b2 5"
    );
    let back = format!(
        "{THREE_SITES} · hears a1 b1 · site codfw home 2 missing db1 silent 1 · lost db1 codfw b2 -100
         watch db1 lost -100"
    );
    check(
        &[(20, first), (160, &whole)],
        175,
        expect![[r#"
        site codfw: site-lost page since 1 open
          datacenter codfw is lost: 3 hosts not heard
          hosts ["db1", "db2", "db3"] but []
          a1 heard b1 last at 06:40Z
          c1 heard b1 last at 06:41Z
          a1 heard b2 last at 06:41Z
          c1 heard b2 last at 06:41Z
        host db1: host-lost ticket since -100 until 170
          db1 is not heard of
          hosts ["db1"] but []
          b2 heard db1 last at 05:00Z
          part of site codfw
        aggregator b1: aggregator-outage ticket since 0 until 170
          aggregator b1 is out, hosts healthy: 2 of 2 hosts heard elsewhere
          a1 heard b1 last at 06:40Z
          c1 heard b1 last at 06:40Z
          part of site codfw
    "#]],
    );
    check(
        &[(20, first), (160, &whole), (300, &back)],
        450,
        expect![[r#"
        host db1: host-lost ticket since -100 open
          db1 is not heard of
          hosts ["db1"] but []
          b2 heard db1 last at 05:00Z
        site codfw: site-lost page since 1 until 420
          datacenter codfw is lost: 3 hosts not heard
          hosts ["db1", "db2", "db3"] but []
          a1 heard b1 last at 06:40Z
          c1 heard b1 last at 06:41Z
          a1 heard b2 last at 06:41Z
          c1 heard b2 last at 06:41Z
        host db1: host-lost ticket since -100 until 170
          db1 is not heard of
          hosts ["db1"] but []
          b2 heard db1 last at 05:00Z
          part of site codfw
        aggregator b1: aggregator-outage ticket since 0 until 170
          aggregator b1 is out, hosts healthy: 2 of 2 hosts heard elsewhere
          a1 heard b1 last at 06:40Z
          c1 heard b1 last at 06:40Z
          part of site codfw
    "#]],
    );
}

#[test]
fn silence_closes_nothing_and_a_restart_keeps_the_id() {
    let lost = "me a1 eqiad · site eqiad home 9 missing db1 · lost db1 eqiad a1 0";
    let mut before = play(&[(150, lost)], 165);
    let id = before.open().next().unwrap().id();
    let mut after = Incidents::restore(before.changes().incidents);
    // The host is called live after a restart, because silence is counted anew: that is no sign of life.
    go_on(&mut after, &[(166, "me a1 eqiad · site eqiad home 10 · watch db1 live 0")], 300);
    assert_eq!(after.open().next().map(Incident::id), Some(id));
}

#[test]
fn the_earliest_beginning_that_anybody_names_makes_the_id() {
    let ours = "me a1 eqiad · site eqiad home 9 missing db1 · lost db1 eqiad a1 3";
    let told =
        format!("{ours} · elsewhere 2 host db1 · elsewhere 9 host db1 · elsewhere 1 nonsense");
    let mut incidents = play(&[(150, ours), (170, &told)], 171);
    let incident = incidents.open().next().unwrap().clone();
    assert_eq!(incident.since, at(2));
    let changes = incidents.changes();
    assert_eq!(changes.gone, [Scope::Host("db1".into()).id(at(3))], "the other id is given up");
    assert_eq!(changes.incidents.last(), Some(&incident));
}

#[test]
fn what_is_over_is_kept_for_a_month_and_then_forgotten() {
    let lost = "me a1 eqiad · site eqiad home 9 missing db1 · lost db1 eqiad a1 0";
    let back = "me a1 eqiad · site eqiad home 10 · watch db1 live 200";
    let mut incidents = play(&[(150, lost), (200, back)], 220);
    let id = incidents.closed().next().unwrap().id();
    incidents.changes();
    let month = KEEP.as_secs() as i64;
    go_on(&mut incidents, &[(month, back)], month + 100);
    assert_eq!(incidents.closed().count(), 1);
    go_on(&mut incidents, &[(month + 300, back)], month + 301);
    assert_eq!(incidents.changes().gone, [id]);
}
