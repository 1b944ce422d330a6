//! Packets on their way from the device to the stack, by processor.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Softnet;

impl Collector for Softnet {
    fn name(&self) -> &'static str {
        "softnet"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let text = given.host.read("proc/net/softnet_stat")?;
        for (line, position) in text.lines().zip(0..) {
            let columns: Option<Vec<u32>> = line
                .split_ascii_whitespace()
                .map(|word| u32::from_str_radix(word, 16).ok())
                .collect();
            let columns = columns.ok_or_else(|| HostError::malformed("softnet_stat", line))?;
            // Since 5.10 the line says which processor it is of; before, none was ever left out.
            let cpu = columns.get(12).copied().unwrap_or(position).to_string();
            let labels = [("cpu", cpu.as_str())];
            for (column, name) in COUNTERS {
                if let Some(value) = columns.get(column) {
                    out.counter(name, &labels, f64::from(*value));
                }
            }
            if let Some(backlog) = columns.get(11) {
                out.gauge("node_softnet_backlog_len", &labels, f64::from(*backlog));
            }
        }
        Ok(())
    }
}

/// Column and name.
const COUNTERS: [(usize, &str); 6] = [
    (0, "node_softnet_processed_total"),
    (1, "node_softnet_dropped_total"),
    (2, "node_softnet_times_squeezed_total"),
    (8, "node_softnet_cpu_collision_total"),
    (9, "node_softnet_received_rps_total"),
    (10, "node_softnet_flow_limit_count_total"),
];
