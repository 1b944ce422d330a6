//! Interrupts, context switches, forks, boot time.

use super::{Collector, Given, Memo, Out};
use crate::facts::stat;
use crate::host::HostError;

/// The collector.
pub struct Stat;

impl Collector for Stat {
    fn name(&self) -> &'static str {
        "stat"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let stat = stat::read(given.host)?;
        out.counter("node_intr_total", &[], stat.interrupts as f64);
        out.counter("node_context_switches_total", &[], stat.context_switches as f64);
        out.counter("node_forks_total", &[], stat.forks as f64);
        out.gauge("node_boot_time_seconds", &[], stat.boot_time_s as f64);
        out.gauge("node_procs_running", &[], stat.running as f64);
        out.gauge("node_procs_blocked", &[], stat.blocked as f64);
        Ok(())
    }
}
