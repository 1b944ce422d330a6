//! Metrics: node_exporter's names, types and labels, read from facts.
//!
//! Room: `metrics`.  May use: `facts`, `host`, `proto`.  Used by: the app.
//!
//! A collector is one file here and one line in [`COLLECTORS`]. The frame times each and says whether
//! it succeeded. Parts of the agent that have numbers of their own add a [`Source`].
//!
//! Invariants
//! - A collector that fails, fails alone: its success is 0, the others' values are there.
//! - A fallback or failure is announced once, and again only after it was over.
//! - A series that a scrape does not find has no value then; it leaves the dict at the next refresh.
//!
//! Absent on purpose: the network (but for [`listener`]) and the spool; whoever calls
//! [`Scraper::scrape`] seals what it returns. Scraping blocks: call it from a plain thread.

pub mod exposition;
pub mod help;
pub mod listener;
pub mod registry;
pub mod settings;

mod arp;
mod bonding;
mod conntrack;
mod cpu;
mod cpufreq;
mod diskstats;
mod dmi;
mod edac;
mod entropy;
mod filefd;
mod filesystem;
mod loadavg;
mod mdadm;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod os;
mod own;
mod pressure;
mod schedstat;
mod selinux;
mod sockstat;
mod softnet;
mod stat;
mod systemd;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;

use std::collections::HashSet;
use std::time::Instant;

use muster_proto::clock::{Mono, Utc};
use muster_proto::metric::{Dict, Scrape};

use crate::facts::clock::Clock;
use crate::host::{Host, HostError};

pub use exposition::exposition;
pub use registry::Out;
use registry::Registry;
pub use settings::Settings;

/// Every collector, in the order of the manual.
pub const COLLECTORS: &[&dyn Collector] = &[
    &arp::Arp,
    &bonding::Bonding,
    &conntrack::Conntrack,
    &cpu::Cpu,
    &cpufreq::CpuFreq,
    &diskstats::Diskstats,
    &dmi::Dmi,
    &edac::Edac,
    &entropy::Entropy,
    &filefd::FileFd,
    &filesystem::Filesystem,
    &loadavg::LoadAvg,
    &mdadm::Mdadm,
    &meminfo::MemInfo,
    &netclass::NetClass,
    &netdev::NetDev,
    &netstat::Netstat,
    &os::Os,
    &pressure::Pressure,
    &schedstat::Schedstat,
    &selinux::Selinux,
    &sockstat::Sockstat,
    &softnet::Softnet,
    &stat::Stat,
    &systemd::Systemd,
    &thermal_zone::ThermalZone,
    &time::Time,
    &timex::Timex,
    &udp_queues::UdpQueues,
    &uname::Uname,
    &vmstat::Vmstat,
    &own::Own,
];

/// Scrapes after which the dict is made anew although the set of series is the same: differences to
/// an old base grow long.
const BASE_REFRESH_SCRAPES: u32 = 120;
/// Scrapes after which a first dict is made anew, now that it is known which series move.
const LEARN_SCRAPES: u32 = 4;

/// One group of metrics.
pub trait Collector: Sync {
    /// Its name in `node_scrape_collector_…{collector}`.
    fn name(&self) -> &'static str;

    /// Reads its facts and puts its values out.
    ///
    /// # Errors
    /// [`HostError`]; values put out before stay. [`HostError::Missing`] means "not on this host".
    fn collect(
        &self,
        given: &Given<'_>,
        memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError>;
}

/// A part of the agent that has numbers of its own: the spool, the uplink, a textfile directory.
pub trait Source: Send {
    /// Its name in `node_scrape_collector_…{collector}`.
    fn name(&self) -> &str;

    /// Puts its values out.
    ///
    /// # Errors
    /// [`HostError`]; values put out before stay.
    fn collect(&mut self, out: &mut Out<'_>) -> Result<(), HostError>;
}

/// What a collector is given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The machine.
    pub host: &'a Host,
    /// What to leave out.
    pub settings: &'a Settings,
    /// The moment of the scrape.
    pub clock: Clock,
}

/// What collectors remember from one scrape to the next.
#[derive(Debug, Default)]
pub struct Memo {
    cpus: cpu::Seen,
    own: own::Seen,
}

/// The result of one scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeOut {
    /// A new dict, which this scrape and those after it refer to; `None` when the last one holds.
    pub dict: Option<Dict>,
    /// The values, in the order of the dict.
    pub scrape: Scrape,
}

