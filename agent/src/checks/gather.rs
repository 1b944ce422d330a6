//! One round of reading for all checks: fast facts every round, slow ones at their own cadence, and history.
//!
//! Room: `checks`.  May use: `host`, `facts`.  Used by: the app, from a plain thread: reading blocks.
//!
//! Invariants
//! - A fact that cannot be read costs only the checks that need it.
//! - Nothing here judges. (Absent on purpose: no thresholds, no verdicts.)

use std::collections::HashMap;
use std::time::Duration;

use muster_proto::clock::Mono;

use super::history::History;
use super::own::OwnFacts;
use crate::facts::clock::Clock;
use crate::facts::processes::{self, Processes};
use crate::facts::statfs::Usage;
use crate::facts::{Fact, Facts, edac, ext4, fstab, kernel, raid, reboot};
use crate::host::{Host, HostError};

/// A pass over all processes costs milliseconds, so it is made this often and not every round.
pub const PROCESSES_EVERY: Duration = Duration::from_secs(30);
/// Files that change with a package or a person: fstab, reboot flags, superblock errors, arrays.
pub const SLOW_EVERY: Duration = Duration::from_secs(60);

/// What lies before the checks in one round.
#[derive(Debug)]
pub struct Case {
    /// What the machine says now.
    pub facts: Facts,
    /// What changes slowly.
    pub slow: Slow,
    /// All processes, at most [`PROCESSES_EVERY`] old.
    pub processes: Fact<Processes>,
    /// Since when each stuck process is seen in uninterruptible sleep: pid, seconds. Longest first.
    pub stuck_s: Vec<(u32, u64)>,
    /// Counters over the last hour.
    pub history: History,
    /// What the app says about itself; `None` when it is not the agent that asks.
    pub own: Option<OwnFacts>,
}

/// Facts read every [`SLOW_EVERY`].
#[derive(Debug)]
pub struct Slow {
    /// `/etc/fstab`
    pub fstab: Fact<Vec<fstab::Line>>,
    /// Whether something waits for a reboot.
    pub reboot: Fact<reboot::Reboot>,
    /// Taint, hung tasks, hypervisor, processors.
    pub kernel: Fact<kernel::Kernel>,
    /// Errors in superblocks.
    pub ext4: Fact<Vec<ext4::Ext4>>,
    /// Software RAID.
    pub raid: Fact<Vec<raid::Array>>,
    /// Memory controllers.
    pub edac: Fact<Vec<edac::Controller>>,
    /// Network devices with hardware below them.
    pub physical: Vec<String>,
    /// `vm.overcommit_memory`
    pub overcommit: Fact<u64>,
}

/// Reads once a round and remembers what rates need.
#[derive(Debug)]
pub struct Gatherer {
    case: Case,
    slow_read: Option<Mono>,
    processes_read: Option<Mono>,
    stuck_since: HashMap<(u32, u64), Mono>,
}

impl Default for Gatherer {
    fn default() -> Gatherer {
        Gatherer {
            case: Case::unread(Clock::default()),
            slow_read: None,
            processes_read: None,
            stuck_since: HashMap::new(),
        }
    }
}

impl Gatherer {
    /// Reads what is due. Blocks at most as long as [`Facts::read`].
    pub fn gather(&mut self, host: &Host, clock: Clock, own: Option<OwnFacts>) -> &Case {
        self.take(host, Facts::read(host, clock), own)
    }

    /// As [`Gatherer::gather`], with fast facts that the caller has read already.
    pub fn take(&mut self, host: &Host, facts: Facts, own: Option<OwnFacts>) -> &Case {
        let now = facts.clock.mono;
        let is_due =
            |read: Option<Mono>, every: Duration| read.is_none_or(|at| now.since(at) >= every);
        if is_due(self.slow_read, SLOW_EVERY) {
            self.case.slow = Slow::read(host);
            self.case.history.forget_old(now);
            self.slow_read = Some(now);
        }
        if is_due(self.processes_read, PROCESSES_EVERY) {
            self.case.processes = processes::read(host);
            self.on_processes(now);
            self.processes_read = Some(now);
        }
        self.case.facts = facts;
        self.case.own = own;
        self.case.remember();
        &self.case
    }

    fn on_processes(&mut self, now: Mono) {
        let Ok(processes) = &self.case.processes else { return };
        let stuck = processes.stuck.iter().map(|process| {
            let key = (process.pid, process.start_ticks);
            (key, self.stuck_since.get(&key).copied().unwrap_or(now))
        });
        self.stuck_since = stuck.collect();
        let seconds = |(&(pid, _), since): (&(u32, u64), &Mono)| (pid, now.since(*since).as_secs());
        self.case.stuck_s = self.stuck_since.iter().map(seconds).collect();
        self.case.stuck_s.sort_by_key(|(pid, s)| (std::cmp::Reverse(*s), *pid));
    }
}

