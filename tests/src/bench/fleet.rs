//! What a fleet costs its aggregator: simulated agents in this process, the aggregator in its own.

use std::time::{Duration, Instant};

use muster_agent::config::{AggregatorAddress, DatacenterConfig, Members, UplinkConfig};

use super::usage::{Cpu, Memory};
use super::{Extent, Goal, Row, say};
use crate::rig::{ONE, Rig, eventually, pause};
use crate::swarm::{Cradle, Plan, Swarm};

/// Only a bug takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// What came with the arrivals has been acked, stored and freed after this.
const SETTLE: Duration = Duration::from_secs(20);

/// Memory and CPU of many idle agents; how long a crowd takes that arrives at once.
///
/// # Panics
/// When a program is missing or does not do its work.
pub fn fleet(extent: &Extent) -> Vec<Row> {
    let (idle, crowd) = (extent.idle_agents, extent.crowd);
    let rig = Rig::new(ONE);
    let aggregator = rig.aggregators[0].process.as_ref().expect("it runs").id();
    say(&format!("{} identities", idle.max(crowd)));
    let ca_dir = rig.aggregators[0].state_dir().join("ca");
    let cradle = Cradle::new(&ca_dir, &rig.dir().join("swarm"), idle.max(crowd));
    // The first crowd grows the aggregator's heap; what is measured is the second one's time.
    let mut seconds = Vec::new();
    for round in 0..extent.rounds.max(1) {
        let (before, took) = arrive(&rig, &cradle, aggregator, crowd);
        let used = Cpu::of(aggregator).since(&before);
        say(&format!("  round {round}: {crowd} agents acked after {took:.2} s; {}", used.line()));
        seconds.push(took);
    }
    let rig = Rig::new(ONE);
    let cradle_dir = rig.dir().join("swarm");
    let cradle = Cradle::new(&rig.aggregators[0].state_dir().join("ca"), &cradle_dir, idle);
    let aggregator = rig.aggregators[0].process.as_ref().expect("it runs").id();
    say(&format!("{idle} idle agents for {} s", extent.idle.as_secs()));
    let before = Memory::of(aggregator).rss;
    let swarm = Swarm::start(&cradle, &plan(&rig, idle));
    all_acked(&swarm, idle);
    pause(SETTLE);
    let grown = Memory::of(aggregator).rss - before;
    let (began, cpu) = (Instant::now(), Cpu::of(aggregator));
    pause(extent.idle);
    let used = Cpu::of(aggregator).since(&cpu);
    say(&format!("  aggregator {}", used.line()));
    let busy = 100.0 * used.named(&["door-"]) / began.elapsed().as_secs_f64();
    let row =
        |what: &str, unit: &'static str, values: &[f64]| Row::new("fleet", what, unit, values);
    vec![
        row(&format!("{crowd} agents at once: all acked"), "s", &seconds).goal(Goal::AtMost(3.0)),
        row(&format!("{idle} idle agents: memory of each"), "KiB", &[grown * 1024.0 / idle as f64])
            .goal(Goal::AtMost(48.0)),
        row(&format!("{idle} idle agents: keep-alives"), "% of a core", &[busy])
            .goal(Goal::AtMost(3.0)),
    ]
}

/// From the moment when all begin to dial until each has an ack. Seconds.
fn arrive(rig: &Rig, cradle: &Cradle, aggregator: u32, agents: usize) -> (Cpu, f64) {
    let before = Cpu::of(aggregator);
    let swarm = Swarm::start(cradle, &plan(rig, agents));
    let began = Instant::now();
    all_acked(&swarm, agents);
    (before, began.elapsed().as_secs_f64())
}

fn all_acked(swarm: &Swarm, agents: usize) {
    eventually("every agent has an ack", PATIENCE, || {
        let census = swarm.census();
        (census.acked == agents).then_some(())
    });
}

/// The defaults of the product, whatever they are.
fn plan(rig: &Rig, agents: usize) -> Plan {
    let address = AggregatorAddress::parse(&rig.aggregators[0].address()).expect("it is one");
    let home = DatacenterConfig { name: "eqiad".into(), members: Members::Listed(vec![address]) };
    let uplink = UplinkConfig {
        datacenters: vec![home],
        away_after: Duration::from_secs(1),
        home_stable: Duration::from_secs(120),
        probe_interval: Duration::from_secs(30),
        home_spread: Duration::from_secs(300),
        heartbeat: Duration::from_secs(10),
    };
    let spread = Duration::ZERO;
    Plan { agents, threads: 2, sockets: 32, uplink, datacenter: "eqiad".into(), spread }
}
