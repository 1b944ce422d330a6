//! The clock, its zone and its source.

use super::{Collector, Given, Memo, Out};
use crate::facts::clock::Zone;
use crate::host::HostError;

/// The collector.
pub struct Time;

impl Collector for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        out.gauge("node_time_seconds", &[], given.clock.utc.0 as f64 / 1e6);
        let zone = Zone::read(given.clock.utc);
        let labels = [("time_zone", zone.name.as_str())];
        out.gauge("node_time_zone_offset_seconds", &labels, f64::from(zone.offset_s));
        let dir = "sys/devices/system/clocksource";
        for name in given.host.list(dir)? {
            let Some(device) = name.strip_prefix("clocksource") else { continue };
            let line = |file: &str| given.host.read_line(&format!("{dir}/{name}/{file}"));
            for source in line("available_clocksource")?.split_ascii_whitespace() {
                let labels = [("clocksource", source), ("device", device)];
                out.gauge("node_time_clocksource_available_info", &labels, 1.0);
            }
            let current = line("current_clocksource")?;
            let labels = [("clocksource", current.as_str()), ("device", device)];
            out.gauge("node_time_clocksource_current_info", &labels, 1.0);
        }
        Ok(())
    }
}