impl Slow {
    fn read(host: &Host) -> Slow {
        let devices = host.list("sys/class/net").unwrap_or_default();
        Slow {
            fstab: fstab::read(host),
            reboot: reboot::read(host),
            kernel: kernel::read(host),
            ext4: ext4::read(host),
            raid: raid::read(host),
            edac: edac::read(host),
            physical: devices
                .into_iter()
                .filter(|name| host.exists(&format!("sys/class/net/{name}/device")))
                .collect(),
            overcommit: host.read_number("proc/sys/vm/overcommit_memory"),
        }
    }
}

impl Case {
    /// Nothing is known: tests fill in what they need.
    pub fn unread(clock: Clock) -> Case {
        Case {
            facts: Facts::unread(clock),
            slow: Slow {
                fstab: Err(HostError::Unread),
                reboot: Err(HostError::Unread),
                kernel: Err(HostError::Unread),
                ext4: Err(HostError::Unread),
                raid: Err(HostError::Unread),
                edac: Err(HostError::Unread),
                physical: Vec::new(),
                overcommit: Err(HostError::Unread),
            },
            processes: Err(HostError::Unread),
            stuck_s: Vec::new(),
            history: History::default(),
            own: None,
        }
    }

    /// Takes this round's counters into the history.
    fn remember(&mut self) {
        let Case { facts, slow, history, own, .. } = self;
        let now = facts.clock.mono;
        let mut add = |name: &str, value: f64| history.add(now, name, value);
        // Wall time against monotonic time: a step shows as a jump of the difference.
        add("clock.ahead", facts.clock.utc.0 as f64 / 1e6 - now.0 as f64 / 1e6);
        if let Ok(vmstat) = &facts.vmstat
            && let Some(kills) = vmstat.value("oom_kill")
        {
            add("oom_kill", kills as f64);
        }
        if let Ok(stat) = &facts.stat {
            add("cpu.steal", stat.total.steal as f64);
            add("cpu.total", stat.total.total() as f64);
        }
        if let Ok(netstat) = &facts.netstat {
            for (protocol, key) in NETSTAT_COUNTERS {
                if let Some(value) = netstat.value(protocol, key) {
                    add(key_of(protocol, key).as_str(), value as f64);
                }
            }
        }
        for device in facts.netdev.iter().flatten() {
            let name = &device.device;
            let (rx, tx) = (&device.receive, &device.transmit);
            add(&format!("net.errs {name}"), (rx.errs + tx.errs) as f64);
            add(&format!("net.packets {name}"), (rx.packets + tx.packets) as f64);
        }
        for mount in facts.mounts.iter().flatten() {
            if let Usage::Known(room) = &mount.usage {
                let used = room.size_bytes.saturating_sub(room.free_bytes);
                add(&format!("fs.used {}", mount.mountpoint), used as f64);
            }
        }
        for device in facts.netclass.iter().flatten() {
            if let Some(changes) = device.carrier_changes {
                add(&format!("net.carrier {}", device.device), changes as f64);
            }
        }
        if let Ok(conntrack) = &facts.conntrack
            && let Some(counters) = &conntrack.counters
        {
            add(
                "conntrack.drop",
                (counters.drop + counters.early_drop + counters.insert_failed) as f64,
            );
        }
        if let Ok(kernel) = &slow.kernel
            && let Some(hung) = kernel.hung_tasks
        {
            add("hung_tasks", hung as f64);
        }
        for unit in facts.units.iter().flat_map(|units| &units.units) {
            if let Some(restarts) = unit.restarts {
                add(&format!("unit.restarts {}", unit.name), restarts as f64);
            }
        }
        if let Some(own) = own {
            add(super::agent_logs::LOST, own.log_lost_bytes as f64);
        }
        for spool in own.iter().flat_map(|own| &own.spools) {
            add(&format!("spool.dropped {}", spool.lane.name()), spool.dropped as f64);
        }
    }
}

/// Counters of the protocols that checks ask rates of.
const NETSTAT_COUNTERS: &[(&str, &str)] = &[
    ("TcpExt", "ListenOverflows"),
    ("TcpExt", "ListenDrops"),
    ("Tcp", "RetransSegs"),
    ("Tcp", "OutSegs"),
    ("Udp", "RcvbufErrors"),
    ("Udp", "SndbufErrors"),
    ("Udp6", "RcvbufErrors"),
    ("Udp6", "SndbufErrors"),
];

fn key_of(protocol: &str, key: &str) -> String {
    format!("{protocol}.{key}")
}
