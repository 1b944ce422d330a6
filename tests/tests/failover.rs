//! An aggregator dies, hangs, or is stopped: its agents go to the other one of the datacenter in about
//! a second, then to the other datacenter, and come home; every line is there once at the end.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::time::{Duration, Instant};

use muster_tests::rig::{
    Agent, AgentOptions, Flow, PATIENCE, Rig, Rotation, TWO_AND_ONE, Tally, Writer, eventually,
    text,
};
use nix::sys::signal::Signal;

/// In about a second, says the design. Only a bug takes this long.
const SWITCH_MAX: Duration = Duration::from_secs(5);
/// The agent's phase and aggregator.
fn uplink(agent: &Agent) -> (String, String) {
    let status = agent.status().unwrap_or_default();
    (text(&status, "uplink").to_owned(), text(&status, "aggregator").to_owned())
}

/// Waits until one of `places` has a line that is written from now on; gives the place and the time.
#[track_caller]
fn taken_over(rig: &Rig, flow: &Flow, agent: &Agent, places: &[usize]) -> (usize, Duration) {
    let (began, mark) = (Instant::now(), flow.written());
    let page = format!("logs?q=line%20{mark}%20of&limit=5");
    let place = eventually("a line written after the fault is found", PATIENCE, || {
        places.iter().copied().find(|place| {
            rig.aggregators[*place].ask_local(&page).contains(&format!("line {mark} of"))
        })
    });
    let took = began.elapsed();
    let name = rig.aggregators[place].place.name;
    let (_, aggregator) = uplink(agent);
    assert_eq!(aggregator, name, "the agent says whom it talks to");
    assert!(took < SWITCH_MAX, "taken over by {name} only after {took:?}:\n{}", agent.log_tail());
    let ack_s = agent.status().and_then(|status| status["last_ack_s"].as_u64());
    assert!(ack_s.is_some_and(|ago| ago <= 5), "last ack {ack_s:?} s ago");
    (place, took)
}

#[track_caller]
fn comes_to(agent: &Agent, wanted: &str, is_there: impl Fn(&str, &str) -> bool) -> Duration {
    let began = Instant::now();
    eventually(wanted, PATIENCE, || {
        let (phase, aggregator) = uplink(agent);
        is_there(&phase, &aggregator).then_some(())
    });
    began.elapsed()
}

fn show(what: &str, took: Duration) {
    println!("{what}: {:.2} s", took.as_secs_f64());
}

#[test]
fn agents_move_and_come_home_and_no_line_is_lost_or_doubled() {
    let mut rig = Rig::new(TWO_AND_ONE);
    let path = rig.dir().join("numbered.log");
    let mut flow = Flow::begin(Writer::new(&path, Rotation::None));
    let options = AgentOptions { logs: vec![path.display().to_string()], ..Default::default() };
    let mut agent = rig.agent("db1.eqiad.test", &options);
    comes_to(&agent, "live at home", |phase, at| phase == "live" && at.ends_with(".eqiad.test"));
    let first = rig.place_of(&uplink(&agent).1);
    let second = 1 - first;

    rig.aggregators[first].kill();
    let (_, took) = taken_over(&rig, &flow, &agent, &[second]);
    show("kill -9, to the other one of the datacenter", took);

    rig.aggregators[first].start();
    let hung = rig.aggregators[second].process.as_ref().unwrap();
    hung.signal(Signal::SIGSTOP);
    let (_, took) = taken_over(&rig, &flow, &agent, &[first]);
    show("SIGSTOP, to the other one of the datacenter", took);
    rig.aggregators[second].process.as_ref().unwrap().signal(Signal::SIGCONT);

    rig.aggregators[second].kill();
    rig.aggregators[first].kill();
    let (_, took) = taken_over(&rig, &flow, &agent, &[2]);
    show("the whole datacenter killed, to the next one", took);
    assert_eq!(uplink(&agent).0, "away");

    rig.aggregators[first].start();
    rig.aggregators[second].start();
    let took =
        comes_to(&agent, "home again", |phase, at| phase == "live" && at.ends_with(".eqiad.test"));
    show("home again after it stands (home_stable is 2 s)", took);

    let serving = rig.place_of(&uplink(&agent).1);
    let (began, before) = (Instant::now(), agent.log().len());
    rig.aggregators[serving].stop();
    show("SIGTERM until the aggregator has ended", began.elapsed());
    let (_, took) = taken_over(&rig, &flow, &agent, &[1 - serving]);
    show("after that, a new line at the other one", took);
    let said = agent.log()[before..].to_owned();
    assert!(said.contains("asks us to go elsewhere"), "it was asked to go: {said}");
    assert!(!said.contains("The connection is lost"), "it went before it had to: {said}");
    rig.aggregators[serving].start();

    let written = flow.end();
    Tally::settle(&rig, written, PATIENCE);
    println!("{written} lines, each exactly once");
    agent.stop();
}
