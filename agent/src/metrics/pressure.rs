//! Pressure stall information.

use super::{Collector, Given, Memo, Out};
use crate::facts::pressure;
use crate::host::HostError;

/// The collector.
pub struct Pressure;

impl Collector for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let pressure = pressure::read(given.host)?;
        let some = |stalls: Option<pressure::Stalls>| stalls.and_then(|stalls| stalls.some);
        let full = |stalls: Option<pressure::Stalls>| stalls.and_then(|stalls| stalls.full);
        for (name, stall) in [
            ("node_pressure_cpu_waiting_seconds_total", some(pressure.cpu)),
            ("node_pressure_io_waiting_seconds_total", some(pressure.io)),
            ("node_pressure_io_stalled_seconds_total", full(pressure.io)),
            ("node_pressure_memory_waiting_seconds_total", some(pressure.memory)),
            ("node_pressure_memory_stalled_seconds_total", full(pressure.memory)),
            ("node_pressure_irq_stalled_seconds_total", full(pressure.irq)),
        ] {
            if let Some(stall) = stall {
                out.counter(name, &[], stall.total_us as f64 / 1e6);
            }
        }
        Ok(())
    }
}
