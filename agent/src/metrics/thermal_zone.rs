//! Temperatures of the board and how hard it is cooled.

use super::{Collector, Given, Memo, Out};
use crate::host::HostError;

/// The collector.
pub struct ThermalZone;

impl Collector for ThermalZone {
    fn name(&self) -> &'static str {
        "thermal_zone"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let dir = "sys/class/thermal";
        for name in given.host.list(dir)? {
            let line = |file: &str| given.host.read_line(&format!("{dir}/{name}/{file}"));
            let number =
                |file: &str| given.host.read_number::<f64>(&format!("{dir}/{name}/{file}"));
            // A sensor that is asleep answers with an error: it is left out.
            if let Some(zone) = name.strip_prefix("thermal_zone") {
                if let (Ok(kind), Ok(milli)) = (line("type"), number("temp")) {
                    let labels = [("type", kind.as_str()), ("zone", zone)];
                    out.gauge("node_thermal_zone_temp", &labels, milli / 1e3);
                }
            } else if let Some(device) = name.strip_prefix("cooling_device")
                && let (Ok(kind), Ok(now), Ok(max)) =
                    (line("type"), number("cur_state"), number("max_state"))
            {
                let labels = [("name", device), ("type", kind.as_str())];
                out.gauge("node_cooling_device_cur_state", &labels, now);
                out.gauge("node_cooling_device_max_state", &labels, max);
            }
        }
        Ok(())
    }
}
