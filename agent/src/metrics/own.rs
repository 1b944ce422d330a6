//! Our own process, and the scraper itself.

use super::{Collector, Given, Memo, Out};
use crate::facts::{process, stat};
use crate::host::HostError;

/// The collector.
pub struct Own;

/// What the scraper counted until now.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) scrapes: u64,
    pub(super) dicts: u64,
    pub(super) refused: u64,
}

impl Collector for Own {
    fn name(&self) -> &'static str {
        "muster"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        memo.own.scrapes += 1;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.gauge("muster_agent_build_info", &version, 1.0);
        out.counter("muster_agent_scrapes_total", &[], memo.own.scrapes as f64);
        out.counter("muster_agent_metric_dicts_total", &[], memo.own.dicts as f64);
        out.counter("muster_agent_metric_refused_total", &[], memo.own.refused as f64);
        let own = process::read(given.host)?;
        let started_s = stat::read(given.host)?.boot_time_s as f64 + own.started_after_boot_s;
        out.counter("process_cpu_seconds_total", &[], own.cpu_s);
        out.gauge("process_max_fds", &[], own.max_fds);
        out.gauge("process_open_fds", &[], own.open_fds as f64);
        out.gauge("process_resident_memory_bytes", &[], own.resident_bytes as f64);
        out.gauge("process_start_time_seconds", &[], started_s);
        out.gauge("muster_agent_threads", &[], own.threads as f64);
        out.gauge("process_virtual_memory_bytes", &[], own.virtual_bytes as f64);
        out.gauge("process_virtual_memory_max_bytes", &[], own.virtual_bytes_max);
        Ok(())
    }
}
