//! How long tasks ran and waited, by processor.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct Schedstat;

impl Collector for Schedstat {
    fn name(&self) -> &'static str {
        "schedstat"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let text = given.host.read("proc/schedstat")?;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")) else {
                continue;
            };
            let mut last = words.skip(6).map(str::parse::<u64>);
            let (Some(Ok(running)), Some(Ok(waiting)), Some(Ok(slices))) =
                (last.next(), last.next(), last.next())
            else {
                return Err(HostError::malformed("schedstat", line));
            };
            let labels = [("cpu", cpu)];
            out.counter("node_schedstat_running_seconds_total", &labels, running as f64 / 1e9);
            out.counter("node_schedstat_waiting_seconds_total", &labels, waiting as f64 / 1e9);
            out.counter("node_schedstat_timeslices_total", &labels, slices as f64);
        }
        Ok(())
    }
}
