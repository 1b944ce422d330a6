//! Memory: every key the kernel has, so that dashboards of all versions find theirs.

use muster_proto::metric::MetricType;

use super::{Collector, Given, Memo, Out};
use crate::facts::memory;
use crate::host::HostError;

/// The collector.
pub struct MemInfo;

impl Collector for MemInfo {
    fn name(&self) -> &'static str {
        "meminfo"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        for entry in memory::read(given.host)?.entries {
            // `Active(anon)` is `Active_anon`.
            let key = entry.key.strip_suffix(')').unwrap_or(&entry.key);
            let unit = if entry.is_bytes { "_bytes" } else { "" };
            out.named(&["node_memory_", key, unit], MetricType::Gauge, entry.value as f64);
        }
        Ok(())
    }
}
