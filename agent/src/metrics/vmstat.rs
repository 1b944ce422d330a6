//! Counters of the virtual memory system.

use muster_proto::metric::MetricType;

use super::{Collector, Given, Memo, Out};
use crate::facts::vmstat;
use crate::host::HostError;

/// The collector.
pub struct Vmstat;

impl Collector for Vmstat {
    fn name(&self) -> &'static str {
        "vmstat"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for line in vmstat::scan_vmstat(&given.host.read("proc/vmstat")?) {
            let (key, value) = line?;
            if given.settings.vmstat_fields.is_match(key) {
                out.named(&["node_vmstat_", key], MetricType::Untyped, value as f64);
            }
        }
        Ok(())
    }
}
