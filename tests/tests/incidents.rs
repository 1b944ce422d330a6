//! What is wrong is told once, at every aggregator, under one id: an aggregator that dies takes no host along, a
//! host that stops on purpose is nothing, a host that is killed is one incident that ends when it is back.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use muster_tests::rig::{Agent, AgentOptions, PATIENCE, Rig, TWO_AND_ONE, eventually, page, text};
use serde_json::Value;

const HOSTS: [&str; 4] = ["db1.eqiad.test", "db2.eqiad.test", "db3.eqiad.test", "db4.eqiad.test"];

/// Incidents as one aggregator lists them for all.
fn incidents(rig: &Rig, place: usize, words: &[&str]) -> Vec<Value> {
    let words = [&["incidents", "--json"], words].concat();
    rig.aggregators[place].ask(&words).array()
}

/// Waits until an aggregator lists exactly one open incident, of this kind; gives it.
#[track_caller]
fn comes(rig: &Rig, place: usize, kind: &str, views: usize) -> Value {
    let (began, mut last) = (Instant::now(), Vec::new());
    let found = eventually(&format!("one incident {kind}, seen by {views}"), PATIENCE, || {
        let found = incidents(rig, place, &[]);
        if found != last {
            println!("at {:.1} s: {found:#?}", began.elapsed().as_secs_f64());
            last.clone_from(&found);
        }
        let kinds: Vec<&str> = found.iter().map(|row| text(row, "kind")).collect();
        assert!(kinds.iter().all(|found| *found == kind), "{kind} is expected: {found:#?}");
        let [row] = &found[..] else { return None };
        (row["seen_by"].as_array().is_some_and(|seen| seen.len() == views)).then(|| row.clone())
    });
    println!("{kind} after {:.1} s: {}", began.elapsed().as_secs_f64(), text(&found, "verdict"));
    found
}

/// Waits until nothing is open anywhere; gives the closed incident of an id.
#[track_caller]
fn ends(rig: &Rig, id: &str) -> Value {
    eventually("nothing is open", PATIENCE, || {
        let open = (0..rig.aggregators.len()).all(|place| incidents(rig, place, &[]).is_empty());
        open.then_some(())
    });
    let all = incidents(rig, 0, &["--all"]);
    let found = all.iter().find(|row| text(row, "id") == id);
    found.unwrap_or_else(|| panic!("{id} is kept: {all:#?}")).clone()
}

fn states(rig: &Rig, place: usize) -> BTreeSet<(String, String)> {
    let rows = rig.aggregators[place].ask(&["hosts", "--json"]).array();
    rows.iter().map(|row| (text(row, "host").to_owned(), text(row, "state").to_owned())).collect()
}

fn everybody_is_live(rig: &Rig) {
    let live: BTreeSet<_> =
        HOSTS.iter().map(|host| ((*host).to_owned(), "live".to_owned())).collect();
    for place in 0..rig.aggregators.len() {
        eventually("all hosts are live", PATIENCE, || (states(rig, place) == live).then_some(()));
        // Each by its own knowledge, not only by asking the others.
        let port = rig.aggregators[place].metrics;
        let leases = format!("muster_aggregator_leases {}", HOSTS.len());
        eventually("every aggregator has heard of all hosts", PATIENCE, || {
            page(port, "/metrics").ok()?.contains(&leases).then_some(())
        });
    }
}

fn an_aggregator_dies(rig: &mut Rig, agents: &[Agent]) {
    let serving = agents[0].status().map(|status| text(&status, "aggregator").to_owned());
    let dead = rig.place_of(&serving.unwrap());
    let name = rig.aggregators[dead].place.name;
    rig.aggregators[dead].kill();
    let other = usize::from(dead == 0);
    // Nobody is lost on the way: the host is listed all the time.
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        let states = states(rig, other);
        let gone = states.iter().any(|(_, state)| state == "lost" || state == "departed");
        assert!(states.len() == HOSTS.len() && !gone, "{states:?}");
    }
    let incident = comes(rig, other, "aggregator-outage", 2);
    assert_eq!(text(&incident, "scope"), format!("aggregator {name}"));
    assert!(text(&incident, "verdict").contains("hosts healthy"), "{incident:#}");
    assert_eq!((incident["hosts"].as_u64(), text(&incident, "urgency")), (Some(0), "ticket"));
    let told = incident["evidence"].to_string();
    assert!(told.contains(&format!("heard {name} last at 2")), "{told}");
    let people = rig.aggregators[other].ask(&["incidents"]);
    assert_eq!(people.code, 5, "one aggregator does not answer: {}", people.err);
    assert!(
        people.out.contains("hosts healthy") && people.out.contains("evidence"),
        "{}",
        people.out
    );
    rig.aggregators[dead].start();
    let id = text(&incident, "id").to_owned();
    let over = ends(rig, &id);
    assert!(over["until"].is_string(), "{over:#}");
}

fn a_stop_is_nothing_and_a_death_is_one_incident(rig: &Rig, agents: &mut [Agent]) {
    agents[1].stop();
    agents[2].kill();
    let incident = comes(rig, 0, "host-lost", 3);
    assert_eq!(text(&incident, "scope"), format!("host {}", HOSTS[2]));
    let states = states(rig, 2);
    let state = |host: &str| states.iter().find(|(name, _)| name == host).map(|(_, s)| s.as_str());
    assert_eq!((state(HOSTS[1]), state(HOSTS[2])), (Some("departed"), Some("lost")));
    let own = page(rig.aggregators[0].metrics, "/metrics").unwrap();
    assert!(own.contains("muster_incidents{kind=\"host-lost\"} 1"), "{own}");
    assert!(own.contains("muster_incidents{kind=\"site-lost\"} 0"), "{own}");
    let status = rig.ask(&["status"]).out;
    assert!(status.contains("incidents  1 open"), "{status}");
    agents[1].start();
    agents[2].start();
    let over = ends(rig, text(&incident, "id"));
    assert_eq!((text(&over, "kind"), over["until"].is_string()), ("host-lost", true));
}

/// Closed incidents and their ids outlive every aggregator.
fn a_restart_of_all_keeps_them(rig: &mut Rig) {
    let before: BTreeSet<String> =
        incidents(rig, 0, &["--all"]).iter().map(|row| text(row, "id").to_owned()).collect();
    for aggregator in &mut rig.aggregators {
        aggregator.kill();
    }
    for aggregator in &mut rig.aggregators {
        aggregator.start();
    }
    let after: BTreeSet<String> =
        incidents(rig, 0, &["--all"]).iter().map(|row| text(row, "id").to_owned()).collect();
    assert_eq!((before.len(), after), (2, before));
}

#[test]
fn each_cause_is_told_once() {
    let mut rig = Rig::new(TWO_AND_ONE);
    let mut agents: Vec<Agent> =
        HOSTS.iter().map(|host| rig.agent(host, &AgentOptions::default())).collect();
    everybody_is_live(&rig);
    assert!(incidents(&rig, 0, &[]).is_empty());
    an_aggregator_dies(&mut rig, &agents);
    a_stop_is_nothing_and_a_death_is_one_incident(&rig, &mut agents);
    a_restart_of_all_keeps_them(&mut rig);
}
