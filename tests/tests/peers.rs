//! A question asked of one aggregator is answered for all; what two of them have comes once; one that
//! does not answer is named.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::collections::BTreeSet;
use std::path::Path;

use muster_tests::rig::{
    Agent, AgentOptions, PATIENCE, Rig, Rotation, TWO_AND_ONE, Writer, eventually, numbered, text,
};
use serde_json::Value;

const HOSTS: [&str; 3] = ["db1.eqiad.test", "db2.eqiad.test", "db1.codfw.test"];
/// Lines that two aggregators get.
const DOUBLED: u64 = 50;

/// One agent at each aggregator, with a line that tells where it came from.
fn one_agent_each(rig: &Rig) -> Vec<Agent> {
    let agent = |(place, name): (usize, &&str)| {
        let path = rig.dir().join(format!("{name}.log"));
        std::fs::write(&path, format!("a needle from {name}\n")).unwrap();
        let options = AgentOptions {
            logs: vec![path.display().to_string()],
            more: "[metrics]\ninterval = \"1s\"\n".to_owned(),
            only: Some(vec![place]),
            ..Default::default()
        };
        rig.agent(name, &options)
    };
    HOSTS.iter().enumerate().map(agent).collect()
}

/// What a column of the answer holds, when the question is answered in full.
fn column(rig: &Rig, place: usize, words: &[&str], field: &str) -> BTreeSet<String> {
    let answer = rig.aggregators[place].ask(words);
    let rows: Vec<Value> = if words[0] == "logs" { answer.lines() } else { answer.array() };
    let found = rows.iter().map(|row| text(row, field).to_owned()).collect();
    if answer.code == 0 { found } else { BTreeSet::new() }
}

fn every_aggregator_answers_for_all(rig: &Rig) {
    let all: BTreeSet<String> = HOSTS.iter().map(|host| (*host).to_owned()).collect();
    for place in 0..rig.aggregators.len() {
        for words in [
            &["hosts", "--json"][..],
            &["logs", "needle", "--json"],
            &["checks", "--id", "agent.*", "--json"],
            &["metrics", "node_load1", "--json"],
        ] {
            eventually(
                &format!("{words:?} of aggregator {place} names all hosts"),
                PATIENCE,
                || (column(rig, place, words, "host") == all).then_some(()),
            );
        }
    }
}

/// A spool whose frames nobody has acked, copied: both copies say the same under the same ids.
fn two_aggregators_with_the_same_lines(rig: &Rig) {
    let path = rig.dir().join("twice.log");
    Writer::new(&path, Rotation::None).write(DOUBLED);
    let host = "twice.eqiad.test";
    let offline = AgentOptions {
        logs: vec![path.display().to_string()],
        uplink: Some("[uplink]\n".to_owned()),
        ..Default::default()
    };
    let mut agent = rig.agent(host, &offline);
    eventually("the lines are in the spool", PATIENCE, || {
        let status = agent.status()?;
        let logs = status["lanes"].as_array()?.iter().find(|lane| lane["lane"] == "logs")?.clone();
        let held = status["log_lines"].as_u64() == Some(DOUBLED);
        (held && logs["frames"].as_u64() > Some(0)).then_some(())
    });
    agent.stop();
    let copy = rig.dir().join("copy");
    copy_dir(&agent.state_dir(), &copy);
    for (place, state_dir) in [(0, None), (1, Some(copy))] {
        let options = AgentOptions { state_dir, only: Some(vec![place]), ..Default::default() };
        rig.configure(&agent, &options);
        agent.start();
        eventually("the aggregator has all of them", PATIENCE, || {
            let page = format!("logs?q=block&host={host}&limit=1000");
            let found = rig.aggregators[place].ask_local(&page).matches(" of block ").count();
            (found as u64 == DOUBLED).then_some(())
        });
        agent.stop();
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mode = std::fs::metadata(from).unwrap().permissions();
    std::fs::set_permissions(to, mode).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn equal_ids_come_once(rig: &Rig) {
    two_aggregators_with_the_same_lines(rig);
    for aggregator in &rig.aggregators {
        let answer = aggregator.ask(&["logs", "block", "--json", "--limit", "1000"]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        assert_eq!(numbered(&answer), (0..DOUBLED).collect::<Vec<u64>>());
    }
}

fn a_dead_one_is_named(rig: &mut Rig) {
    let dead = rig.aggregators[1].place.name;
    rig.aggregators[1].kill();
    for words in [&["hosts", "--json"][..], &["logs", "needle", "--json"], &["checks"], &["status"]]
    {
        let answer = rig.ask(words);
        assert_eq!(answer.code, 5, "{words:?}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains(dead), "{words:?} names {dead} on stderr: {}", answer.err);
    }
    let page = rig.aggregators[0].ask(&["status", "--json"]);
    assert!(page.out.contains("unanswered") && page.out.contains(dead), "{}", page.out);
    rig.aggregators[1].start();
    eventually("everybody answers again", PATIENCE, || {
        let answer = rig.ask(&["hosts", "--json"]);
        (answer.code == 0 && answer.err.is_empty()).then_some(())
    });
}

#[test]
fn one_answers_for_all() {
    let mut rig = Rig::new(TWO_AND_ONE);
    let agents = one_agent_each(&rig);
    every_aggregator_answers_for_all(&rig);
    drop(agents);
    equal_ids_come_once(&rig);
    a_dead_one_is_named(&mut rig);
}
