//! The agent's own numbers, `muster_*`: lanes, uplink, logs, checks.

use std::sync::{Arc, Mutex};

use muster_proto::state::CheckState;
use tokio::sync::watch;

use crate::app::check_counts;
use crate::host::HostError;
use crate::lanes::LaneHandle;
use crate::logs::LogStats;
use crate::metrics::{Out, Source};
use crate::uplink::UplinkView;

/// The agent's own numbers.
pub struct OwnMetrics {
    lanes: Vec<LaneHandle>,
    view: watch::Receiver<UplinkView>,
    logs: Option<Arc<LogStats>>,
    states: Arc<Mutex<Vec<CheckState>>>,
}

impl OwnMetrics {
    /// Looks at these from now on.
    pub fn new(
        lanes: Vec<LaneHandle>,
        view: watch::Receiver<UplinkView>,
        logs: Option<Arc<LogStats>>,
        states: Arc<Mutex<Vec<CheckState>>>,
    ) -> OwnMetrics {
        OwnMetrics { lanes, view, logs, states }
    }

    fn lanes(&self, out: &mut Out<'_>) {
        for handle in &self.lanes {
            let view = handle.board.view();
            let lane = [("lane", view.lane.name())];
            let waiting = view.durable.0.saturating_sub(view.released.0);
            out.gauge("muster_lane_frames_waiting", &lane, waiting as f64);
            out.gauge("muster_lane_bytes", &lane, view.bytes as f64);
            out.gauge("muster_lane_budget_bytes", &lane, view.budget_bytes as f64);
            out.counter("muster_lane_records_dropped_total", &lane, view.dropped as f64);
            let refused = f64::from(u8::from(view.refused.is_some()));
            out.gauge("muster_lane_disk_refuses", &lane, refused);
        }
    }

    fn logs(&self, out: &mut Out<'_>) {
        let Some(logs) = &self.logs else { return };
        let counts = logs.counts();
        out.counter("muster_log_lines_total", &[], counts.lines as f64);
        out.counter("muster_log_bytes_total", &[], counts.bytes as f64);
        out.gauge("muster_log_files", &[], counts.files_known as f64);
        out.gauge("muster_log_files_open", &[], counts.files_open as f64);
        out.gauge("muster_log_paths_unreadable", &[], counts.unreadable_paths as f64);
        out.counter("muster_log_truncations_total", &[], counts.truncations as f64);
        out.counter("muster_log_lost_files_total", &[], counts.lost_files as f64);
        out.counter("muster_log_lost_bytes_total", &[], counts.lost_bytes as f64);
        out.counter("muster_log_lines_cut_total", &[], counts.cut_lines as f64);
        out.counter("muster_journal_restarts_total", &[], counts.journal_restarts as f64);
    }
}

impl Source for OwnMetrics {
    fn name(&self) -> &str {
        "muster"
    }

    fn collect(&mut self, out: &mut Out<'_>) -> Result<(), HostError> {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.gauge("muster_agent_build_info", &version, 1.0);
        self.lanes(out);
        self.logs(out);
        let view = self.view.borrow().clone();
        out.gauge("muster_uplink_connected", &[], f64::from(u8::from(!view.aggregator.is_empty())));
        out.counter("muster_uplink_connections_total", &[], view.adopted as f64);
        out.counter("muster_uplink_switches_total", &[], view.served.switches as f64);
        if let Some(last) = &view.served.last_switch {
            out.gauge("muster_uplink_switch_silent_seconds", &[], last.silent.as_secs_f64());
        }
        let counts = check_counts(&self.states);
        for (verdict, count) in [
            ("ok", counts.ok),
            ("warn", counts.warn),
            ("crit", counts.crit),
            ("unknown", counts.unknown),
        ] {
            out.gauge("muster_checks", &[("verdict", verdict)], count as f64);
        }
        Ok(())
    }
}
