//! Simulated agents, thousands in one process: each has its own certificate and its own uplink.
//!
//! Room: `tests::swarm`.  May use: `agent` (uplink), `link`, `rig`.  Used by: tests and benches.
//!
//! Real is all that decides where an agent goes and what it costs: certificate, TLS, QUIC, failover,
//! conversation, pump. Simulated is what has no part in that: frames lie in memory instead of a spool,
//! a heartbeat is all they say, and many agents share a socket and a thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster_agent::config::UplinkConfig;
use muster_agent::uplink::{self, UplinkParts, UplinkView};
use muster_link::{Dialer, IdentityStore, Tuning};
use muster_proto::talk::uplink::Speaker;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::rig::pause;

mod cradle;
mod memory;

pub use cradle::Cradle;

use memory::MemoryLane;

/// Threads that read frames from "disk": from memory here, so that one is enough.
const READERS_MAX: usize = 1;

/// What a swarm shall be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many agents; their identities must be in the cradle.
    pub agents: usize,
    /// Threads that drive them, each with a runtime of its own.
    pub threads: usize,
    /// UDP sockets of each thread, shared by its agents.
    pub sockets: usize,
    /// Where they go, and how fast they change their mind.
    pub uplink: UplinkConfig,
    /// Datacenter they say they stand in.
    pub datacenter: String,
    /// They start one after the other over this span; 0: all at once.
    pub spread: Duration,
}

/// A running swarm; its agents say goodbye when it is dropped.
pub struct Swarm {
    members: Vec<Member>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

struct Member {
    view: watch::Receiver<UplinkView>,
    lane: Arc<MemoryLane>,
}

/// Where the agents of a swarm are at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Agents by the aggregator they are connected to.
    pub at: BTreeMap<String, usize>,
    /// Agents by phase of their uplink.
    pub phases: BTreeMap<&'static str, usize>,
    /// Most connections that one agent has had so far.
    pub adopted_max: u64,
    /// Connections of all agents so far.
    pub adopted: u64,
    /// Agents whose newest frame an aggregator has acked.
    pub acked: usize,
}

impl Census {
    /// Agents that are connected to an aggregator whose name ends like this.
    pub fn within(&self, ending: &str) -> usize {
        self.at.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, agents)| agents).sum()
    }

    /// How far the fullest and the emptiest of those aggregators are from even. Percent.
    pub fn skew_percent(&self, ending: &str, aggregators: usize) -> f64 {
        let even = self.within(ending) as f64 / aggregators as f64;
        let loads = self.at.iter().filter(|(name, _)| name.ends_with(ending));
        let worst = loads.map(|(_, agents)| (*agents as f64 - even).abs()).fold(0.0, f64::max);
        100.0 * worst / even
    }
}

impl Swarm {
    /// Makes every agent ready, then starts them: the first when this returns.
    ///
    /// # Panics
    /// When an identity is missing or there is no socket.
    pub fn start(cradle: &Cradle, plan: &Plan) -> Swarm {
        let (stop, stopped) = watch::channel(false);
        let mut swarm = Swarm { members: Vec::new(), stop, threads: Vec::new() };
        let threads = plan.threads.max(1);
        let ready = Arc::new(Barrier::new(threads + 1));
        for thread in 0..threads {
            let mut crew = Vec::new();
            for number in (thread..plan.agents).step_by(threads) {
                let (view, seen) = watch::channel(UplinkView::default());
                let lane = Arc::new(MemoryLane::new());
                swarm.members.push(Member { view: seen, lane: lane.clone() });
                crew.push(Simulated { identity: cradle.dir_of(number), view, lane });
            }
            let (plan, stopped) = (plan.clone(), stopped.clone());
            let ready = ready.clone();
            let run = move || drive(crew, &plan, &stopped, &ready);
            let named = std::thread::Builder::new().name(format!("swarm-{thread}"));
            swarm.threads.push(named.spawn(run).expect("a thread"));
        }
        ready.wait();
        swarm
    }

    /// Where everybody is.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for member in &self.members {
            let view = member.view.borrow();
            *census.phases.entry(view.phase).or_default() += 1;
            census.adopted += view.adopted;
            census.adopted_max = census.adopted_max.max(view.adopted);
            census.acked += usize::from(member.lane.is_acked());
            if !view.aggregator.is_empty() {
                *census.at.entry(view.aggregator.clone()).or_default() += 1;
            }
        }
        census
    }

    /// Reasons of those that are connected to nobody, with their numbers.
    pub fn failures(&self) -> BTreeMap<String, usize> {
        let mut failures = BTreeMap::new();
        for member in &self.members {
            let view = member.view.borrow();
            if view.aggregator.is_empty() {
                *failures.entry(view.failure.clone()).or_default() += 1;
            }
        }
        failures
    }

    /// Every agent sends a heartbeat, one after the other over this span. Returns when it is over.
    pub fn beat(&self, span: Duration) {
        let began = Instant::now();
        let step = span / u32::try_from(self.members.len()).unwrap_or(u32::MAX).max(1);
        for (member, place) in self.members.iter().zip(0..) {
            pause((step * place).saturating_sub(began.elapsed()));
            member.lane.beat();
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One agent that is about to be.
struct Simulated {
    identity: PathBuf,
    view: watch::Sender<UplinkView>,
    lane: Arc<MemoryLane>,
}

/// A thread's life: all of its agents until the swarm stops.
fn drive(crew: Vec<Simulated>, plan: &Plan, stopped: &watch::Receiver<bool>, ready: &Barrier) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(READERS_MAX)
        .build()
        .expect("a runtime");
    let began = Instant::now();
    runtime.block_on(async {
        let mut sockets: Vec<Dialer> = Vec::new();
        let mut all_parts = Vec::new();
        for (number, simulated) in crew.into_iter().enumerate() {
            let identity = open_identity(&simulated.identity);
            let dialer = match sockets.get(number % plan.sockets.max(1)) {
                Some(dialer) => dialer.with_identity(identity.clone()),
                None => {
                    let dialer = Dialer::new(identity.clone(), tuning()).expect("a socket");
                    sockets.push(dialer.with_identity(identity.clone()));
                    dialer
                }
            };
            let parts = UplinkParts {
                speaker: speaker(&identity, plan),
                config: plan.uplink.clone(),
                dialer: Arc::new(dialer),
                lanes: vec![simulated.lane.handle()],
                began,
                view: simulated.view,
                identity,
            };
            simulated.lane.beat();
            all_parts.push(parts);
        }
        ready.wait();
        let mut agents = JoinSet::new();
        let step = plan.spread / u32::try_from(all_parts.len()).unwrap_or(u32::MAX).max(1);
        for (parts, place) in all_parts.into_iter().zip(0..) {
            let stopped = stopped.clone();
            agents.spawn(async move {
                tokio::time::sleep(step * place).await;
                uplink::run(parts, stopped).await;
            });
        }
        while agents.join_next().await.is_some() {}
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn open_identity(dir: &Path) -> Arc<IdentityStore> {
    IdentityStore::open(dir).expect("the cradle has made this identity")
}

fn speaker(identity: &IdentityStore, plan: &Plan) -> Speaker {
    Speaker {
        host: identity.identity().name().to_owned(),
        datacenter: plan.datacenter.clone(),
        agent_version: "simulated".to_owned(),
    }
}

/// As an agent's, but for the buffers: hundreds of agents share a socket.
fn tuning() -> Tuning {
    Tuning { recv_buffer_bytes: 8_000_000, send_buffer_bytes: 4_000_000, ..Tuning::agent() }
}