/// Runs the collectors and keeps the identity of their series between scrapes.
pub struct Scraper {
    host: Host,
    settings: Settings,
    registry: Registry,
    memo: Memo,
    sources: Vec<Box<dyn Source>>,
    failing: HashSet<String>,
    scrapes_of_dict: u32,
    refresh_after: u32,
}

impl Scraper {
    /// A scraper of `host`; it has read nothing yet.
    pub fn new(host: Host, settings: Settings) -> Scraper {
        Scraper {
            host,
            settings,
            registry: Registry::default(),
            memo: Memo::default(),
            sources: Vec::new(),
            failing: HashSet::new(),
            scrapes_of_dict: 0,
            refresh_after: LEARN_SCRAPES,
        }
    }

    /// Adds a part of the agent that has numbers of its own.
    pub fn add_source(&mut self, source: Box<dyn Source>) {
        self.sources.push(source);
    }

    /// Asks for a new dict with the next scrape.
    pub fn renew_dict(&mut self) {
        self.scrapes_of_dict = self.refresh_after;
    }

    /// Runs every collector. Blocks for some milliseconds; at worst as long as a mount and systemd
    /// together may keep silent ([`crate::facts::Facts::read`]).
    pub fn scrape(&mut self, now_utc: Utc, now_mono: Mono) -> ScrapeOut {
        let clock = Clock { utc: now_utc, mono: now_mono };
        self.registry.begin();
        for collector in COLLECTORS {
            let given = Given { host: &self.host, settings: &self.settings, clock };
            let memo = &mut self.memo;
            let begun = Instant::now();
            let outcome = collector.collect(&given, memo, &mut Out::new(&mut self.registry));
            let part = Part { name: collector.name(), begun, outcome };
            part.settle(&mut self.registry, &mut self.failing);
        }
        for source in &mut self.sources {
            let begun = Instant::now();
            let outcome = source.collect(&mut Out::new(&mut self.registry));
            let part = Part { name: source.name(), begun, outcome };
            part.settle(&mut self.registry, &mut self.failing);
        }
        self.scrapes_of_dict += 1;
        let is_first = self.registry.is_unsettled() && self.scrapes_of_dict == 1;
        let dict = if self.registry.is_unsettled() || self.scrapes_of_dict > self.refresh_after {
            self.refresh_after = if is_first { LEARN_SCRAPES } else { BASE_REFRESH_SCRAPES };
            self.scrapes_of_dict = 1;
            Some(self.registry.settle())
        } else {
            None
        };
        self.memo.own.dicts += u64::from(dict.is_some());
        self.memo.own.refused = self.registry.refused();
        ScrapeOut { dict, scrape: Scrape { at: now_utc, values: self.registry.values() } }
    }
}

/// How one part of a scrape went.
struct Part<'a> {
    name: &'a str,
    begun: Instant,
    outcome: Result<(), HostError>,
}

impl Part<'_> {
    fn settle(self, registry: &mut Registry, failing: &mut HashSet<String>) {
        // Whole microseconds: nobody needs more, and every digit costs on the wire.
        let took_s = self.begun.elapsed().as_micros() as f64 / 1e6;
        let labels = [("collector", self.name)];
        let mut out = Out::new(registry);
        out.gauge("node_scrape_collector_duration_seconds", &labels, took_s);
        out.gauge("node_scrape_collector_success", &labels, f64::from(self.outcome.is_ok()));
        match self.outcome {
            Ok(()) => {
                if failing.remove(self.name) {
                    tracing::info!(collector = self.name, "Collector works again.");
                }
            }
            Err(error) => announce(self.name, &error, failing),
        }
    }
}

fn announce(name: &str, error: &HostError, failing: &mut HashSet<String>) {
    if !failing.insert(name.to_owned()) {
        return;
    }
    match error {
        HostError::Missing { path } => {
            tracing::info!(collector = name, path, "Nothing to collect on this host.");
        }
        _ => {
            let error: &dyn std::error::Error = error;
            tracing::warn!(collector = name, error, "Collector failed.");
        }
    }
}
