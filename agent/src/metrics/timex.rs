//! The clock discipline.

use super::{Collector, Given, Memo, Out};
use crate::facts::timex;
use crate::host::HostError;

/// The collector.
pub struct Timex;

impl Collector for Timex {
    fn name(&self) -> &'static str {
        "timex"
    }

    fn collect(
        &self,
        given: &Given<'_>,
        _memo: &mut Memo,
        out: &mut Out<'_>,
    ) -> Result<(), HostError> {
        let clock = timex::read(given.host)?;
        for (name, value) in [
            ("node_timex_offset_seconds", clock.offset_s),
            ("node_timex_frequency_adjustment_ratio", clock.frequency_ratio),
            ("node_timex_maxerror_seconds", clock.maxerror_s),
            ("node_timex_estimated_error_seconds", clock.estimated_error_s),
            ("node_timex_status", clock.status as f64),
            ("node_timex_loop_time_constant", clock.loop_time_constant as f64),
            ("node_timex_tick_seconds", clock.tick_s),
            ("node_timex_pps_frequency_hertz", clock.pps_frequency_hertz),
            ("node_timex_pps_jitter_seconds", clock.pps_jitter_s),
            ("node_timex_pps_shift_seconds", clock.pps_shift_s),
            ("node_timex_pps_stability_hertz", clock.pps_stability_hertz),
            ("node_timex_tai_offset_seconds", clock.tai_offset_s as f64),
            ("node_timex_sync_status", f64::from(clock.is_synchronised)),
        ] {
            out.gauge(name, &[], value);
        }
        for (name, value) in [
            ("node_timex_pps_jitter_total", clock.pps_jitter_total),
            ("node_timex_pps_calibration_total", clock.pps_calibration_total),
            ("node_timex_pps_error_total", clock.pps_error_total),
            ("node_timex_pps_stability_exceeded_total", clock.pps_stability_exceeded_total),
        ] {
            out.counter(name, &[], value as f64);
        }
        Ok(())
    }
}
