//! A region comes back: two thousand agents arrive at once, lose their datacenter, go to the next one
//! and come home, without trampling anybody and without going to and fro.

#![allow(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_agent::config::{AggregatorAddress, DatacenterConfig, Members, UplinkConfig};
use muster_tests::rig::{Place, Rig, eventually, page, pause};
use muster_tests::swarm::{Census, Cradle, Plan, Swarm};

/// Agents of the region; fewer with `MUSTER_SWARM=n` where the machine is busy.
const AGENTS: usize = 2_000;
const FOUR: &[Place] = &[
    Place { name: "agg1.eqiad.test", datacenter: "eqiad" },
    Place { name: "agg2.eqiad.test", datacenter: "eqiad" },
    Place { name: "agg1.codfw.test", datacenter: "codfw" },
    Place { name: "agg2.codfw.test", datacenter: "codfw" },
];
/// Farthest from even that an aggregator may be. Percent.
const SKEW_PERCENT_MAX: f64 = 10.0;
/// Default `handshakes_per_s` of a door times its two doors or more.
const HANDSHAKES_PER_S_MAX: f64 = 3_000.0;
/// Minutes scaled to seconds; the shape is that of the defaults.
const HOME_STABLE: Duration = Duration::from_secs(6);
const HOME_SPREAD: Duration = Duration::from_secs(12);
const PROBE_EVERY: Duration = Duration::from_secs(4);
/// A heartbeat interval: so long a fleet takes to notice that its aggregator is gone. It also spreads
/// the start, since here all agents share the processors that in a fleet each has for itself.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Until aggregators that were started answer, and until we see it, on two busy cores.
const START_MAX: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

fn agents() -> usize {
    std::env::var("MUSTER_SWARM").ok().and_then(|n| n.parse().ok()).unwrap_or(AGENTS)
}

fn uplink(rig: &Rig) -> UplinkConfig {
    let of = |datacenter: &str| DatacenterConfig {
        name: datacenter.to_owned(),
        members: Members::Listed(
            rig.aggregators
                .iter()
                .filter(|a| a.place.datacenter == datacenter)
                .map(|a| AggregatorAddress::parse(&a.address()).unwrap())
                .collect(),
        ),
    };
    UplinkConfig {
        datacenters: vec![of("eqiad"), of("codfw")],
        away_after: Duration::from_secs(1),
        home_stable: HOME_STABLE,
        probe_interval: PROBE_EVERY,
        home_spread: HOME_SPREAD,
        heartbeat: HEARTBEAT,
    }
}

/// Reads every aggregator's counters a few times a second and keeps the steepest second.
struct Meter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<f64>>>,
}

const WINDOW: Duration = Duration::from_millis(500);

impl Meter {
    fn begin(rig: &Rig) -> Meter {
        let ports: Vec<u16> = rig.aggregators.iter().map(|a| a.metrics).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let its_stop = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen: Vec<Option<(Instant, f64)>> = vec![None; ports.len()];
            let mut steepest = vec![0.0_f64; ports.len()];
            while !its_stop.load(Ordering::Relaxed) {
                for (place, port) in ports.iter().enumerate() {
                    let now = counter(*port, "muster_aggregator_connections_total")
                        .map(|count| (Instant::now(), count));
                    if let (Some((at, count)), Some((before_at, before))) = (now, seen[place])
                        && count >= before
                    {
                        let rate = (count - before) / at.duration_since(before_at).as_secs_f64();
                        steepest[place] = steepest[place].max(rate);
                    }
                    seen[place] = now;
                }
                std::thread::park_timeout(WINDOW);
            }
            steepest
        });
        Meter { stop, thread: Some(thread) }
    }

    fn end(&mut self) -> Vec<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn counter(port: u16, family: &str) -> Option<f64> {
    let text = page(port, "/metrics").ok()?;
    let line = text.lines().find(|line| line.starts_with(family))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until everybody is in that datacenter and has an ack; says how long it took.
#[track_caller]
fn all_are_in(swarm: &Swarm, ending: &str, what: &str) -> (Census, Duration) {
    let (agents, began) = (agents(), Instant::now());
    let mut shown = Instant::now();
    let census = eventually(what, PATIENCE, || {
        let census = swarm.census();
        if shown.elapsed() > Duration::from_secs(5) {
            shown = Instant::now();
            println!(
                "    {:.0} s: {census:?} {:?}",
                began.elapsed().as_secs_f64(),
                swarm.failures()
            );
        }
        (census.within(ending) == agents && census.acked == agents).then_some(census)
    });
    let (took, skew) = (began.elapsed(), census.skew_percent(ending, 2));
    println!(
        "{what}: {:.2} s, {skew:.1} % from even at most, {:?}, {} connections so far",
        took.as_secs_f64(),
        census.at,
        census.adopted,
    );
    assert!(skew <= SKEW_PERCENT_MAX, "{census:?}");
    (census, took)
}

#[test]
fn a_region_of_two_thousand_agents_comes_back() {
    let mut rig = Rig::new(FOUR);
    let began = Instant::now();
    let ca_dir = rig.aggregators[0].state_dir().join("ca");
    let cradle = Cradle::new(&ca_dir, &rig.dir().join("swarm"), agents());
    println!("{} identities: {:.1} s", agents(), began.elapsed().as_secs_f64());
    let plan = Plan {
        agents: agents(),
        threads: 2,
        sockets: 16,
        uplink: uplink(&rig),
        datacenter: "eqiad".to_owned(),
        spread: HEARTBEAT,
    };
    let mut meter = Meter::begin(&rig);
    let swarm = Swarm::start(&cradle, &plan);
    all_are_in(&swarm, ".eqiad.test", "all arrive");
    pause(Duration::from_secs(1));

    rig.aggregators[0].kill();
    rig.aggregators[1].kill();
    swarm.beat(HEARTBEAT);
    all_are_in(&swarm, ".codfw.test", "their datacenter dies, all are in the next");
    pause(Duration::from_secs(2));

    rig.aggregators[0].start();
    rig.aggregators[1].start();
    let (census, took) = all_are_in(&swarm, ".eqiad.test", "it stands again, all are home");
    println!("{} connections of one agent at most", census.adopted_max);
    // Probes come every `PROBE_EVERY` ± 50 %: the first that is answered, and the one that finds it stable.
    let window = HOME_STABLE + HOME_SPREAD + PROBE_EVERY * 3 / 2 * 2 + START_MAX;
    assert!(took <= window, "home within {window:?}");

    let steepest = meter.end();
    println!("steepest second of each aggregator: {steepest:.0?} handshakes/s");
    assert!(steepest.iter().all(|rate| *rate <= HANDSHAKES_PER_S_MAX), "{steepest:?}");
    // Arrived, went away, came home. Where the machine is busy one in a hundred may do so once more.
    let most = 3 * agents() as u64 * 101 / 100;
    assert!(census.adopted <= most && census.adopted_max <= 5, "they flap: {census:?}");
    let refused: f64 = rig
        .aggregators
        .iter()
        .filter_map(|a| counter(a.metrics, "muster_aggregator_handshakes_refused_total"))
        .sum();
    println!("refused handshakes since the restart: {refused}");
}
